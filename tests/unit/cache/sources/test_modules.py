"""Which of the project's modules an import reaches: all that Python could load, and not all of `lib`."""

import pytest

from stagebook.cache.sources.modules import ModuleFinder, project_roots
from stagebook.cache.sources.parse import parse
from stagebook.cache.sources.store import SourceCache


@pytest.fixture
def reached(tmp_path):
    """`reached(files, "import pkg.a")` writes the files and returns the modules reached with their digests."""

    def call(files, source, cache=None):
        for name, text in files.items():
            path = tmp_path / "lib" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        finder = ModuleFinder([tmp_path / "lib"], cache or SourceCache(None))
        return dict(finder.reached_by(parse(source), tmp_path / "notebooks").modules)

    return call


PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/a.py": "import json\nfrom pkg import b",
    "pkg/b.py": "X = 1",
    "pkg/c.py": "def late():\n    from .sub import deep",
    "pkg/sub/__init__.py": "from .. import b",
    "pkg/sub/deep.py": "",
    "pkg/unused.py": "",
    "pkg/star.py": "from pkg.sub import *",
}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import json, numpy", []),
        ("import pkg.a", ["pkg", "pkg.a", "pkg.b"]),
        ("from pkg import a", ["pkg", "pkg.a", "pkg.b"]),
        ("from pkg.b import X", ["pkg", "pkg.b"]),
        ("def later():\n    import pkg.b", ["pkg", "pkg.b"]),
        ("import pkg.c", ["pkg", "pkg.b", "pkg.c", "pkg.sub", "pkg.sub.deep"]),
        ("from pkg.sub import *", ["pkg", "pkg.b", "pkg.sub", "pkg.sub.deep"]),
        ("import importlib\nimportlib.import_module('pkg.b')", ["pkg", "pkg.b"]),
        ("import helper", ["helper"]),
    ],
)
def test_an_import_at_any_level_reaches_the_modules_that_it_loads(reached, tmp_path, source, names):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "helper.py").write_text("")
    assert list(reached(PACKAGE, source)) == names


def test_a_computed_name_may_be_any_module_of_the_package(reached):
    files = {**PACKAGE, "pkg/b.py": "import importlib\nimportlib.import_module('pkg.' + name)"}
    assert "pkg.unused" in reached(files, "import pkg.b")
    assert "pkg.unused" in reached(PACKAGE, "import pkg.b, importlib\nimportlib.import_module(name)")


def test_data_files_of_a_package_count_by_their_bytes(reached):
    before = reached({**PACKAGE, "pkg/rates.csv": "a,1"}, "import pkg.b")
    after = reached({**PACKAGE, "pkg/rates.csv": "a,2"}, "import pkg.b")
    assert before.keys() == after.keys() >= {"pkg/rates.csv"}
    assert before["pkg/rates.csv"] != after["pkg/rates.csv"]


def test_a_comment_changes_no_digest_and_code_does(reached):
    before = reached(PACKAGE, "import pkg.b")
    assert reached({"pkg/b.py": "# one\nX = 1"}, "import pkg.b") == before
    assert reached({"pkg/b.py": "X = 2"}, "import pkg.b") != before


def test_a_cache_on_disk_gives_equal_modules(reached, tmp_path):
    cache = SourceCache(tmp_path / "cache.json")
    parsed = reached(PACKAGE, "import pkg.c", cache)
    cache.save()
    assert reached(PACKAGE, "import pkg.c", SourceCache(tmp_path / "cache.json")) == parsed
    (tmp_path / "cache.json").write_text("{")
    assert reached(PACKAGE, "import pkg.c", SourceCache(tmp_path / "cache.json")) == parsed


def test_folders_of_installed_packages_are_not_project_roots(tmp_path):
    import pandas

    roots = project_roots([str(tmp_path), str(pandas.__path__[0] + "/.."), "/no/such/folder"])
    assert roots == [tmp_path.resolve()]


def test_texts_that_look_like_file_names_are_listed():
    assert parse("open('data/a.csv')\nx = 'no file here. Really'\ny = 'b.parquet'").files == ("b.parquet", "data/a.csv")


def test_only_files_are_modules(reached, tmp_path):
    (tmp_path / "lib/folder.py").mkdir(parents=True)
    (tmp_path / "lib/gone.py").symlink_to(tmp_path / "nowhere")
    assert reached({"there.py": ""}, "import folder, gone, there").keys() == {"there"}

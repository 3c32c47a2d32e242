"""What an attempt was seen to ask for, and what of it stays open."""

import json
from pathlib import Path

import pytest

from stagebook.cache.observed import AccessReport, changes, current_digests, observe
from stagebook.cache.sources.source import digest_of


def code_digest(path: Path) -> str:
    return digest_of(path.read_text().strip()) if path.exists() else ""


def state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@pytest.fixture
def project(tmp_path):
    for name in ("read.txt", "tool.py", "module.py", "listed/one.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def report(project):
    return AccessReport(
        reads={str(project / "read.txt"): state(project / "read.txt"), str(project / "absent.txt"): None},
        code=(str(project / "module.py"),),
        writes=frozenset([str(project / "written.txt")]),
        lists={str(project / "listed"): ("one.txt",)},
        commands=(("/bin/sh", "-c", "python tool.py > written.txt"),),
    )


def changes_since(result):
    return list(changes(result.digests, current_digests(result.digests, code_digest)))


def observed(report, project, known=()):
    (project / "written.txt").write_text("out")
    return observe(report, project, known, code_digest)


@pytest.mark.parametrize(
    ("name", "text", "change"),
    [
        ("read.txt", "other", "file `{}` changed"),
        ("read.txt", None, "file `{}` is gone"),
        ("absent.txt", "new", "file `{}` is new"),
        ("written.txt", None, "file `{}` is gone"),
        ("tool.py", "other", "file `{}` changed"),
        ("module.py", "other", "`module.py` changed"),
        ("module.py", "module.py\n\n", None),
        ("listed/two.txt", "new", "the files in `{folder}` are others"),
        ("listed/one.txt", "other", None),
    ],
)
def test_a_change_of_what_was_asked_for_is_seen(report, project, name, text, change):
    result = observed(report, project)
    assert (changes_since(result), result.unknown) == ([], ())
    path = project / name
    path.write_text(text) if text is not None else path.unlink()
    expected = [] if change is None else [change.format(path, folder=path.parent)]
    assert changes_since(result) == expected


def test_a_module_of_the_cache_key_counts_there(report, project):
    assert "code:" in str(observed(report, project).digests)
    assert "code:" not in str(observed(report, project, known=[project / "module.py"]).digests)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"connections": ("example.com:443", "example.com:80")}, "it asked example.com:443 and 1 more"),
        ({"commands": ("make all",)}, "runs the command `make all`"),
        ({"commands": ("cat $x",)}, "names a file by `$x` in a command"),
        ({"incomplete": True}, "it opened too many files to report them"),
    ],
)
def test_what_was_asked_of_others_cannot_be_told(project, fields, text):
    assert [str(item) for item in observe(AccessReport(**fields), project, (), code_digest).unknown] == [text]


def test_a_file_that_changes_after_it_was_opened_cannot_be_told(project):
    path = project / "read.txt"
    report = AccessReport(reads={str(path): state(path)})
    path.write_text("changed by somebody")
    assert [str(item) for item in observe(report, project, (), code_digest).unknown] == [
        f"`{path}` changed while it ran"
    ]
    report = AccessReport(reads=report.reads, writes=frozenset([str(path)]))
    assert [str(item) for item in observe(report, project, (), code_digest).unknown] == [
        f"it changes `{path}`, which it reads"
    ]


def test_files_that_it_adds_to_a_listed_folder_are_its_own(project):
    new = project / "listed/new.txt"
    report = AccessReport(lists={str(project / "listed"): ("one.txt",)}, writes=frozenset([str(new)]))
    new.write_text("")
    assert changes_since(observe(report, project, (), code_digest)) == []


def test_a_report_is_read_line_by_line_and_may_be_missing(tmp_path):
    file = tmp_path / "report.jsonl"
    assert AccessReport.read(file) is None
    lines = [{"read": "/a", "state": [1, 2, 3, 4]}, {"command": ["ls", "-l"]}, {"connect": "h:1"}, {"folder": "/b"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = AccessReport.read(file)
    assert (report.reads, report.commands, report.connections) == ({"/a": (1, 2, 3, 4)}, (("ls", "-l"),), ("h:1",))
    file.write_text('{"read": ')
    assert AccessReport.read(file) is None

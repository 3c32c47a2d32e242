"""What `import stagebook` costs, and how much of it is typed."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_import_loads_nothing_but_the_standard_library():
    """That is what makes it quick: some milliseconds, where pandas alone takes half a second."""
    code = (
        "import sys; before = set(sys.modules); import stagebook\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["stagebook"]


@pytest.mark.slow
def test_the_public_interface_is_typed(tmp_path):
    """Pyright rates an installed package only, so a copy stands in an environment that sees the packages of this one."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    shutil.copytree(ROOT / "lib/stagebook", packages / "stagebook")
    (packages / "dependencies.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")))
    (tmp_path / "pyrightconfig.json").write_text('{"venvPath": ".", "venv": "environment"}')
    rated = subprocess.run(
        [Path(sys.executable).with_name("basedpyright"), "--verifytypes", "stagebook", "--ignoreexternal"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    score = re.search(r"Type completeness score: ([0-9.]+)%", rated.stdout)
    assert score, rated.stdout + rated.stderr
    assert float(score[1]) >= 95, rated.stdout
    assert "No py.typed file found" not in rated.stdout

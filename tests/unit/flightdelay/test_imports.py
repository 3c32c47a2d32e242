import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flightdelay

HEAVY = {"sklearn", "scipy", "skops", "mlflow", "matplotlib", "pyspark", "deltalake", "papermill"}
MODULES = sorted(Path(flightdelay.__file__).parent.glob("*.py"))


def test_modules_that_only_make_tables_load_nothing_heavy():
    light = "schema, source, scale, prep, history, features, split, baseline, card"
    code = f"import sys; from flightdelay import {light}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "narwhals" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_example_sees_the_kit_only_through_its_table_schemas(path):
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stagebook")
    }
    assert imported <= {"stagebook.model.tables"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_fits_in_one_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300

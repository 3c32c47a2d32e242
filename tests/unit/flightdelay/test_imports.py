import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flightdelay

HEAVY = {"sklearn", "scipy", "skops", "mlflow", "matplotlib", "pyspark", "deltalake", "papermill"}
MODULES = sorted(Path(flightdelay.__file__).parent.glob("*.py"))


def test_modules_that_only_compute_tables_load_nothing_heavy():
    light = "schema, source, scale, prep, history, features, split, baseline, card"
    code = f"import sys; from flightdelay import {light}; print(*{{name.split('.')[0] for name in sys.modules}})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "narwhals" in process.stdout.split()
    assert not HEAVY & set(process.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_example_sees_of_the_kit_only_how_tables_are_described(path):
    imported = {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "stagebook"
        for alias in node.names
    }
    assert imported <= {("stagebook", name) for name in ("Column", "Kind", "Layout", "PartitionSource", "TableSchema")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_fits_in_one_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300

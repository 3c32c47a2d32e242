"""Kernels are checked before anything starts: installed, startable, of the notebook's language."""

import json
import sys

import pytest

from stagebook.config.findings import InvalidParameters
from stagebook.config.flags import Flags
from stagebook.config.load import load

IPYKERNEL = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def project(tmp_path, monkeypatch, params):
    """`project("a.R", "x <- 1", …)` writes a notebook and a pipeline of it, and loads that."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    specs = {
        "ir": {"argv": [sys.executable, "-c", "1"], "language": "R", "display_name": "R"},
        "other-env": {"argv": ["/bin/sh", *IPYKERNEL], "language": "python", "display_name": "Other"},
        "gone": {"argv": ["/removed/bin/python", *IPYKERNEL], "language": "python", "display_name": "Gone"},
        "same": {"argv": [sys.executable, *IPYKERNEL], "language": "python", "display_name": "Same"},
    }
    for name, spec in specs.items():
        folder = tmp_path / "jupyter/kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(spec))

    def load_with(file, text, stage="", defaults="{}", **flags):
        (tmp_path / file).write_text(text)
        params("p", f"pipeline: p\ndefaults: {defaults}\nstages: {{a: {{notebook: {file}{stage}}}}}")
        return load(("p",), Flags(**flags), {}, tmp_path).stages["a"]

    return load_with


PYTHON = "# %%\nx = 1\n"
NAMED = "# ---\n# jupyter:\n#   kernelspec:\n#     name: {}\n#     language: python\n#     display_name: x\n# ---\n# %%\nx = 1\n"


@pytest.mark.parametrize(
    ("file", "text", "options", "finding"),
    [
        ("a.jl", "# %%\nx = 1\n", {}, r"p.yaml:3: stages.a.notebook: the notebook is in julia, and no kernel of that"),
        ("a.py", NAMED.format("otherenv"), {}, "kernel that is not installed: 'otherenv'. Did you mean 'other-env'"),
        ("a.py", NAMED.format("gone"), {}, "the kernel 'gone' starts /removed/bin/python, which is not there"),
        ("a.py", PYTHON, {"stage": ", kernel_name: ir"}, "stages.a.kernel_name: the kernel 'ir' is for R, and the notebook is in"),
        ("a.py", PYTHON, {"defaults": "{kernel_name: sane}"}, "defaults.kernel_name: there is no kernel 'sane'. Did you mean 'same'"),
        ("a.py", PYTHON, {"kernel_name": "nope"}, "--kernel-name: there is no kernel 'nope'.*\n.*allowed: gone, ir, other-env"),
        ("a.py", PYTHON, {"stage": ", kernel_name: 'a b'"}, "stages.a.kernel_name"),
    ],
)  # fmt: skip
def test_a_kernel_that_cannot_run_the_notebook_is_a_finding(project, file, text, options, finding):
    with pytest.raises(InvalidParameters, match=finding):
        project(file, text, **options)


@pytest.mark.parametrize(
    ("file", "text", "options", "kernel", "own"),
    [
        ("a.py", PYTHON, {}, None, True),
        ("a.py", PYTHON, {"stage": ", kernel_name: other-env"}, "other-env", False),
        ("a.py", PYTHON, {"stage": ", kernel_name: same", "defaults": "{kernel_name: gone}"}, "same", True),
        ("a.py", PYTHON, {"stage": ", kernel_name: gone", "kernel_name": "same"}, "same", True),
        ("a.py", NAMED.format("gone"), {"kernel_name": "python3"}, "python3", True),
        ("a.py", NAMED.format("other-env"), {}, None, False),
        ("a.R", "# %%\nx <- 1\n", {}, None, False),
    ],
)
def test_files_and_flags_choose_the_kernel(project, file, text, options, kernel, own):
    stage = project(file, text, **options)
    assert (stage.kernel_name, stage.own_environment) == (kernel, own)


def test_parameters_are_refused_for_a_language_that_papermill_writes_none_in(project, tmp_path):
    folder = tmp_path / "jupyter/kernels/lua"
    folder.mkdir()
    (folder / "kernel.json").write_text(json.dumps({"argv": ["/bin/sh"], "language": "lua", "display_name": "Lua"}))
    with pytest.raises(InvalidParameters, match="parameters cannot be set in a notebook in lua"):
        project("a.lua", "-- %%\nx = 1\n", stage=", parameters: {x: 1}")


def test_notebooks_of_this_python_ask_jupyter_for_nothing(project, monkeypatch):
    monkeypatch.setattr("stagebook.notebooks.kernels.installed", lambda: pytest.fail("asked"))
    project("a.py", PYTHON)
    project("a.ipynb", json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))

"""The bundle's files are complete and reproducible, and stale files of an older export are reported."""

import json

import nbformat
import pytest
from ruamel.yaml import YAML

from stagebook.cli import call
from stagebook.databricks.export.bundle import pin_requirements
from stagebook.databricks.yaml_text import dump
from stagebook.errors import ConfigError

SETTINGS = "databricks: {packages: [lib/mine], requirements: [tenacity, 'other>=2'], catalog: a, targets: {dev: {}, prod: {catalog: b, run_as: {user_name: x}}}}"


@pytest.fixture
def export(pipeline, tmp_path, monkeypatch):
    """`export(settings, "--check")` exports the small pipeline to `out`; returns the exit status and `out`."""
    monkeypatch.chdir(tmp_path)

    def run(settings=SETTINGS, *flags):
        pipeline(settings)
        out = tmp_path / "out"
        return call(["databricks", "export", "--params", "dev", "--out", str(out), *flags]), out

    return run


def read(path):
    return YAML(typ="safe").load(path.read_text())


def test_the_bundle_is_complete(export):
    status, out = export()
    assert status == 0
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "databricks.yml", "resources/demo.job.yml", "README.md", "pyproject.toml", "requirements.txt",
        "notebooks/prep.ipynb", "notebooks/train.ipynb", "notebooks/deploy.ipynb",
    }  # fmt: skip
    bundle = read(out / "databricks.yml")
    assert bundle["bundle"] == {"name": "demo"}
    assert bundle["artifacts"] == {"default": {"type": "whl", "build": "uv build --wheel", "path": "."}}
    assert bundle["targets"] == {
        "dev": {"mode": "development", "default": True, "presets": {"trigger_pause_status": "PAUSED"}},
        "prod": {
            "mode": "production",
            "run_as": {"user_name": "x"},
            "resources": {"jobs": {"demo": {"parameters": [{"name": "stagebook_catalog", "default": "b"}]}}},
        },
    }
    job = read(out / "resources/demo.job.yml")["resources"]["jobs"]["demo"]
    for task in job["tasks"]:
        if "notebook_task" in task:
            assert (out / "resources" / task["notebook_task"]["notebook_path"]).resolve().is_file()
    assert '"../lib/mine" = "mine"' in (out / "pyproject.toml").read_text()
    assert (out / "requirements.txt").read_text().splitlines()[1:] == ["tenacity==9.2.1", "other>=2"]
    readme = (out / "README.md").read_text()
    for command in ("validate", "deploy", "run"):
        assert f"databricks bundle {command} -t dev" in readme
    assert "the wait before a retry doubles" in readme


def test_a_target_can_be_the_default(export):
    _, out = export(SETTINGS, "--target", "prod")
    assert "default" not in read(out / "databricks.yml")["targets"]["dev"]
    assert read(out / "databricks.yml")["targets"]["prod"]["default"] is True
    with pytest.raises(ConfigError, match="there is no target 'prd'. Did you mean 'prod'"):
        export(SETTINGS, "--target", "prd")


def test_exporting_twice_gives_the_same_bytes_and_check_agrees(export):
    _, out = export()
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert export(SETTINGS, "--check")[0] == 0
    export()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files


def test_check_lists_what_is_stale_and_writes_nothing(export, capsys):
    _, out = export()
    (out / "requirements.txt").unlink()
    (out / "databricks.yml").write_text("bundle: {}\n")
    (out / "notebooks/removed.ipynb").write_text("{}")
    (out / "mine.txt").write_text("not of the export")
    assert export(SETTINGS, "--check")[0] == 1
    assert capsys.readouterr().err.splitlines() == [
        "databricks.yml: differs", "notebooks/removed.ipynb: left over", "requirements.txt: missing",
    ]  # fmt: skip
    assert not (out / "requirements.txt").exists()
    assert export()[0] == 0
    assert "removed.ipynb is no longer part of this bundle" in capsys.readouterr().err


def test_a_changed_parameter_makes_the_bundle_stale(export):
    export()
    assert export(f"{SETTINGS}\nparameters: {{seed: 4}}", "--check")[0] == 1


@pytest.mark.parametrize("suffix", ["percent", "databricks"])
def test_any_notebook_becomes_an_ipynb_without_outputs(tmp_path, params, monkeypatch, suffix):
    text = {
        "percent": '# %% [markdown]\n# # Title\n\n# %% tags=["parameters"]\nx: int = 1  # a number\n\n# %%\nprint(x)\n',
        "databricks": "# Databricks notebook source\n# MAGIC %md # Title\n# COMMAND ----------\n# tags: parameters\nx: int = 1  # a number\n# COMMAND ----------\nprint(x)\n",
    }[suffix]
    (tmp_path / "a.py").write_text(text)
    params("p", "pipeline: p\nstages: {a: {notebook: a.py, parameters: {x: 2}}}")
    monkeypatch.chdir(tmp_path)
    assert call(["databricks", "export", "--params", "p", "--out", "out"]) == 0
    written = tmp_path / "out/a.ipynb"
    node = nbformat.read(written, as_version=4)
    nbformat.validate(node)
    assert [cell.cell_type for cell in node.cells] == ["markdown", "code", "code", "code"]
    assert node.cells[1].metadata.tags == ["parameters"]
    assert 'x = stagebook.stage.parameter("x", x, "int")' in node.cells[2].source
    assert "x: int = 1" in node.cells[1].source
    assert all(cell.outputs == [] and cell.execution_count is None for cell in node.cells if cell.cell_type == "code")
    assert json.loads(written.read_text())["metadata"]["language_info"] == {"name": "python"}


def test_two_notebooks_with_one_path_are_refused(tmp_path, params, notebook, monkeypatch):
    notebook("a", "1")
    (tmp_path / "notebooks/a.py").write_text("# %%\n1\n")
    params("p", "stages: {a: {notebook: notebooks/a.ipynb}, b: {notebook: notebooks/a.py}}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="would both be notebooks/a.ipynb"):
        call(["databricks", "export", "--params", "p", "--out", "out"])


def test_requirements_without_a_version_are_pinned_to_the_installed_one():
    installed = {"a": "1.0", "b": "2.0"}.get
    assert pin_requirements(("a", "b[x]", "a>=3", "c", "./d.whl"), installed) == (
        "a==1.0",
        "b[x]==2.0",
        "a>=3",
        "c",
        "./d.whl",
    )


@pytest.mark.parametrize("text", ["13", "012", "1_000", "true", "no", "on", "12:30", "2013-01-01", "null", "~", "-1", ".5", "1e3", "", "y", "a: b", "{{tasks.a.values.b}}", "[1, 2]", "x\ny", "#a"])  # fmt: skip
def test_a_text_stays_a_text_for_readers_of_yaml_1_1_and_1_2(text):
    import yaml as yaml_1_1

    written = dump({"a": text})
    assert YAML(typ="safe").load(written) == {"a": text}
    assert yaml_1_1.safe_load(written) == {"a": text}

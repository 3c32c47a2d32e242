"""The documentation names everything that users may type, and the project's files agree with each other."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import jupytext
import nbformat
import pytest

from stagebook.notebook.outline import outline
from stagebook.notebook.parameters import declared
from stagebook.notebook.read import load

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def printed_help(*command: str) -> str:
    words = [sys.executable, "-m", "stagebook.cli", *command, "--help"]
    return subprocess.run(words, capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": ""}).stdout


def test_every_flag_of_run_stands_in_the_readme():
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", printed_help("run"))) - {"--help", "-h"}
    assert len(flags) > 20
    assert {flag for flag in flags if f"`{flag}" not in README} == set()


@pytest.mark.parametrize("command", [("batch",), ("queue", "add"), ("queue", "list"), ("queue", "run")])
def test_every_flag_of_batches_and_queue_stands_in_the_readme(command):
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", printed_help(*command))) - {"--help", "-h"}
    assert {flag for flag in flags if f"`{flag}" not in README} == set()


def test_every_command_stands_in_the_readme():
    commands = set(re.findall(r"^│ ([a-z]+) ", printed_help(), re.MULTILINE))
    assert commands >= {"run", "runs", "models", "track", "spark", "tables", "export", "import", "accept"}
    assert {command for command in commands if f"`stagebook {command}" not in README} == set()


def test_every_flag_has_a_description():
    spark = [("spark", "start"), ("spark", "stop"), ("spark", "status")]
    tables = [("tables", name) for name in ("list", "describe", "history", "explain", "optimize", "vacuum")]
    more = [
        ("accept",),
        ("advise",),
        ("reap",),
        ("batch",),
        *(("queue", name) for name in ("add", "list", "run")),
        ("export",),
        ("export", "databricks"),
        ("import", "databricks"),
        ("host", "status"),
        *spark,
        *tables,
    ]
    for command in [("run",), ("runs",), ("cost",), ("track",), ("models", "list"), ("models", "rollback"), *more]:
        rows = [line for line in printed_help(*command).splitlines() if re.match(r"│ +(\* +)?-", line)]
        assert rows
        for line in rows:
            assert re.search(r"[a-z]{2,} [a-z]", re.sub(r"--?[\w-]+|\[.*?\]", "", line)), line


def test_every_key_of_a_parameter_file_stands_in_the_readme():
    from pydantic import BaseModel

    from stagebook.params import basics, databricks_spec, spec, sweeps

    models = [
        m
        for module in (basics, databricks_spec, spec, sweeps)
        for m in vars(module).values()
        if isinstance(m, type) and issubclass(m, BaseModel) and m.__module__ == module.__name__
    ]
    keys = {field.alias or key for model in models for key, field in model.model_fields.items()}
    assert {key for key in keys if f"`{key}" not in README} == set()
    for model in models:
        assert all(field.description for field in model.model_fields.values()), model


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_of_our_notebooks_is_annotated_and_explained(path):
    parameters = declared(outline(path)) or {}
    for parameter in parameters.values():
        assert parameter.annotation, parameter.name
        assert len(parameter.comment) > 10, parameter.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pairs_are_in_sync_and_outputs_stripped(path):
    text, pair = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in text.cells] == [
        (c.cell_type, c.source, c.metadata.get("tags", [])) for c in pair.cells
    ], f"out of sync: jupytext --sync {path.relative_to(ROOT)}"
    for cell in pair.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_our_notebooks_are_thin(path):
    notebook = load(path)
    assert notebook.cells[0].cell_type == "markdown"
    assert "reads" in notebook.cells[0].source.lower()
    assert "writes" in notebook.cells[0].source.lower()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not re.search(
                r"^\s*(def|class) |dbutils|SELECT |/tmp|\.\./",
                cell.source,
                re.MULTILINE,
            )
            assert len(cell.source.splitlines()) <= 25


def test_there_are_six_stages_in_order_and_one_that_makes_more_data():
    assert [path.stem for path in NOTEBOOKS] == [
        "00_scale", "01_data_prep", "02_feature_build", "03_train", "04_validate", "05_register_model", "06_deploy",
    ]  # fmt: skip


def test_the_pins_cover_what_is_installed():
    pins = {}
    for text in PROJECT["tool"]["uv"]["constraint-dependencies"]:
        requirement = text.split(";")[0].strip()
        name, _, version = requirement.partition("==")
        pins.setdefault(canonical(name), set()).add(version)
    ours = {"stagebook", "pip", "setuptools", "wheel", "uv"}
    for dist in distributions():
        if canonical(dist.name) not in ours:
            assert dist.version in pins.get(canonical(dist.name), set()), f"{dist.name}: run `uv run .ci/pin`"


def test_conda_users_get_the_same_direct_dependencies():
    lines = re.findall(
        r"^ {6}- ([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE
    )
    direct = {canonical(re.match(r"[A-Za-z0-9._-]+", text)[0]) for text in PROJECT["project"]["dependencies"]}
    pins = dict(text.split(";")[0].strip().split("==") for text in PROJECT["tool"]["uv"]["constraint-dependencies"])
    assert {canonical(name) for name, _ in lines} == direct
    for name, version in lines:
        assert pins[canonical(name)] == version


def test_no_registry_address_is_committed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "uv.lock" not in tracked
    for name in tracked:
        if (ROOT / name).suffix in {".toml", ".yml", ".yaml", ".md", ".py", ""} and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
            assert not re.search(r"https?://(files\.)?py(pi|thonhosted)\.org", text), name


@pytest.mark.parametrize("name", ["run_pipeline", "run_batch", "export_databricks"])
def test_a_runner_is_executable_and_tiny(name):
    runner = ROOT / f"runners/{name}.py"
    assert runner.stat().st_mode & 0o111
    assert len(runner.read_text().splitlines()) <= 15


def test_the_version_stands_in_the_changelog():
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

"""Generated pages are current, and what is generated is complete: every key, command and flag is explained."""

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from stagebook.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
COMMANDS_PAGE = (ROOT / "runners/README.md").read_text(encoding="utf-8")


def docs_script():
    loader = importlib.machinery.SourceFileLoader("generate_docs", str(ROOT / ".ci/docs"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_generated_pages_are_current():
    assert docs_script().stale() == [], "run `uv run .ci/docs`"


def test_every_command_and_flag_has_a_sentence():
    items = re.findall(r"^\* `([^`]+)`(.*)$", COMMANDS_PAGE, re.MULTILINE)
    assert len(items) > 120
    for names, rest in items:
        assert re.match(r": [^*]*[a-z]{2,} [a-z]", rest), f"{names} has no description"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_sentence_where_commands_are_listed_is_the_commands_own(command):
    own = re.search(
        rf"^## `stagebook {command}`\n+(?:```console\n.*?```\n+)?(.+?)\n\n", COMMANDS_PAGE, re.MULTILINE | re.DOTALL
    )
    assert own is not None
    assert " ".join(own[1].split()) == COMMANDS[command][1]


def test_help_lists_the_commands_without_importing_them():
    listing = "import sys; from stagebook.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    heavy = "print([name for name in ('pandas', 'mlflow', 'pydantic', 'pyarrow') if name in sys.modules])"
    words = [sys.executable, "-c", listing + heavy]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert printed.rstrip().endswith("[]")
    assert all(re.search(rf"\b{command}\b", printed) for command in COMMANDS)


@pytest.mark.parametrize("file", sorted((ROOT / "params").rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_parameter_file_names_its_schema_and_fits_it(file):
    first, *_ = file.read_text(encoding="utf-8").splitlines()
    schema_file = file.parent / re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)[1]
    schema = json.loads(schema_file.read_text(encoding="utf-8"))
    values = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    jsonschema.validate(values, schema)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"stages": {"train": {"notebooks": "x.py"}}}, "notebooks"),
        ({"stages": {"train": {"run_if": "ALWAYS"}}}, "ALWAYS"),
        ({"table": {}}, "table"),
        ({"tables": {"engine": "duckdb"}}, "duckdb"),
    ],
)
def test_the_schema_refuses_what_a_run_would_refuse(values, where):
    schema = json.loads((ROOT / "params/schema.json").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError, match=where):
        jsonschema.validate(values, schema)


def test_the_schema_completes_stages_tables_and_the_notebooks_parameters():
    schema = json.loads((ROOT / "params/schema.json").read_text(encoding="utf-8"))
    stage = schema["$defs"]["StageSpec"]["properties"]
    assert "train" in stage["depends_on"]["items"]["anyOf"][0]["enum"]
    assert "features" in stage["writes"]["items"]["anyOf"][0]["enum"]
    known = schema["properties"]["stages"]["properties"]["train"]["allOf"][1]["properties"]["parameters"]["properties"]
    assert known["seed"]["default"] == 13
    assert known["seed"]["description"].startswith("int: ")

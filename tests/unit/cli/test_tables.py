"""`stagebook tables` on the command line: text, JSON and exit statuses."""

import json
import re

import pandas as pd
import pytest
from deltalake import write_deltalake
from fixtures.journals import write_journal

from stagebook.cli import call, main
from stagebook.config.flags import parse_condition
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import ConfigError
from stagebook.model.tables import Column, Kind, Layout, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema(
    "flights",
    "flights",
    (Column("month", Kind.INT32, "month"), Column("delay", Kind.INT32, "late", unit="min")),
    layout=Layout(z_order=("month",), reason="months are read one by one"),
)


@pytest.fixture
def project(tmp_path, notebook, params, monkeypatch):
    """A project with a table of three files, one that is external and one that is not written yet."""
    notebook("prep", "1")
    write_deltalake(tmp_path / "theirs", pd.DataFrame({"fare": [1.5]}))
    params(
        "dev",
        """\
        stages: {prep: {notebook: notebooks/prep.ipynb, reads: [fares], writes: [flights, scores]}}
        tables: {external: {fares: theirs}}
        """,
    )
    warehouse = Warehouse(tmp_path / "warehouse/tables", LocalEngine())
    for month in (1, 2, 3):
        rows = pd.DataFrame({"month": [month] * 5, "delay": range(5)})
        warehouse.write(rows, SCHEMA, writer=Writer("r1", "prep", 1), replace=[("month", "=", month)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def output(project, capsys):
    """`output("list")` returns what the command prints, or its JSON."""

    def run(*words):
        assert call(["tables", *words]) == 0
        text = capsys.readouterr().out
        return json.loads(text) if "--json" in words else text

    return run


def test_the_list_has_tables_that_are_yet_to_be_written(output):
    assert output("list").splitlines() == [
        "table    version  rows  files  size    written by",
        "fares    0        1     1      0.0 MB              external",
        "flights  2        15    3      0.0 MB  prep",
        "scores   -        -     -      -       prep        not written yet",
    ]
    assert [(table["name"], table["exists"], table["external"]) for table in output("list", "--json")] == [
        ("fares", True, True), ("flights", True, False), ("scores", False, False),
    ]  # fmt: skip


def test_a_description_has_units_the_layout_and_the_engines_that_can_use_the_table(output):
    text = output("describe", "flights")
    for line in ("why       months are read one by one", "engine    spark: reads and writes it", "delay   int32  min"):
        assert line in text
    value = output("describe", "flights", "--json")
    assert value["layout"]["z_order"] == ["month"]
    assert (value["rows"], value["files"], value["name"]) == (15, 3, "flights")


def test_the_history_names_run_stage_and_attempt(output):
    header, newest, *_ = output("history", "flights", "--last", "2").splitlines()
    assert header.split()[:6] == ["version", "at", "operation", "run", "stage", "attempt"]
    assert newest.split()[3:7] == ["r1", "prep", "1", "15"]
    assert [commit["version"] for commit in output("history", "flights", "--json")] == [2, 1, 0]


def test_an_explanation_counts_files_and_names_the_conditions_that_rule_them_out(output):
    text = output("explain", "flights", "--where", "month = 2", "--where", "delay >= 0", "--columns", "delay")
    assert "files       1 of 3" in text
    assert "month = 2  rules out 2 files, 0 row groups\n" in text
    assert "delay >= 0  rules out 0 files, 0 row groups, as their bounds" in text
    value = output("explain", "flights", "--where", "month in [1, 3]", "--json")
    assert (value["files"], value["all_files"], value["columns"]) == (2, 3, ["month", "delay"])
    assert value["ruled"] == [{"condition": "month in [1, 3]", "files": 1, "row_groups": 0}]


def test_an_optimization_counts_files_before_and_after_and_does_nothing_twice(output):
    assert "3 files of 0.0 MB → about 1 file of 0.0 MB by Z-order" in output("optimize", "flights", "--dry-run")
    assert "3 files of 0.0 MB → 1 file of 0.0 MB by Z-order (the layout declares" in output("optimize", "flights")
    assert "nothing to do: it is one file" in output("optimize", "flights")


def test_a_restore_is_a_new_version_and_a_broken_table_one_line_in_the_list(output, project):
    assert output("restore", "flights", "--version", "0") == "flights: version 3 has the content of version 0\n"
    assert output("describe", "flights", "--json")["rows"] == 5
    log = project / "warehouse/tables/flights/_delta_log"
    (log / f"{4:020d}.json").write_text("nonsense\n")
    line = next(line for line in output("list").splitlines() if line.startswith("flights"))
    assert "the table's log cannot be read at version 4" in line
    restored = output("restore", "flights", "--version", "3", "--json")
    assert restored == {"name": "flights", "restored": 3, "version": 3, "before": 4}
    assert output("restore", "flights", "--version", "3") == "flights: nothing to do: version 3 is the newest\n"


def test_a_vacuum_removes_nothing_without_apply_and_lists_what_runs_keep(output, project):
    output("optimize", "flights")
    write_journal(project / "runs/r0/events.jsonl", {"event": "run_started", "pins": {"flights": 0}})
    plan = output("vacuum", "flights", "--older-than", "0")
    assert "2 files of 0.0 MB that nobody needs, 2 files of 0.0 MB kept" in plan
    assert "run r0 keeps 1 file of 0.0 MB: version 0 (pinned at its start)" in plan
    assert "nothing was removed: --apply does it" in plan
    applied = output("vacuum", "flights", "--older-than", "0", "--apply", "--json")
    assert (applied["applied"], len(applied["files"])) == (True, 2)
    assert len(list((project / "warehouse/tables/flights").glob("*.parquet"))) == 2
    assert "0 files" in output("vacuum", "flights")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["describe", "flihgts"], 2, "table 'flihgts' does not exist in .* Did you mean 'flights'"),
        (["explain", "flights", "--where", "mnth = 1"], 2, "no column 'mnth'. Did you mean 'month'"),
        (["explain", "flights", "--where", "month"], 2, "--where 'month': this is no condition"),
        (["explain", "flights", "--where", "month = x"], 2, "give a whole number"),
        (["optimize", "fares"], 1, "table 'fares' is external"),
        (["vacuum", "fares"], 1, "table 'fares' is external"),
    ],
)
def test_an_impossible_command_ends_with_the_reason_and_what_is_allowed(project, capsys, words, status, message):
    with pytest.raises(SystemExit) as ended:
        main(["tables", *words])
    assert ended.value.code == status
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("month = 12", ("month", "=", 12)),
        ("month=12", ("month", "=", 12)),
        ("delay >= -1.5", ("delay", ">=", -1.5)),
        ("dest != SFO", ("dest", "!=", "SFO")),
        ("dest in [SAN, LAX]", ("dest", "in", ["SAN", "LAX"])),
        ("day < 2013-06-01", ("day", "<", "2013-06-01")),
        ("at <= 2013-06-01T00:00:00+00:00", ("at", "<=", "2013-06-01T00:00:00+00:00")),
        ("origin in in [JFK]", ("origin", "in", "in [JFK]")),
        ("a b = 'c = d'", ("a b", "=", "c = d")),
        ("late = true", ("late", "=", True)),
    ],
)
def test_a_condition_is_a_column_an_operator_and_a_yaml_value(text, condition):
    assert parse_condition(text) == condition


@pytest.mark.parametrize("text", ["", "month", "= 1", "month =", "month = [1"])
def test_a_text_that_is_no_condition_is_refused(text):
    with pytest.raises(ConfigError, match=r"^--where "):
        parse_condition(text)

"""`stagebook cost` from the command line: the trend, and estimates against bills."""

import json

import pytest

from stagebook.cli import call
from stagebook.errors import ConfigError


def output_of(capsys, *arguments) -> str:
    assert call(list(arguments)) == 0
    return capsys.readouterr().out


def test_the_trend_fits_a_terminal_of_80_columns(history, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = output_of(capsys, "cost", "--trend").splitlines()
    assert lines[0].split() == ["run", "commit", "s", "USD", "saved", "reused", "changes"]
    assert lines[1].split()[:3] == ["20261125T120000Z-abcdef", "aaaaaaa", "620.0"]
    assert lines[3].split()[-1] == "code"
    assert max(map(len, lines[:5])) <= 80
    assert lines[5].startswith("since 20261125T120002Z-abcdef (code): cost -")
    rows = json.loads(output_of(capsys, "cost", "--trend", "--format", "json"))
    assert len(rows[0]) == 9


def test_estimates_are_compared_with_a_copy_of_a_workspaces_tables(history, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    output_of(capsys, "cost")  # writes the runs into the tables, which are then used as the workspace's
    text = output_of(capsys, "cost", "--reconcile", "--actual", "warehouse/tables/system")
    lines = text.splitlines()
    assert lines[0].split() == ["run", "from", "estimated", "billed", "difference", "%"]
    assert lines[1].split()[:2] == ["20261125T120000Z-abcdef", "record"]
    assert {line.split()[-1] for line in lines[1:5]} == {"0.0"}
    assert "4 runs: DBU estimated" in lines[5]
    assert "100 % of it" in text
    rows = json.loads(output_of(capsys, "cost", "--actual", "warehouse/tables", "--format", "json"))
    assert rows[0]["difference_usd"] == 0


def test_without_a_workspace_the_error_says_how_to_name_one(priced_project):
    with pytest.raises(ConfigError, match="spark: {remote: databricks}"):
        call(["cost", "--reconcile"])


def test_for_a_folder_without_the_tables_the_error_names_the_missing_ones(priced_project):
    with pytest.raises(ConfigError, match=r"there is no system\.lakeflow\.jobs in .*nowhere"):
        call(["cost", "--actual", "nowhere"])

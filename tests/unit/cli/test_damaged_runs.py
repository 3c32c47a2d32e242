"""Every command works beside runs that are damaged in every way, and says of them what is wrong, and where."""

import re

import pytest
from fixtures.journals import DAMAGE, finished_run

from stagebook.cli import call, main
from stagebook.errors import DamagedRun


@pytest.fixture
def project(priced_project):
    """A project with a good run between damaged ones, one of each kind."""
    runs = priced_project / "runs"
    for number, damage in enumerate(DAMAGE.values()):
        damage(finished_run(runs, f"damaged-{number}"))
    finished_run(runs, "good")
    return priced_project


COMMANDS = [
    ["run", "-n"],
    ["run", "-n", "--json", "--engine", "pandas"],
    ["runs", "--last", "100"],
    ["runs", "reap"],
    ["cost"],
    ["cost", "--trend"],
    ["tables", "list"],
    ["advise"],
    ["queue", "list"],
    ["databricks", "export", "--out", "exported"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_works_beside_damaged_runs(project, words, capsys, monkeypatch):
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(project / "state"))
    assert call(words) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_runs_shows_damaged_ones_with_file_and_line(project, capsys):
    call(["runs", "--last", "100"])
    answer = capsys.readouterr()
    rows = {row.split()[0]: row for row in answer.out.splitlines()[1:]}
    assert {name for name, row in rows.items() if " damaged " not in f"{row} "} == {"good"}
    assert len(rows) == len(DAMAGE) + 1
    assert len(re.findall(r"damaged-\d+/(?:events\.jsonl(?::\d+)?|run\.json|mlflow\.json): this ", answer.err)) == len(
        DAMAGE
    )


def test_a_damaged_run_is_not_resumed_and_one_sentence_says_where_and_what_to_do(project, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--resume", "damaged-0"])
    answer = capsys.readouterr().err
    assert re.search(
        r"damaged-0/events\.jsonl:4: this line of run 'damaged-0' cannot be used: it was written as line 5", answer
    )
    assert "stagebook runs repair damaged-0" in answer


def test_repair_mends_all_of_them_and_says_what_it_did(project, capsys):
    assert call(["runs", "repair"]) == 0
    done = capsys.readouterr().out
    assert all(f"damaged-{number}  " in done for number in range(len(DAMAGE)))
    call(["runs", "--last", "100"])
    assert " damaged " not in capsys.readouterr().out
    assert call(["runs", "repair", "good"]) == 0
    assert capsys.readouterr().out == "nothing is damaged\n"
    with pytest.raises(DamagedRun):
        (project / "runs/good/events.jsonl").write_text("null\n")
        call(["run", "-n", "--resume", "good"])

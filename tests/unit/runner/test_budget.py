"""Budgets over stages and over processes."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.costs.prediction import Prediction
from stagebook.errors import OverBudget
from stagebook.model.pipeline import Paths, Pipeline, Stage, Tracking
from stagebook.model.pricing import Budget, Range
from stagebook.planner.decide import Plan, Step
from stagebook.runner.budget import RunBudget
from stagebook.runs import folders
from stagebook.runs.recorder import RunRecorder

TESTS = str(Path(__file__).resolve().parents[2])
HOUR = Prediction(Range.exactly(3600), "from 1 run")


def spending(root: Path, budget: Budget, run_id: str = "r1", **told: Prediction) -> RunBudget:
    stages = {name: Stage(name, Path(f"{name}.py"), profile="p") for name in "xy"}
    pipeline = Pipeline("demo", stages, {}, Paths(root, root, root, root), Tracking("u", "e", "m"),
                        rates={"p": rate_of()}, budget=budget)  # fmt: skip
    plan = Plan({name: Step("run", "") for name in "xy"}, {})
    return RunBudget.of(pipeline, folders.folder(root, run_id), plan, told, lambda: datetime(2026, 11, 25, tzinfo=UTC))


def test_a_run_that_is_expected_to_cost_too_much_is_refused(tmp_path):
    fits = spending(tmp_path, Budget(Decimal("4.8125")), x=HOUR, y=HOUR)  # 2 h and 5 minutes of 2.31 USD
    with fits.admitted(None):
        pass
    with (
        pytest.raises(OverBudget, match=r"about 4.8125 would come on top(.|\n)*Raise --max-cost"),
        spending(tmp_path, Budget(Decimal("4.81")), x=HOUR, y=HOUR).admitted(None),
    ):
        pass


def test_a_resumed_run_brings_what_it_has_spent(tmp_path):
    spent = RunBuilder({"x": "p", "y": "p"}, [rate_of()]).attempt("x", 0, 3600, "failed").record
    assert spending(tmp_path, Budget(Decimal(3))).refused(None) is None
    assert "the run has spent or reserved 2.5025" in str(spending(tmp_path, Budget(Decimal("2.6"))).refused(spent))


@pytest.mark.parametrize(
    ("limit", "under_way", "refused"),
    [("4.9", [], False), ("4.8", [], True), ("4.9", ["x"], True), ("8", ["x"], False)],
)
def test_a_stage_is_asked_for_with_what_is_spent_and_under_way(tmp_path, limit, under_way, refused):
    record = RunBuilder({"x": "p", "y": "p"}, [rate_of()]).attempt("x", 0, 3600).record
    supervisor = spending(tmp_path, Budget(Decimal(limit)), x=HOUR, y=HOUR)
    assert bool(supervisor.permit("y", record, under_way)) == refused


def test_nothing_is_asked_without_a_budget(tmp_path):
    assert spending(tmp_path, Budget()).permit("y", RunBuilder({"x": "p", "y": "p"}, [rate_of()]).record, []) is None


@pytest.mark.slow
def test_the_months_total_holds_across_processes(tmp_path):
    """Five runs that hold 4.81 USD each ask at once; a month of 10 USD lets two of them begin."""
    asking = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path), f"r{number}"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": TESTS})
        for number in range(5)
    ]  # fmt: skip
    try:
        said = [process.stdout.readline().strip() for process in asking if process.stdout]
    finally:
        for process in asking:
            process.communicate("done\n")
    assert sorted(said) == ["begun", "begun", "refused", "refused", "refused"]


def _ask(root: Path, run_id: str) -> None:
    supervisor = spending(root, Budget(None, Decimal(10)), run_id, x=HOUR, y=HOUR)
    with supervisor.folder.held():
        try:
            with (
                supervisor.admitted(None),
                RunRecorder(supervisor.folder, lambda: datetime(2026, 11, 25, tzinfo=UTC)) as book,
            ):
                started = RunBuilder({"x": "p", "y": "p"}, [rate_of()], run_id).events[0]
                kept = {key: value for key, value in started.items() if key not in ("at", "event")}
                book.emit("run_started", **{**kept, "reserved_usd": float(supervisor.expected.likely)})
                supervisor.begun()
                print("begun", flush=True)
                sys.stdin.readline()
        except OverBudget:
            print("refused", flush=True)


if __name__ == "__main__":
    _ask(Path(sys.argv[1]), sys.argv[2])

"""A sweep run in MLflow: a parent run with its configurations' runs below it, which can be sent again."""

from dataclasses import replace
from decimal import Decimal

import pytest

from stagebook.model.sweep import Comparison, ComparisonRow, Configuration, Objective, SweepRun
from stagebook.tracking.connection import connected
from stagebook.tracking.sweeps import sync_sweep
from stagebook.tracking.sync import sync


@pytest.fixture
def comparison(record):
    computed = Configuration(1, record.run_id, {"train.max_iter": 50})
    not_started = Configuration(2, "never", {"train.max_iter": 100})
    sweep_run = SweepRun("sweep-1", "train", "2026-11-23T02:00:00.000Z", {}, Objective("roc_auc", True),
                         (computed, not_started), finished_at="2026-11-23T02:10:00.000Z", exit_code=1)  # fmt: skip
    no_results = (0.0, Decimal(0), 0.0, Decimal(0), ())
    rows = (
        ComparisonRow(
            1,
            record.run_id,
            computed.settings,
            "succeeded",
            0,
            0.68,
            60.0,
            Decimal("0.5"),
            30.0,
            Decimal("0.25"),
            ("deploy",),
        ),
        ComparisonRow(2, "never", not_started.settings, "not_started", None, None, *no_results),
    )
    return Comparison(sweep_run, rows, 1)


def test_a_sweep_run_is_the_parent_of_its_runs_after_any_number_of_calls(
    tracking, record, run_dir, comparison, tmp_path
):
    member = sync(record, tracking, run_dir, final=True)["run_id"]
    page = tmp_path / "comparison.csv"
    page.write_text("n\n")
    first = sync_sweep(comparison, {record.run_id: member}, [page], tracking)
    sync(record, tracking, run_dir, final=True)
    assert sync_sweep(comparison, {record.run_id: member}, [page], tracking) == first
    with connected(tracking) as client:
        parent, child = client.get_run(first), client.get_run(member)
        assert [artifact.path for artifact in client.list_artifacts(first)] == ["comparison.csv"]
    assert (parent.info.run_name, parent.info.status) == ("sweep-1", "FINISHED")
    assert parent.data.metrics == {
        "configurations": 2.0, "seconds": 60.0, "saved_seconds": 30.0, "cost.estimated_usd": 0.5, "cost.saved_usd": 0.25,
        "best.roc_auc": 0.68,
    }  # fmt: skip
    assert parent.data.tags["stagebook.best_run_id"] == record.run_id
    assert parent.data.tags["best.train.max_iter"] == "50"
    assert child.data.tags["mlflow.parentRunId"] == first
    assert child.data.params["train.max_iter"] == "50"
    assert child.info.status == "FINISHED"


def test_a_run_of_a_sweep_is_found_again_by_tag_if_its_links_are_lost(tracking, record, run_dir, comparison):
    member = sync(record, tracking, run_dir, final=True)["run_id"]
    sync_sweep(comparison, {record.run_id: member}, [], tracking)
    (run_dir / "mlflow.json").unlink()
    assert sync(record, tracking, run_dir, final=True)["run_id"] == member


def test_a_better_configuration_that_ends_later_replaces_the_best(tracking, comparison):
    first = sync_sweep(comparison, {}, [], tracking)
    better = (comparison.rows[0], replace(comparison.rows[1], status="succeeded", value=0.7))
    assert sync_sweep(replace(comparison, rows=better, best=2), {}, [], tracking) == first
    with connected(tracking) as client:
        data = client.get_run(first).data
    assert (data.metrics["best.roc_auc"], data.tags["best.train.max_iter"]) == (0.7, "100")

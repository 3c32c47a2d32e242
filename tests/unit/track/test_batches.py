"""A batch in MLflow: a parent run, its configurations' runs below it, told again without harm."""

from dataclasses import replace
from decimal import Decimal

import pytest

from stagebook.model.batch import Batch, Comparison, Configuration, Goal, Row
from stagebook.track.batches import tell
from stagebook.track.connection import connected
from stagebook.track.sync import sync


@pytest.fixture
def found(record):
    one = Configuration(1, record.run_id, {"train.max_iter": 50})
    other = Configuration(2, "never", {"train.max_iter": 100})
    batch = Batch("batch-1", "train", "2026-11-23T02:00:00.000Z", {}, Goal("roc_auc", True), (one, other),
                  finished_at="2026-11-23T02:10:00.000Z", exit_code=1)  # fmt: skip
    nothing = (0.0, Decimal(0), 0.0, Decimal(0), ())
    rows = (
        Row(
            1,
            record.run_id,
            one.settings,
            "succeeded",
            0,
            0.68,
            60.0,
            Decimal("0.5"),
            30.0,
            Decimal("0.25"),
            ("deploy",),
        ),
        Row(2, "never", other.settings, "not_started", None, None, *nothing),
    )
    return Comparison(batch, rows, 1)


def test_a_batch_is_a_run_above_its_runs_however_often_it_is_told(tracking, record, run_dir, found, tmp_path):
    member = sync(record, tracking, run_dir, final=True)["run_id"]
    page = tmp_path / "comparison.csv"
    page.write_text("n\n")
    first = tell(found, {record.run_id: member}, [page], tracking)
    sync(record, tracking, run_dir, final=True)
    assert tell(found, {record.run_id: member}, [page], tracking) == first
    with connected(tracking) as client:
        parent, child = client.get_run(first), client.get_run(member)
        assert [one.path for one in client.list_artifacts(first)] == ["comparison.csv"]
    assert (parent.info.run_name, parent.info.status) == ("batch-1", "FINISHED")
    assert parent.data.metrics == {
        "configurations": 2.0, "seconds": 60.0, "saved_seconds": 30.0, "cost.estimated_usd": 0.5, "cost.saved_usd": 0.25,
        "best.roc_auc": 0.68,
    }  # fmt: skip
    assert parent.data.tags["stagebook.best_run_id"] == record.run_id
    assert parent.data.tags["best.train.max_iter"] == "50"
    assert child.data.tags["mlflow.parentRunId"] == first
    assert child.data.params["train.max_iter"] == "50"
    assert child.info.status == "FINISHED"


def test_a_run_of_a_batch_is_found_again_where_its_links_are_lost(tracking, record, run_dir, found):
    member = sync(record, tracking, run_dir, final=True)["run_id"]
    tell(found, {record.run_id: member}, [], tracking)
    (run_dir / "mlflow.json").unlink()
    assert sync(record, tracking, run_dir, final=True)["run_id"] == member


def test_a_better_one_that_is_found_later_is_told(tracking, found):
    first = tell(found, {}, [], tracking)
    better = (found.rows[0], replace(found.rows[1], status="succeeded", value=0.7))
    assert tell(replace(found, rows=better, best=2), {}, [], tracking) == first
    with connected(tracking) as client:
        told = client.get_run(first).data
    assert (told.metrics["best.roc_auc"], told.tags["best.train.max_iter"]) == (0.7, "100")

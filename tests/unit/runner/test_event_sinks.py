"""Each event sink hears of a run although another one cannot be reached."""

import json

import pytest
from deltalake import DeltaTable
from fixtures.run_builder import RunBuilder, rate_of

from stagebook import notify
from stagebook.model.pipeline import Tracking
from stagebook.runner.event_sinks import EventSinks
from stagebook.runs.folders import RunFolder
from stagebook.system_tables import write


@pytest.fixture
def folder(tmp_path):
    story = RunBuilder({"x": "p"}, [rate_of()]).attempt("x", 10, 60, "failed").ended(80, "failed", 1)
    run_folder = RunFolder(tmp_path / "runs/r1")
    run_folder.path.mkdir(parents=True)
    run_folder.events.write_text("".join(f"{json.dumps(event)}\n" for event in story.events))
    return run_folder


def test_a_tracking_server_that_is_down_keeps_no_other_sink_from_hearing(folder, hook, tmp_path, monkeypatch):
    monkeypatch.setenv(notify.VARIABLE, f"json://127.0.0.1:{hook.server_port}")
    unreachable = Tracking("http://127.0.0.1:9", "demo", "demo")
    problems = EventSinks(unreachable, {"on": ["failure"]}, tmp_path / "tables").finish(folder)
    assert [problem.partition(":")[0] for problem in problems] == ["tracking"]
    assert [body["title"] for body in hook.got] == ["demo: failed"]
    assert DeltaTable(str(write.table_folder(tmp_path / "tables", "billing/usage"))).to_pyarrow_table().num_rows > 0


def test_event_sinks_come_back_from_json(tmp_path):
    sinks = EventSinks(Tracking("sqlite:///x.db", "demo", "demo", "art"), {"on": ["success"]}, tmp_path)
    assert EventSinks.from_json(json.loads(json.dumps(sinks.to_json()))) == sinks

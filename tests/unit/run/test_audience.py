"""Whoever is told of a run hears of it although another does not."""

import json

import pytest
from deltalake import DeltaTable
from fixtures.bills import Story, rated

from stagebook import notify
from stagebook.ledger import post
from stagebook.model.pipeline import Tracking
from stagebook.run.audience import Audience
from stagebook.storage.runs import RunFolder


@pytest.fixture
def folder(tmp_path):
    story = Story({"x": "p"}, [rated()]).attempt("x", 10, 60, "failed").ended(80, "failed", 1)
    found = RunFolder(tmp_path / "runs/r1")
    found.path.mkdir(parents=True)
    found.events.write_text("".join(f"{json.dumps(event)}\n" for event in story.events))
    return found


def test_a_tracking_server_that_is_down_keeps_nobody_else_from_hearing(folder, hook, tmp_path, monkeypatch):
    monkeypatch.setenv(notify.VARIABLE, f"json://127.0.0.1:{hook.server_port}")
    nobody = Tracking("http://127.0.0.1:9", "demo", "demo")
    problems = Audience(nobody, {"on": ["failure"]}, tmp_path / "tables").tell_all(folder)
    assert [problem.partition(":")[0] for problem in problems] == ["tracking"]
    assert [body["title"] for body in hook.got] == ["demo: failed"]
    assert DeltaTable(str(post.folder(tmp_path / "tables", "billing/usage"))).to_pyarrow_table().num_rows > 0


def test_an_audience_comes_back_from_json(tmp_path):
    audience = Audience(Tracking("sqlite:///x.db", "demo", "demo", "art"), {"on": ["success"]}, tmp_path)
    assert Audience.from_json(json.loads(json.dumps(audience.to_json()))) == audience

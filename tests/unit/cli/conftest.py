"""A small project with priced profiles, and a history of it."""

import pytest
from fixtures.bills import BOOK, Story

from stagebook.cost.rates import rate
from stagebook.model.pricing import Cluster, Terms
from stagebook.storage import runs
from stagebook.storage.journal import Journal

FILE = """\
    pipeline: demo
    stages:
      fit: {notebook: notebooks/fit.ipynb, profile: train}
      check: {notebook: notebooks/fit.ipynb, profile: small, depends_on: [fit]}
    profiles:
      train: {node_type_id: r5.4xlarge}
      small: {node_type_id: m5.large}
    """


@pytest.fixture
def priced_project(tmp_path, notebook, params, monkeypatch):
    notebook("fit", "1")
    params("dev", FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def history(priced_project):
    """Four runs of ten minutes; the last two are of another commit and half as long."""
    rates = [rate(name, Cluster(node_type_id=node), Terms(), BOOK) for name, node in
             {"train": "r5.4xlarge", "small": "m5.large"}.items()]  # fmt: skip
    for n, seconds in enumerate((600, 600, 300, 300)):
        story = Story({"fit": "train", "check": "small"}, rates, f"20261125T12000{n}Z-abcdef")
        story.events[0]["git"] = {"commit": "ab"[n // 2] * 40, "dirty": False}
        story.events[0]["at"] = story.events[0]["at"].replace("12:00:00", f"11:59:0{n}")
        story.attempt("fit", 0, seconds).attempt("check", seconds + 1, 20).ended(seconds + 30)
        with Journal(runs.folder(priced_project / "runs", story.record.run_id).events) as journal:
            for event in story.events:
                journal.append(event)
    return priced_project

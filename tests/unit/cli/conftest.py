"""A small project with priced profiles, and its earlier runs."""

import pytest
from fixtures.run_builder import PRICE_BOOK, RunBuilder

from stagebook.costs.rates import rate
from stagebook.model.pricing import Cluster, PurchaseTerms
from stagebook.runs import folders
from stagebook.runs.journal import Journal

PARAMS = """\
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
    params("dev", PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def history(priced_project):
    """The project with four runs: two of ten minutes, and two of another commit that take half as long."""
    rates = [rate(name, Cluster(node_type_id=node), PurchaseTerms(), PRICE_BOOK) for name, node in
             {"train": "r5.4xlarge", "small": "m5.large"}.items()]  # fmt: skip
    for n, seconds in enumerate((600, 600, 300, 300)):
        run = RunBuilder({"fit": "train", "check": "small"}, rates, f"20261125T12000{n}Z-abcdef")
        run.events[0]["git"] = {"commit": "ab"[n // 2] * 40, "dirty": False}
        run.events[0]["at"] = run.events[0]["at"].replace("12:00:00", f"11:59:0{n}")
        run.attempt("fit", 0, seconds).attempt("check", seconds + 1, 20).ended(seconds + 30)
        with Journal(folders.folder(priced_project / "runs", run.record.run_id).events) as journal:
            for event in run.events:
                journal.append(event)
    return priced_project

import os

import pytest

from stagebook.cli import cores


@pytest.mark.parametrize(
    ("said", "jobs", "policy"),
    [(None, 1, None), (None, 2, "passive"), ("active", 2, "active"), ("active", 1, "active")],
)
def test_threads_sleep_where_several_run_at_once_unless_the_environment_says_otherwise(monkeypatch, said, jobs, policy):
    monkeypatch.setattr(os, "environ", {} if said is None else {cores.VARIABLE: said})
    cores.share(jobs)
    assert os.environ.get(cores.VARIABLE) == policy

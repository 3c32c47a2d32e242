"""How OpenMP's threads wait where several jobs share the cores."""

import os

import pytest

from stagebook.cli import threads

ACTIVE = {threads.VARIABLE: "active"}


@pytest.mark.parametrize(
    ("environment", "jobs", "policy"),
    [({}, 1, None), ({}, 2, "passive"), (ACTIVE, 2, "active"), (ACTIVE, 1, "active")],
)
def test_threads_sleep_where_several_jobs_run_at_once_unless_the_environment_sets_a_policy(
    monkeypatch, environment, jobs, policy
):
    monkeypatch.setattr(os, "environ", dict(environment))
    threads.share(jobs)
    assert os.environ.get(threads.VARIABLE) == policy

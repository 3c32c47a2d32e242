"""A run beside old runs that are damaged in every way: it runs, reuses what is whole, and is resumed."""

import json

import pytest
from fixtures.journals import DAMAGE, copy_of

PARAMS = """\
    pipeline: demo
    stages:
      first: {notebook: notebooks/first.ipynb}
      second: {notebook: notebooks/second.ipynb, depends_on: [first]}
    """


@pytest.fixture
def project(run, notebook, params, tmp_path):
    """A project whose first run failed in its second stage, copied once for each kind of damage."""
    from stagebook.runs.folders import RunFolder

    notebook("first", "import scrapbook as sb; sb.glue('rows', 12)")
    notebook("second", "1 / 0")
    params("dev", PARAMS)
    assert run("--run-id", "original").code == 1
    original = RunFolder(tmp_path / "runs" / "original")
    for number, damage in enumerate(DAMAGE.values()):
        damage(copy_of(original, f"zz-damaged-{number}"))
    notebook("second", "1")
    return tmp_path / "runs"


def test_a_run_and_a_resume_of_others_work_beside_damaged_runs(run, project):
    new = run("--run-id", "new", "--json")
    assert new.code == 0, new.err
    assert {name: stage["status"] for name, stage in json.loads(new.out)["stages"].items()} == {
        "first": "reused", "second": "succeeded",
    }  # fmt: skip
    assert "Traceback" not in new.err
    resumed = run("--resume", "original")
    assert resumed.code == 0, resumed.err
    refused = run("--resume", "zz-damaged-0")
    assert (refused.code, refused.out) == (2, "")
    assert "zz-damaged-0/events.jsonl:4: this line of run 'zz-damaged-0' cannot be used" in refused.err
    assert len(refused.err.splitlines()) == 2

"""Wherever a runner is killed: its run is resumed, and each output is committed exactly once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.fault_campaign import POINTS

SCRIPT = Path(__file__).parents[2] / "fixtures" / "fault_campaign.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "seeds", [range(40), pytest.param(range(40, 340), marks=pytest.mark.campaign)], ids=["40", "300"]
)
def test_a_run_that_is_killed_anywhere_is_resumed_and_commits_each_output_once(tmp_path, seeds):
    command = [sys.executable, str(SCRIPT), str(tmp_path), *map(str, seeds)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    trials = json.loads(ended.stdout)
    assert [trial for trial in trials if trial["problem"]] == []
    assert {trial["faults"][0][0] for trial in trials} == set(POINTS)
    assert sum(trial["killed"] for trial in trials) >= len(seeds) * 0.7

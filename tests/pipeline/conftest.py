"""Whole pipelines through the real command, with one tracking database for all of them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNNER = (str(ROOT / "runners/run_pipeline.py"),)


@dataclass
class Ended:
    """What a command left: exit status, what it printed, and its run's folder and record."""

    code: int
    out: str
    err: str
    runs: Path

    @cached_property
    def folder(self) -> Path:
        """The newest run's; asked for before the next command is run."""
        return max((path.parent for path in self.runs.glob("*/events.jsonl")), key=lambda path: path.stat().st_mtime)

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "run.json").read_text())

    def stage(self, name: str) -> dict[str, Any]:
        return self.record["stages"][name]

    @property
    def statuses(self) -> dict[str, str]:
        return {name: stage["status"] for name, stage in self.record["stages"].items()}


@pytest.fixture(scope="session")
def shared_warehouse(tmp_path_factory) -> Path:
    """A warehouse whose tracking database is created once."""
    return tmp_path_factory.mktemp("warehouse")


def environment(warehouse: Path, **more: str) -> dict[str, str]:
    kept = ("STAGEBOOK_STATE_DIR",)
    clean = {name: value for name, value in os.environ.items() if name in kept or not name.startswith("STAGEBOOK_")}
    return {**clean, "STAGEBOOK_WAREHOUSE": str(warehouse), **more}


@pytest.fixture
def start(tmp_path, shared_warehouse):
    """`start("--params", "p", …)` starts the command in the test's project; returns the process.

    `program` is what is started instead of the runner, such as `-m stagebook.cli`.
    """
    started: list[subprocess.Popen[str]] = []

    def call(*words: str, program: tuple[str, ...] = RUNNER, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=tmp_path,
            env=environment(shared_warehouse, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(start, tmp_path):
    """`run("--params", "p", …)` runs the command to its end."""

    def call(*words: str, **how: Any) -> Ended:
        process = start(*words, **how)
        out, err = process.communicate(timeout=200)
        ended = Ended(process.returncode, out, err, tmp_path / "runs")
        if any(ended.runs.glob("*/events.jsonl")):
            assert ended.folder
        return ended

    return call

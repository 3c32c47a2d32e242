"""Whole pipelines through the real command, with one tracking database for all of them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from fixtures.processes import HANG_SECONDS
from fixtures.projects import write_notebook, write_params

from stagebook.cli import main

ROOT = Path(__file__).resolve().parents[2]
RUNNER = (str(ROOT / "runners/run_pipeline.py"),)


@dataclass
class Ended:
    """How a command ended: exit status, what it printed, and its run's folder and record."""

    code: int
    out: str
    err: str
    runs: Path

    @cached_property
    def folder(self) -> Path:
        """The newest run's; asked for before the next command is run."""
        return max((path.parent for path in self.runs.glob("*/events.jsonl")), key=lambda path: path.stat().st_mtime)

    @cached_property
    def record(self) -> dict[str, Any]:
        """The run's record, as it was when this was first asked for."""
        return json.loads((self.folder / "run.json").read_text())

    def stage(self, name: str) -> dict[str, Any]:
        return self.record["stages"][name]

    def attempts(self, name: str) -> list[str]:
        """The status of each attempt of a stage."""
        return [attempt["status"] for attempt in self.stage(name)["attempts"]]

    def executed(self, name: str) -> str:
        """The text of the notebook that a stage's first attempt executed."""
        return (self.folder / f"stages/{name}/attempt-1.ipynb").read_text()

    @property
    def statuses(self) -> dict[str, str]:
        return {name: stage["status"] for name, stage in self.record["stages"].items()}


@dataclass
class Project:
    """A folder with notebooks and parameter files, and the real command run in it."""

    folder: Path
    warehouse: Path
    _started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def notebook(self, name: str, *cells: str, parameters: str | None = None) -> Path:
        return write_notebook(self.folder, name, *cells, parameters=parameters)

    def params(self, name: str, text: str) -> Path:
        return write_params(self.folder, name, text)

    def start(self, *words: str, program: tuple[str, ...] = RUNNER, **variables: str) -> "subprocess.Popen[str]":
        """Start the command; `program` is what is started instead of the runner, such as `-m stagebook.cli`."""
        process = subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=self.folder,
            env=environment(self.warehouse, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *words: str, **options: Any) -> Ended:
        """Run the command to its end."""
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=HANG_SECONDS)
        ended = Ended(process.returncode, out, err, self.folder / "runs")
        if any(ended.runs.glob("*/run.json")):
            assert ended.record
        return ended

    def end_processes(self) -> None:
        """Kill what was started and still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def environment(warehouse: Path, **variables: str) -> dict[str, str]:
    """The variables of a command: this process's without Stagebook's own, but with the state of this session."""
    shared = ("STAGEBOOK_STATE_DIR",)
    clean = {name: value for name, value in os.environ.items() if name in shared or not name.startswith("STAGEBOOK_")}
    return {**clean, "STAGEBOOK_WAREHOUSE": str(warehouse), **variables}


@pytest.fixture(scope="session")
def shared_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse whose tracking database is created once."""
    return tmp_path_factory.mktemp("warehouse")


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory, shared_warehouse: Path) -> Iterator[Project]:
    """A project whose runs several tests of a module look at."""
    project = Project(tmp_path_factory.mktemp("project"), shared_warehouse)
    yield project
    project.end_processes()


@pytest.fixture
def project_of_test(tmp_path: Path, shared_warehouse: Path) -> Iterator[Project]:
    """The project of one test, in its `tmp_path`."""
    project = Project(tmp_path, shared_warehouse)
    yield project
    project.end_processes()


@pytest.fixture
def start(project_of_test: Project) -> Callable[..., "subprocess.Popen[str]"]:
    """`start("--params", "p", …)` starts the command in the test's project; returns the process."""
    return project_of_test.start


@pytest.fixture
def run(project_of_test: Project) -> Callable[..., Ended]:
    """`run("--params", "p", …)` runs the command to its end."""
    return project_of_test.run


@pytest.fixture
def call(
    tmp_path: Path, shared_warehouse: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """`call("run", "--dry-run", …)` runs a command in this process: one that starts no kernel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAGEBOOK_WAREHOUSE", str(shared_warehouse))

    def call_main(*words: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*words])
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err, tmp_path / "runs")

    return call_main

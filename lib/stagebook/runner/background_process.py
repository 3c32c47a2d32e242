"""The background worker's own process: one task at a time, in the order asked; see `background_worker`."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.record import Attempt, RunRecord
from stagebook.runner.event_sinks import EventSinks, one_line
from stagebook.runs.folders import RunFolder
from stagebook.runs.recorder import RunRecorder
from stagebook.tracking import database

HELD_SECONDS = 60.0

HURRIED = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""MLflow's settings of a run, which does not wait for a server that does not answer: the record is sent later."""


class BackgroundTasks:
    """The tasks that the runner may ask for; each answers with plain values."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.folder = RunFolder(Path(setup["run_folder"]))
        self.sinks = EventSinks.from_json(setup["sinks"])
        self._unavailable: TrackingUnavailable | None = None

    def prepare(self) -> dict[str, Any]:
        """Make MLflow's database."""
        with self._tried_once():
            database.prepare(self.sinks.tracking)
        return {}

    def sync(self) -> dict[str, Any]:
        """Send to MLflow what the record has by now; answers with the ids of its runs."""
        with self._tried_once():
            return self.sinks.sync_mlflow(self.folder, final=False)

    @contextmanager
    def _tried_once(self) -> Iterator[None]:
        """Do not wait again for a server that has not answered before.

        Raises:
            TrackingUnavailable: it did not answer, or does not now.
        """
        if self._unavailable is not None:
            raise self._unavailable
        try:
            yield
        except TrackingUnavailable as fault:
            if not isinstance(fault, TrackingRefused):
                self._unavailable = fault
            raise

    def render(self) -> dict[str, Any]:
        """Render the executed notebooks that have no page yet."""
        import nbformat

        from stagebook import atomic
        from stagebook.report.notebook import notebook_html

        record = self.folder.load()
        for path in sorted(self.folder.path.glob("stages/*/attempt-*.ipynb")):
            page = path.with_suffix(".html")
            if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
                attempt, ended_early = _end_of(record, str(path.relative_to(self.folder.path)))
                title = f"{path.parent.name} · {path.stem.replace('-', ' ')}"
                node = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
                html = notebook_html(
                    node, title=title, back="../../report.html", attempt=attempt, ended_early=ended_early
                )
                atomic.write_text(page, html)
        return {}

    def finish(self) -> dict[str, Any]:
        """The last word to MLflow, with artifacts; the system tables; then the notices."""
        return {"problems": self.sinks.finish(self.folder, skip_tracking=self._unavailable)}

    def finish_detached(self) -> dict[str, Any]:
        """As `finish`, after the runner has gone: the worker takes the run over and links it to MLflow itself."""
        with self.folder.held(wait_seconds=HELD_SECONDS), RunRecorder(self.folder, lambda: datetime.now(UTC)) as book:
            book.emit("tracking_linked", mlflow=self.sinks.sync_mlflow(self.folder, final=True))
            self.sinks.post_to_system_tables(self.folder)
        return {"problems": self.sinks.notify(self.folder)}


def _end_of(record: RunRecord | None, notebook: str) -> tuple[Attempt | None, str | None]:
    """The attempt that executed a notebook, and why its stage ended early if it did, as far as they are recorded."""
    for stage in record.stages.values() if record else ():
        for attempt in stage.attempts:
            if attempt.notebook == notebook:
                return attempt, stage.ended_early if attempt is stage.attempts[-1] else None
    return None, None


def main() -> int:
    """Do what is asked until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries go to the log, not between the answers
    for name, value in HURRIED.items():
        os.environ.setdefault(name, value)
    background = BackgroundTasks(json.loads(sys.argv[1]))
    methods = (
        background.prepare,
        background.sync,
        background.render,
        background.finish,
        background.finish_detached,
    )
    tasks = {method.__name__: method for method in methods}
    for number, name in calls(sys.stdin.fileno()):
        answer = _answer(tasks[name])
        with suppress(BrokenPipeError):  # nobody waits for what is done detached
            answers.write(f"{number} {json.dumps(answer, default=str)}\n")
            answers.flush()
    return 0


def calls(descriptor: int) -> Iterator[tuple[str, str]]:
    """Numbers and names of tasks as they come; of those that wait only the last of each name, which does all the work.

    Args: descriptor: the file that they are read from, a number and a name a line.
    """
    rest = b""
    while chunk := os.read(descriptor, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        waiting: dict[str, str] = {}
        for number, name in (line.decode().split() for line in lines):
            waiting.pop(name, None)
            waiting[name] = number
        yield from ((number, name) for name, number in waiting.items())


def _answer(task: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the task answers, or its problem: the worker lives on."""
    try:
        return task()
    except Exception as error:
        with suppress(OSError):  # the log's disk may be full
            traceback.print_exc()
        return {"problem": one_line(error)}


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # taking MLflow apart takes a second, for which the runner would wait

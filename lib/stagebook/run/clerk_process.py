"""The clerk's own process: see `clerk`. One thing at a time, in the order asked."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagebook.run.audience import Audience, in_short
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import RunFolder
from stagebook.track import database

HELD_SECONDS = 60.0


class Desk:
    """What the clerk works with."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.folder = RunFolder(Path(setup["run_folder"]))
        self.audience = Audience.from_json(setup["audience"])

    def prepare(self) -> dict[str, Any]:
        database.prepare(self.audience.tracking)
        return {}

    def sync(self) -> dict[str, Any]:
        return self.audience.tell_mlflow(self.folder, final=False)

    def render(self) -> dict[str, Any]:
        """Render the executed notebooks that have no page yet."""
        import nbformat

        from stagebook.report.notebook import notebook_html
        from stagebook.storage import atomic

        for path in sorted(self.folder.path.glob("stages/*/attempt-*.ipynb")):
            page = path.with_suffix(".html")
            if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
                node = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
                title = f"{path.parent.name} · {path.stem.replace('-', ' ')}"
                atomic.write_text(page, notebook_html(node, title=title, back="../../report.html"))
        return {}

    def finish(self) -> dict[str, Any]:
        """The last word to MLflow, with artifacts; the system tables; then the notices."""
        return {"problems": self.audience.tell_all(self.folder)}

    def finish_alone(self) -> dict[str, Any]:
        """As `finish`, after the runner has gone: the clerk takes the run over and links it to MLflow itself."""
        with self.folder.held(wait_seconds=HELD_SECONDS), RunBook(self.folder, lambda: datetime.now(UTC)) as book:
            book.tell("tracking_linked", mlflow=self.audience.tell_mlflow(self.folder, final=True))
            self.audience.enter(self.folder)
        return {"problems": self.audience.notify(self.folder)}


def main() -> int:
    """Do what is asked until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries go to the log, not between the answers
    desk = Desk(json.loads(sys.argv[1]))
    words = (desk.prepare, desk.sync, desk.render, desk.finish, desk.finish_alone)
    tasks = {task.__name__: task for task in words}
    for number, word in calls(sys.stdin.fileno()):
        answer = _answer(tasks[word])
        with suppress(BrokenPipeError):  # nobody waits for what is done alone
            answers.write(f"{number} {json.dumps(answer, default=str)}\n")
            answers.flush()
    return 0


def calls(words: int) -> Iterator[tuple[str, str]]:
    """Numbers and words as they come; of those that wait only the last of each word, which does the work of all.

    Args: words: the file descriptor that they are read from, a number and a word a line.
    """
    rest = b""
    while chunk := os.read(words, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        waiting: dict[str, str] = {}
        for number, word in (line.decode().split() for line in lines):
            waiting.pop(word, None)
            waiting[word] = number
        yield from ((number, word) for word, number in waiting.items())


def _answer(task: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the task answers, or its problem: the clerk lives on."""
    try:
        return task()
    except Exception as error:
        traceback.print_exc()
        return {"problem": in_short(error)}


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # taking MLflow apart takes a second, for which the runner would wait

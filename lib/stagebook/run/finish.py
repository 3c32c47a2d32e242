"""The last words of a run: the record, the report, and what the clerk has to tell the world."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from stagebook.cost.trend import trend
from stagebook.model.record import RunRecord
from stagebook.report.page import render
from stagebook.run import clerk as clerks
from stagebook.run import ending
from stagebook.run.clerk import Clerk
from stagebook.storage import atomic
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import RunFolder

RUNS = 60
"""A report compares so many runs, at most."""


@dataclass(frozen=True)
class LastWords:
    """What a report tells besides the run: the command that goes on with it, and this pipeline's runs, newest first."""

    resume: str
    earlier: Iterable[RunRecord] = ()


def finish(book: RunBook, clerk: Clerk, warn: Callable[[str], None], caught: list[int], words: LastWords) -> None:
    """Close the record, then the report, then what the clerk still has to tell the world."""
    if linked := clerk.ask("sync", clerks.FINISH_SECONDS):
        book.tell("tracking_linked", mlflow=linked)
    _end(book, caught)
    clerk.ask("render", clerks.RENDER_SECONDS)
    write_report(book.record, book.folder, words)
    finished = clerk.ask("finish", clerks.FINISH_SECONDS)
    for problem in finished["problems"] if finished else ["tracking is not finished"]:
        warn(f"{problem} (nothing is lost: `stagebook track {book.folder.run_id}` sends it later)")


def finish_at_once(book: RunBook, clerk: Clerk, caught: list[int], words: LastWords) -> None:
    """Close a run in which nothing ran: nobody waits for MLflow, whose import takes longer than all else."""
    _end(book, caught)
    write_report(book.record, book.folder, words)
    clerk.leave_alone("finish_alone")


def _end(book: RunBook, caught: list[int]) -> None:
    status, exit_code = ending.verdict(book.record, caught[-1] if caught else None)
    book.tell("run_finished", status=status.value, exit_code=exit_code)


def write_report(record: RunRecord, folder: RunFolder, words: LastWords) -> None:
    """Render `report.html` from the record and the pages that the run folder has."""
    links: dict[str, dict[int, dict[str, str]]] = {}
    for name, stage in record.stages.items():
        for attempt in stage.attempts:
            pages = {suffix[1:]: folder.attempt(name, attempt.n, suffix) for suffix in (".html", ".ipynb")}
            links.setdefault(name, {})[attempt.n] = {
                kind: path.relative_to(folder.path).as_posix() for kind, path in pages.items() if path.exists()
            }
    told = trend([*list(islice(words.earlier, RUNS))[::-1], record])
    atomic.write_text(folder.report, render(record, links=links, resume_command=words.resume, trend=told))

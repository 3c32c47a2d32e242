"""Progress on stderr: a live table on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stagebook.executor.job import CellProgress
from stagebook.formatting import first_line
from stagebook.model.record import RunRecord, StageRecord, StageStatus
from stagebook.runs.events import Event

SYMBOLS = {
    StageStatus.PENDING: ("·", "dim"),
    StageStatus.RUNNING: ("▶", "cyan"),
    StageStatus.SUCCEEDED: ("✓", "green"),
    StageStatus.REUSED: ("=", "blue"),
    StageStatus.FAILED: ("✗", "red"),
    StageStatus.SKIPPED: ("-", "dim"),
    StageStatus.UPSTREAM_FAILED: ("-", "yellow"),
}


class ProgressDisplay(Protocol):
    """Where progress is shown."""

    def event(self, event: Event, record: RunRecord) -> None: ...
    def cell(self, stage: str, attempt: int, cell: CellProgress) -> None: ...
    def close(self) -> None: ...


def choose(*, quiet: bool, verbose: bool, plain: bool) -> ProgressDisplay:
    """The display that fits the terminal and the flags."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        return SilentProgress()
    if plain or not console.is_terminal:
        return GuardedProgress(PlainProgress(console, verbose=verbose))
    return GuardedProgress(LiveProgress(console))


class GuardedProgress:
    """Shows what another display shows, until that cannot: where a terminal is closed, the run goes on."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display: ProgressDisplay | None = display

    def event(self, event: Event, record: RunRecord) -> None:
        self._show(lambda display: display.event(event, record))

    def cell(self, stage: str, attempt: int, cell: CellProgress) -> None:
        self._show(lambda display: display.cell(stage, attempt, cell))

    def close(self) -> None:
        self._show(lambda display: display.close())

    def _show(self, show: Callable[[ProgressDisplay], None]) -> None:
        if self._display is None:
            return
        try:
            show(self._display)
        except (OSError, ValueError, SystemExit):  # rich exits where nobody reads a pipe
            self._display = None


class SilentProgress:
    """Shows nothing."""

    def event(self, event: Event, record: RunRecord) -> None: ...
    def cell(self, stage: str, attempt: int, cell: CellProgress) -> None: ...
    def close(self) -> None: ...


class PlainProgress:
    """One line for each attempt that starts or ends; with `verbose` also for each cell."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console = console
        self._verbose = verbose

    def event(self, event: Event, record: RunRecord) -> None:
        text = describe(event)
        if text:
            self._console.print(f"{event['at'][11:19]} {text}", markup=False, soft_wrap=True)

    def cell(self, stage: str, attempt: int, cell: CellProgress) -> None:
        if self._verbose:
            self._console.print(f"         {stage} · {cell_text(cell)}", markup=False, soft_wrap=True)

    def close(self) -> None: ...


def describe(event: Event) -> str | None:
    """An event in one line, or None where it is nothing to tell."""
    stage = event.get("stage", "")
    match event["event"]:
        case "run_started":
            return f"run {event['run_id']} of {event['pipeline']}"
        case "run_resumed":
            return "resumed"
        case "attempt_started":
            return f"{stage} · attempt {event['n']} started ({event['why']})"
        case "attempt_finished" if event["status"] == "succeeded":
            return f"{stage} · attempt {event['n']} succeeded in {event['seconds']:.1f} s"
        case "attempt_finished":
            error = event["error"] or {}
            at = f" in cell {error['cell']}" if error.get("cell") else ""
            status, message = event["status"].replace("_", " "), first_line(error.get("message") or "")
            return f"{stage} · attempt {event['n']} {status}{at}: {error.get('type')}: {message}"
        case "stage_settled" if event["status"] not in ("succeeded", "failed"):
            return f"{stage} · {event['status'].replace('_', ' ')} ({first_line(event['why'])})"
        case "stage_settled" if event.get("ended_early"):
            return f"{stage} · ended early ({event['ended_early']})"
        case "run_finished":
            return f"{event['status']}, exit status {event['exit_code']}"
    return None


def cell_text(cell: CellProgress) -> str:
    return f"cell {cell.cell}/{cell.of}" + (f" {cell.heading}" if cell.heading else "")


def _told(stage: StageRecord) -> str:
    """What is worth telling of how a stage ended."""
    if stage.status is StageStatus.SUCCEEDED:
        return f"ended early: {stage.ended_early}" if stage.ended_early else ""
    return first_line(stage.why)


class LiveProgress:
    """A row a stage: status, attempt, cell and its heading, elapsed seconds."""

    def __init__(self, console: Console) -> None:
        self._record: RunRecord | None = None
        self._cells: dict[str, CellProgress] = {}
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=8)
        self._live.start()

    def event(self, event: Event, record: RunRecord) -> None:
        with self._lock:
            self._record = record
            if event["event"] == "attempt_started":
                self._began[event["stage"]] = time.monotonic()
                self._cells.pop(event["stage"], None)

    def cell(self, stage: str, attempt: int, cell: CellProgress) -> None:
        with self._lock:
            self._cells[stage] = cell

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> Group | Text:
        with self._lock:
            if self._record is None:
                return Text("")
            table = Table(box=None, pad_edge=False, show_header=False)
            for name, stage in self._record.stages.items():
                symbol, style = SYMBOLS[stage.status]
                running = stage.status is StageStatus.RUNNING
                seconds = time.monotonic() - self._began[name] if running and name in self._began else stage.seconds
                attempt = f"attempt {len(stage.attempts)}" if len(stage.attempts) > 1 else ""
                cell = cell_text(self._cells[name]) if running and name in self._cells else ""
                table.add_row(
                    self._spinner.render(time.monotonic()) if running else Text(symbol, style=style),
                    Text(name, style="bold" if running else style),
                    Text(f"{seconds:6.1f} s" if seconds else "", style="dim"),
                    Text(attempt),
                    Text(
                        cell or _told(stage),
                        style="dim",
                        overflow="ellipsis",
                        no_wrap=True,
                    ),
                )
            return Group(Text(f"run {self._record.run_id}", style="dim"), table)

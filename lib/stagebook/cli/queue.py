"""`stagebook queue`: runs and batches that start when they may: at night, before a deadline, within the budget."""

import json as jsonlib
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from stagebook.cli import cores

if TYPE_CHECKING:
    from stagebook.storage.queue import Entry, Queue

app = App(name="queue", help="Runs and batches that start when they may: within hours, by priority, before a deadline.")
Words = Annotated[tuple[str, ...], Parameter(negative=())]


def _queue() -> "Queue":
    from stagebook.storage.machine import state_folder
    from stagebook.storage.queue import Queue

    return Queue(state_folder() / "queue.sqlite")


@app.command
def add(
    *,
    sweep: str | None = None,
    params: Words = (),
    parameter: Annotated[tuple[str, ...], Parameter(name="-p", negative=())] = (),
    first: Annotated[tuple[str, ...], Parameter(name="--from", negative=())] = (),
    last: Annotated[tuple[str, ...], Parameter(name="--to", negative=())] = (),
    only: Annotated[tuple[str, ...], Parameter(name="--only", negative=(), allow_leading_hyphen=False)] = (),
    jobs: Annotated[int, Parameter(name=("--jobs", "-j"), validator=Number(gte=1))] = 1,
    reuse: Annotated[bool, Parameter(name="--reuse", negative="--no-reuse")] = True,
    retries: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    max_cost: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    engine: Literal["auto", "pandas", "polars", "spark"] | None = None,
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
    priority: int = 0,
    not_before: str | None = None,
    window: str | None = None,
    deadline: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Put a run, or with --sweep a batch, into the queue. Everything is checked now.

    Parameters
    ----------
    sweep:
        Sweep file, as in `stagebook batch`; its configurations are settled now.
    params:
        Parameter file: a path, or a name in params/ (repeatable, later wins; default: dev.yaml).
    parameter:
        One parameter, name=value in YAML, for all stages or as stage.name=value (repeatable).
    first:
        Run these stages and everything downstream (comma-separated); a sweep says it itself.
    last:
        Run these stages and everything upstream (comma-separated); a sweep says it itself.
    only:
        Run only these stages (comma-separated); a sweep says it itself.
    jobs:
        Stages of the run, or configurations of the sweep, that may run at once.
    reuse:
        Take results of earlier runs; --no-reuse runs every stage.
    retries:
        Retries of every stage, instead of max_retries.
    max_cost:
        US dollars that a run may cost, instead of budget.max_usd_per_run.
    engine:
        What computes on tables, instead of tables.engine.
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    priority:
        A larger number starts first.
    not_before:
        Do not start before this time, such as 2026-11-26T22:00 (in the zone of the window, or here).
    window:
        Start only within these hours, such as "22:00-06:00 Europe/Berlin".
    deadline:
        Start at this time in any case, outside the window too.
    json:
        Print the entry as JSON.
    """
    from stagebook.batch.adding import add as put
    from stagebook.batch.prepare import BatchRequest
    from stagebook.cli.run import split
    from stagebook.params.load import Flags
    from stagebook.run.display import Silent
    from stagebook.run.pipeline import Surface
    from stagebook.run.request import RunRequest

    limit = None if max_cost is None else Decimal(str(max_cost))
    flags = Flags(parameter, retries, engine, runs_dir, warehouse, limit)
    run = RunRequest(params or ("dev.yaml",), flags, split(first), split(last), split(only), reuse=reuse, jobs=jobs)
    surface = Surface(Silent(), warn=lambda text: print(f"stagebook: {text}", file=sys.stderr))
    entry = put(BatchRequest(sweep, run, jobs), priority, (not_before, window, deadline), _queue(), surface)
    print(jsonlib.dumps(_plain(entry, surface.clock()), indent=2) if json else _line(entry, surface.clock()))
    return 0


@app.command(name="list")
def list_entries(
    *,
    everything: Annotated[bool, Parameter(name="--all", negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what waits and runs, with when it may start.

    Parameters
    ----------
    everything:
        Also what has ended or was cancelled.
    json:
        Print a list of JSON objects.
    """
    from stagebook.storage.queue import State

    now = datetime.now(UTC)
    found = [one for one in _queue().entries() if everything or one.state not in (State.ENDED, State.CANCELLED)]
    if json:
        print(jsonlib.dumps([_plain(entry, now) for entry in found], indent=2))
    else:
        print("\n".join(_line(entry, now) for entry in found) or "nothing waits")
    return 0


@app.command
def cancel(number: int, /) -> int:
    """Take an entry out of the queue; one that runs is stopped, and can be resumed by its run id.

    Parameters
    ----------
    number:
        The entry, as `stagebook queue list` shows it.
    """
    print(_line(_queue().cancel(number), datetime.now(UTC)))
    return 0


@app.command
def run(
    *,
    jobs: Annotated[int, Parameter(name=("--jobs", "-j"), validator=Number(gte=1))] = 1,
    watch: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Work on the queue until nothing is left that may start now.

    Exit status: 0 all that ended did so with 0, 1 something did not, 130 interrupted, 143 terminated; what was
    interrupted waits again, and is gone on with.

    Parameters
    ----------
    jobs:
        Entries that may run at once.
    watch:
        Stay, and start entries when their time comes.
    """
    from stagebook.batch.serving import Desk, launch, look, serve
    from stagebook.run.pipeline import stopped_by_signals

    cores.share(jobs)
    queue = _queue()
    logs = queue.file.parent / "queue"
    desk = Desk(
        queue,
        launch=lambda entry: launch(entry, logs / f"entry-{entry.id}.log"),
        look=look,
        tell=lambda text: print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True),
    )
    with stopped_by_signals(desk.stop) as caught:
        fine = serve(desk, jobs, watch=watch)
    return 128 + caught[-1] if caught else 0 if fine else 1


def _plain(entry: "Entry", now: datetime) -> dict[str, Any]:
    waits = entry.state.value == "waiting"
    return {
        "id": entry.id,
        "state": entry.state.value,
        "kind": entry.kind,
        "what": entry.what,
        "priority": entry.priority,
        **entry.times.to_json(),
        "next_start": entry.times.next_start(now).isoformat() if waits else None,
        "folder": str(entry.folder),
        "exit_code": entry.exit_code,
        "why": entry.why,
    }


def _line(entry: "Entry", now: datetime) -> str:
    """`3  waiting    from 2026-11-25 22:00 CET  stagebook run --params dev.yaml`."""
    match entry.state.value:
        case "waiting" if entry.times.may_start(now):
            told = "may start"
        case "waiting":
            zone = None if entry.times.window is None else entry.times.window.zone
            told = f"from {entry.times.next_start(now).astimezone(zone):%Y-%m-%d %H:%M %Z}"
        case "ended":
            told = f"exit status {entry.exit_code}"
        case _:
            told = ""
    rank = f" (priority {entry.priority})" if entry.priority else ""
    why = f"; {entry.why}" if entry.why else ""
    return f"{entry.id:>4}  {entry.state.value:10}  {told:28}  {entry.folder.name}: {entry.what}{rank}{why}"

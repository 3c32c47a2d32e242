"""Putting a run or a batch into the queue, checked as if it were to start now."""

from datetime import UTC, datetime, tzinfo
from typing import Any

from stagebook import dag
from stagebook.batch.child import SAID
from stagebook.batch.prepare import BATCH, BatchRequest, prepare
from stagebook.errors import ConfigError
from stagebook.params.load import load
from stagebook.run.pipeline import Surface
from stagebook.run.request import RunRequest
from stagebook.schedule.when import Times
from stagebook.schedule.window import Window
from stagebook.storage import atomic, runs
from stagebook.storage.queue import Entry, Queue

Texts = tuple[str | None, str | None, str | None]


def add(request: BatchRequest, priority: int, times: Texts, queue: Queue, surface: Surface) -> Entry:
    """Put a run, or with a sweep a batch, into the queue.

    The configurations of a sweep are settled now and kept in the batch's folder; parameter files are read again when a
    run starts.

    Args: times: `--not-before`, `--window` and `--deadline`, as they were typed.
    Raises:
        ConfigError: what `stagebook run` or `stagebook batch` would refuse; or times that contradict each other.
    """
    when = read_times(*times, now=surface.clock())
    if request.sweep is None:
        return queue.add(_run(request.run, priority, when, surface))
    part = (request.run.first, request.run.last, request.run.only)
    if any(part):
        raise ConfigError("--from, --to and --only: a sweep says in its file which part runs (`from`, `to`, `only`).")
    return queue.add(_batch(request, priority, when, surface))


def _run(request: RunRequest, priority: int, times: Times, surface: Surface) -> Entry:
    pipeline = load(request.params, request.flags, surface.environ, surface.cwd)
    graph = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    dag.select(graph, first=request.first, last=request.last, only=request.only)
    setup = _setup(request, request.jobs, surface)
    folder = runs.folder(pipeline.places.runs, runs.new_run_id(surface.clock())).path
    return Entry(0, "run", request.command("stagebook run"), setup, folder, surface.cwd, priority, times)


def _batch(request: BatchRequest, priority: int, times: Times, surface: Surface) -> Entry:
    prepared = prepare(request, surface)
    folder = prepared.pipeline.places.runs / prepared.batch.id
    atomic.write_json(folder / BATCH, prepared.batch.to_json())
    setup = _setup(request.run, request.jobs, surface)
    count = len(prepared.batch.configurations)
    what = f"{request.run.command('stagebook batch')} --sweep {request.sweep} ({count} configurations)"
    return Entry(0, "batch", what, setup, folder, surface.cwd, priority, times)


def _setup(request: RunRequest, jobs: int, surface: Surface) -> dict[str, Any]:
    """What the entry's process is started with: also what this environment says of parameters and places."""
    said = {name: value for name, value in surface.environ.items() if name.startswith(SAID)}
    return {"request": request.to_json(), "jobs": jobs, "environ": said}


def read_times(not_before: str | None, window: str | None, deadline: str | None, *, now: datetime) -> Times:
    """The times that were typed. Those without a zone are of the window's zone, or of this machine's.

    Raises:
        ConfigError: one is not a time, or nothing could ever start.
    """
    hours = None if window is None else Window.parse(window)
    zone = None if hours is None else hours.zone
    start, end = _moment("--not-before", not_before, zone), _moment("--deadline", deadline, zone)
    if end is not None and end <= now:
        raise ConfigError(f"--deadline: {deadline} has passed. Leave it out to start at once.")
    if start is not None and end is not None and end < start:
        raise ConfigError(f"--deadline: {deadline} is before --not-before {not_before}, so that would mean nothing.")
    return Times(start, hours, end)


def _moment(flag: str, text: str | None, zone: tzinfo | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{flag}: '{text}' is not a time such as 2026-11-26T22:00 or 2026-11-26T22:00+01:00."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=zone) if zone else found.astimezone()).astimezone(UTC)

"""Putting a run or a sweep into the queue, checked as if it were to start now."""

from datetime import UTC, datetime, tzinfo
from typing import Any

from stagebook import atomic, graph
from stagebook.config.load import load
from stagebook.config.request import RunRequest
from stagebook.errors import ConfigError
from stagebook.queue.store import Queue, QueueEntry
from stagebook.runner.environment import RunEnvironment
from stagebook.runner.run_process import ENVIRONMENT_PREFIXES
from stagebook.runs import folders
from stagebook.runs.folders import SWEEP_FILE
from stagebook.schedule.start_times import StartTimes
from stagebook.schedule.window import Window
from stagebook.sweeps.prepare import SweepRequest, prepare

TypedTimes = tuple[str | None, str | None, str | None]
"""`--not-before`, `--window` and `--deadline`, as they were typed."""


def enqueue(
    request: SweepRequest, priority: int, times: TypedTimes, queue: Queue, environment: RunEnvironment
) -> QueueEntry:
    """Put a run, or with a sweep file a sweep, into the queue.

    The configurations of a sweep are settled now and kept in the sweep run's folder; parameter files are read again
    when a run starts.

    Raises:
        ConfigError: what `stagebook run` or `stagebook sweep` would refuse; or times that contradict each other.
    """
    start_times = parse_times(*times, now=environment.clock())
    if request.sweep is None:
        return queue.add(_run_entry(request.run, priority, start_times, environment))
    if any((request.run.first, request.run.last, request.run.only)):
        raise ConfigError("--from, --to and --only: a sweep says in its file which part runs (`from`, `to`, `only`).")
    return queue.add(_sweep_entry(request, priority, start_times, environment))


def _run_entry(request: RunRequest, priority: int, times: StartTimes, environment: RunEnvironment) -> QueueEntry:
    pipeline = load(request.params, request.flags, environment.environ, environment.cwd)
    edges = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    graph.select(edges, first=request.first, last=request.last, only=request.only)
    setup = _setup(request, request.jobs, environment)
    folder = folders.folder(pipeline.paths.runs, folders.new_run_id(environment.clock())).path
    return QueueEntry(0, "run", request.command("stagebook run"), setup, folder, environment.cwd, priority, times)


def _sweep_entry(request: SweepRequest, priority: int, times: StartTimes, environment: RunEnvironment) -> QueueEntry:
    prepared = prepare(request, environment)
    folder = prepared.pipeline.paths.runs / prepared.sweep_run.id
    atomic.write_json(folder / SWEEP_FILE, prepared.sweep_run.to_json())
    setup = _setup(request.run, request.jobs, environment)
    count = len(prepared.sweep_run.configurations)
    command = f"{request.run.command('stagebook sweep')} --sweep {request.sweep} ({count} configurations)"
    return QueueEntry(0, "sweep", command, setup, folder, environment.cwd, priority, times)


def _setup(request: RunRequest, jobs: int, environment: RunEnvironment) -> dict[str, Any]:
    """What the entry's process is started with; its variables are those that set parameters and paths."""
    variables = {name: value for name, value in environment.environ.items() if name.startswith(ENVIRONMENT_PREFIXES)}
    return {"request": request.to_json(), "jobs": jobs, "environ": variables}


def parse_times(not_before: str | None, window: str | None, deadline: str | None, *, now: datetime) -> StartTimes:
    """The times that were typed. Those without a zone are of the window's zone, or of this machine's.

    Raises:
        ConfigError: one is not a time, or nothing could ever start.
    """
    hours = None if window is None else Window.parse(window)
    zone = None if hours is None else hours.zone
    start, end = _parse_time("--not-before", not_before, zone), _parse_time("--deadline", deadline, zone)
    if end is not None and end <= now:
        raise ConfigError(f"--deadline: {deadline} has passed. Leave it out to start at once.")
    if start is not None and end is not None and end < start:
        raise ConfigError(f"--deadline: {deadline} is before --not-before {not_before}, so that would mean nothing.")
    return StartTimes(start, hours, end)


def _parse_time(flag: str, text: str | None, zone: tzinfo | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{flag}: '{text}' is not a time such as 2026-11-26T22:00 or 2026-11-26T22:00+01:00."
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=zone) if zone else time.astimezone()).astimezone(UTC)

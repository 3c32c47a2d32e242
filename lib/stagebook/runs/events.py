"""The journal's events and how each one changes the record.

An event is a JSON object with `at` (UTC ISO 8601) and `event`, one of the names below. `apply` is the
only place where a record changes, so that a record folded from a journal after a crash equals the one
that the runner held.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunSession, RunStatus, StageRecord, StageStatus

Event = dict[str, Any]

FOLD_ERRORS = (AttributeError, LookupError, OverflowError, StopIteration, TypeError, ValueError)
"""What `apply` raises for an event that does not fit the events before it."""


def fold(events: Iterable[Event]) -> RunRecord | None:
    """The record that the events tell of, or None where no run was started."""
    record: RunRecord | None = None
    for event in events:
        record = apply(record, event)
    return record


def apply(record: RunRecord | None, event: Event) -> RunRecord:
    """The record after one more event. The given record is changed in place and returned."""
    name = event["event"]
    if name == "run_started":
        return _run_started(event)
    if record is None:
        raise ValueError(f"the journal begins with '{name}', not with 'run_started'")
    if name not in _HANDLERS:
        raise ValueError(f"there is no event '{name}'; a newer version may have written it")
    _HANDLERS[name](record, event)
    return record


def fold_problem(fault: Exception) -> str:
    """An error of `apply` in words."""
    match fault:
        case KeyError():
            return f"there is no {fault} before it"
        case StopIteration():
            return "the event that it follows is missing"
    return str(fault) or type(fault).__name__


def _run_started(event: Event) -> RunRecord:
    stages = {
        name: StageRecord(
            name,
            spec["notebook"],
            list(spec["depends_on"]),
            profile=spec.get("profile"),
            reasons=list(spec.get("reasons", ())),
        )
        for name, spec in event["stages"].items()
    }
    return RunRecord(
        run_id=event["run_id"],
        pipeline=event["pipeline"],
        started_at=event["at"],
        params_files=event["params_files"],
        parameters=event["parameters"],
        request=event["request"],
        git=event["git"],
        environment=event["environment"],
        pins=event["pins"],
        stages=stages,
        sessions=[_session(event)],
    )


def _session(event: Event) -> RunSession:
    profiles = {name: spec.get("profile") for name, spec in event["stages"].items()}
    rates, reserved_usd = event.get("rates", {}), event.get("reserved_usd", 0.0)
    return RunSession(event["at"], profiles, rates, reserved_usd, machine=event.get("machine", {}))


def _run_resumed(record: RunRecord, event: Event) -> None:
    """What is not kept is pending again; attempts that nobody finished were interrupted when they were last seen."""
    record.sessions.append(_session(event))
    record.request = event.get("request", record.request)
    record.over_budget = {}
    record.status, record.exit_code, record.finished_at = RunStatus.RUNNING, None, None
    for name, spec in event["stages"].items():
        if name not in record.stages:
            record.stages[name] = StageRecord(name, spec["notebook"], list(spec["depends_on"]))
        stage = record.stages[name]
        stage.notebook, stage.depends_on = spec["notebook"], list(spec["depends_on"])
        stage.profile = spec.get("profile")
        stage.reasons = list(spec.get("reasons", stage.reasons))
        if name not in event["kept"]:
            stage.status, stage.why, stage.saved_usd, stage.ended_early = StageStatus.PENDING, "", None, None
        _end_killed(stage, event.get("last_seen", {}).get(name))


def _run_reaped(record: RunRecord, event: Event) -> None:
    """The runner was killed, and nobody goes on with the run: it ended when it gave its last sign of life."""
    for stage in record.stages.values():
        if _end_killed(stage, event["last_seen"].get(stage.name)):
            stage.status, stage.why = StageStatus.FAILED, "Interrupted: the runner was killed"
    _ended(record, RunStatus.INTERRUPTED, event["exit_code"], event["ended_at"])


def _end_killed(stage: StageRecord, last_seen: str | None) -> bool:
    """Let the attempt that nobody finished end when it was last seen; whether there was one."""
    unfinished = [attempt for attempt in stage.attempts if attempt.status is AttemptStatus.RUNNING]
    for attempt in unfinished:
        attempt.status = AttemptStatus.INTERRUPTED
        attempt.error = {"type": "Interrupted", "message": "the runner was killed", "cell": None}
        if last_seen:
            started, ended = datetime.fromisoformat(attempt.started_at), datetime.fromisoformat(last_seen)
            attempt.finished_at, attempt.seconds = last_seen, round((ended - started).total_seconds(), 3)
    return bool(unfinished)


def _stage_settled(record: RunRecord, event: Event) -> None:
    stage = record.stages[event["stage"]]
    stage.status, stage.why = StageStatus(event["status"]), event["why"]
    stage.ended_early = event.get("ended_early")
    for key in ("scraps", "inputs", "outputs", "parameters", "engine", "reuse", "saved_usd"):
        if key in event:
            setattr(stage, key, event[key])
    if event.get("over_budget"):
        record.over_budget[stage.name] = event["why"]


def _attempt_started(record: RunRecord, event: Event) -> None:
    stage = record.stages[event["stage"]]
    stage.status, stage.why, stage.ended_early = StageStatus.RUNNING, event["why"], None
    stage.parameters, stage.engine, stage.inputs = event["parameters"], event["engine"], event["inputs"]
    stage.choice = event.get("choice")
    stage.attempts.append(Attempt(event["n"], AttemptStatus.RUNNING, event["at"], event["notebook"]))


def _attempt_finished(record: RunRecord, event: Event) -> None:
    stage = record.stages[event["stage"]]
    attempt = next(a for a in reversed(stage.attempts) if a.n == event["n"])
    attempt.status = AttemptStatus(event["status"])
    attempt.finished_at, attempt.seconds, attempt.error = event["at"], event["seconds"], event["error"]
    attempt.peak_rss_bytes, attempt.cpu_seconds = event["peak_rss_bytes"], event["cpu_seconds"]
    stage.scraps, stage.ended_early = event["scraps"], event.get("ended_early")


def _tracking_linked(record: RunRecord, event: Event) -> None:
    record.mlflow = event["mlflow"]


def _minute_measured(record: RunRecord, event: Event) -> None:
    record.minutes.append({name: value for name, value in event.items() if name not in ("at", "event")})


def _run_finished(record: RunRecord, event: Event) -> None:
    _ended(record, RunStatus(event["status"]), event["exit_code"], event["at"])


def _ended(record: RunRecord, status: RunStatus, exit_code: int, at: str) -> None:
    record.status, record.exit_code, record.finished_at = status, exit_code, at
    record.sessions[-1].status, record.sessions[-1].finished_at = status, at


_HANDLERS: dict[str, Callable[[RunRecord, Event], None]] = {
    "run_resumed": _run_resumed,
    "stage_settled": _stage_settled,
    "attempt_started": _attempt_started,
    "attempt_finished": _attempt_finished,
    "tracking_linked": _tracking_linked,
    "minute_measured": _minute_measured,
    "run_finished": _run_finished,
    "run_reaped": _run_reaped,
}

"""What can be rebuilt of a damaged journal: from the lines that are whole, and from `run.json`. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.runs.event_shapes import shape_problem
from stagebook.runs.events import FOLD_ERRORS, Event, fold
from stagebook.runs.journal import JournalLine

_RUN_FIELDS = ("run_id", "pipeline", "params_files", "parameters", "request", "git", "environment", "pins")
_SESSION_FIELDS = ("rates", "reserved_usd", "machine")
_SETTLED_FIELDS = ("scraps", "inputs", "outputs", "parameters", "engine", "reuse", "ended_early")


@dataclass(frozen=True)
class Salvage:
    """The events that are left of a journal, in their order, and how many lines are lost."""

    events: list[Event]
    lost: int


def salvage(lines: Iterable[JournalLine], first: Event | None) -> Salvage:
    """Keep the lines that are whole and fit together, where they were written.

    Args: first: the event that begins the run, in case the journal has lost it.
    """
    lines = list(lines)
    whole = [line for line in lines if line.problem is None or line.written is not None]
    by_number = {line.written or line.number: line.event for line in reversed(whole)}
    ordered = [by_number[number] for number in sorted(by_number)]
    if first is not None and ordered and not any(event["event"] == "run_started" for event in ordered):
        ordered.insert(0, first)
    events: list[Event] = []
    for event in ordered:
        if _folds([*events, event]):
            events.append(event)
    highest = max([*by_number, len(lines)], default=0)
    return Salvage(events, max(highest - len(events), 0))


def events_of(record: Mapping[str, Any]) -> list[Event]:
    """The events that lead to the content of a `run.json`; empty where that tells too little."""
    try:
        events = sorted(_events(record), key=lambda event: event["at"])
        events.sort(key=lambda event: event["event"] != "run_started")
        events.sort(key=lambda event: event["event"] == "run_finished")
    except FOLD_ERRORS:
        return []
    return events if all(shape_problem(event) is None for event in events) and _folds(events) else []


def _folds(events: list[Event]) -> bool:
    try:
        return fold(events) is not None
    except FOLD_ERRORS:
        return False


def _events(record: Mapping[str, Any]) -> Iterator[Event]:
    stages = {
        name: {key: stage.get(key) for key in ("notebook", "depends_on", "profile")}
        for name, stage in record["stages"].items()
    }
    begun, *resumed = record["sessions"] or [{"started_at": record["started_at"]}]
    own = {name: record[name] for name in _RUN_FIELDS}
    yield {"at": record["started_at"], "event": "run_started", **own, "stages": stages, **_session(begun)}
    for session in resumed:
        kept = {"stages": stages, "kept": list(stages)}
        yield {"at": session["started_at"], "event": "run_resumed", **kept, **_session(session)}
    for name, stage in record["stages"].items():
        yield from _stage_events(name, stage, record)
    for minute in record.get("minutes", ()):
        yield {"at": minute["end"], "event": "minute_measured", **minute}
    ended_at = record["finished_at"] or max(attempt["at"] for attempt in _times(record))
    if record.get("mlflow"):
        yield {"at": ended_at, "event": "tracking_linked", "mlflow": record["mlflow"]}
    if record["finished_at"]:
        status = {"status": record["status"], "exit_code": record["exit_code"]}
        yield {"at": record["finished_at"], "event": "run_finished", **status}


def _stage_events(name: str, stage: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[Event]:
    begun = {key: stage[key] for key in ("why", "parameters", "engine", "inputs")} | {"choice": stage.get("choice")}
    last = record["started_at"]
    for attempt in stage["attempts"]:
        which = {"stage": name, "n": attempt["n"]}
        last = attempt["started_at"]
        yield {"at": last, "event": "attempt_started", **which, **begun, "notebook": attempt["notebook"]}
        if attempt["finished_at"]:
            last = attempt["finished_at"]
            measured = {key: attempt[key] for key in ("status", "seconds", "error", "peak_rss_bytes", "cpu_seconds")}
            yield {"at": last, "event": "attempt_finished", **which, **measured, "scraps": stage["scraps"]}
    if stage["status"] not in ("pending", "running"):
        settled = {key: stage[key] for key in _SETTLED_FIELDS if stage.get(key) is not None}
        over_budget = {"over_budget": True} if name in record.get("over_budget", {}) else {}
        yield {
            "at": last, "event": "stage_settled", "stage": name, "status": stage["status"], "why": stage["why"],
            **settled, **over_budget,
        }  # fmt: skip


def _times(record: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    yield {"at": record["started_at"]}
    for stage in record["stages"].values():
        yield from ({"at": attempt["finished_at"] or attempt["started_at"]} for attempt in stage["attempts"])


def _session(session: Mapping[str, Any]) -> dict[str, Any]:
    return {name: session[name] for name in _SESSION_FIELDS if session.get(name)}

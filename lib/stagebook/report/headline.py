"""Summarise how a run ended, in one line and a few lines of reasons."""

from dataclasses import dataclass
from typing import Any, Literal

from stagebook import formatting
from stagebook.model.record import RunRecord, RunStatus, StageRecord, StageStatus

Tone = Literal["good", "info", "idle", "warn", "bad"]

MAX_LINES = 20
"""How many failed stages or rules are named below the headline."""


@dataclass(frozen=True)
class Headline:
    """How a run ended: tone and icon, one line, the reasons, and whether resuming the run could change anything."""

    tone: Tone
    icon: str
    text: str
    lines: tuple[str, ...] = ()
    resumable: bool = True


def headline(record: RunRecord) -> Headline:
    """The headline of a run, from its status, its exit code, its failed stages and its gate."""
    done_count = sum(stage.status.done for stage in record.stages.values())
    progress = f"{done_count} of {len(record.stages)} stages done"
    if record.status is RunStatus.RUNNING:
        return Headline("info", "play", "Not finished", (progress,))
    if record.status is RunStatus.INTERRUPTED:
        interrupted = [stage.name for stage in record.stages.values() if _was_interrupted(stage)]
        text = f"Interrupted in stage {_names(interrupted)}" if interrupted else "Interrupted"
        return Headline("warn", "pause", text, (progress,))
    if gate_refused(record):
        return Headline("warn", "refused", "The validation gate refused the model", _refusals(record), resumable=False)
    failed = [stage for stage in record.stages.values() if stage.status is StageStatus.FAILED]
    if failed:
        location = failure_location(failed[0])
        further = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return Headline("bad", "cross", f"Failed in stage {location}{further}", _failures(failed))
    if record.status is RunStatus.FAILED:
        exit_status = f" with exit status {record.exit_code}" if record.exit_code is not None else ""
        text = "Stopped before it would exceed its budget" if record.exit_code == 3 else f"Failed{exit_status}"
        return Headline("bad", "cross", text, (progress,))
    return Headline("good", "check", "Succeeded", (_summary(record),), resumable=False)


def gate_refused(record: RunRecord) -> bool:
    """Whether the run ended because the gate refused the model."""
    gate = record.gate
    failed = any(stage.status is StageStatus.FAILED for stage in record.stages.values())
    return record.exit_code == 4 or (gate is not None and not gate["passed"] and not failed)


def failure_location(stage: StageRecord) -> str:
    """The stage and the cell that failed: `train, cell 7`."""
    cell = last_error(stage).get("cell")
    return stage.name if cell is None else f"{stage.name}, cell {cell}"


def last_error(stage: StageRecord) -> dict[str, Any]:
    """The error of the last attempt that has one; empty if none has."""
    errors = (attempt.error for attempt in reversed(stage.attempts))
    return next((error for error in errors if isinstance(error, dict)), {})


def error_line(error: dict[str, Any], limit: int = 300) -> str:
    """An error in one line: `ValueError: no rows`."""
    type_name, message = error.get("type"), formatting.first_line(message_of(error), limit)
    return ": ".join(str(text) for text in (type_name, message) if text)


def message_of(error: dict[str, Any]) -> str:
    """An error's message without colours, and without the error's type if the message begins with it."""
    message = formatting.without_ansi(error.get("message") or "")
    return message.removeprefix(f"{error.get('type')}: ")


def _failures(failed: list[StageRecord]) -> tuple[str, ...]:
    lines = []
    for stage in failed[:MAX_LINES]:
        line = error_line(last_error(stage)) or stage.why
        attempts = f" ({len(stage.attempts)} attempts)" if len(stage.attempts) > 1 else ""
        lines.append(f"{failure_location(stage)}: {line}{attempts}" if len(failed) > 1 else f"{line}{attempts}")
    return (*lines, *_not_named(len(failed)))


def _refusals(record: RunRecord) -> tuple[str, ...]:
    rules = [rule for rule in (record.gate or {}).get("rules") or () if isinstance(rule, dict)]
    failed = [rule for rule in rules if not rule.get("passed")]
    lines = [formatting.first_line(rule.get("why") or rule.get("rule") or "") for rule in failed[:MAX_LINES]]
    promotion = " Nothing was promoted." if record.exit_code == 4 else ""
    return (f"{len(failed)} of {len(rules)} rules failed.{promotion}", *lines, *_not_named(len(failed)))


def _not_named(total: int) -> tuple[str, ...]:
    return (f"and {total - MAX_LINES} more",) if total > MAX_LINES else ()


def _names(names: list[str]) -> str:
    return ", ".join(names[:MAX_LINES]) + ("…" if len(names) > MAX_LINES else "")


def _was_interrupted(stage: StageRecord) -> bool:
    return bool(stage.attempts) and stage.attempts[-1].status in ("interrupted", "running")


def _summary(record: RunRecord) -> str:
    total = len(record.stages)
    counts = {
        status: sum(stage.status is status for stage in record.stages.values())
        for status in (StageStatus.REUSED, StageStatus.SKIPPED)
    }
    not_run = [f"{number} {status.value}" for status, number in counts.items() if number]
    ran = total - sum(counts.values())
    return ", ".join([f"{ran} of {total} stages ran" if not_run else f"All {total} stages ran", *not_run])

"""What a run came to, in one line and a few more."""

from dataclasses import dataclass
from typing import Any, Literal

from stagebook.model.record import Attempt, RunRecord, RunStatus, StageRecord, StageStatus
from stagebook.report import words

Tone = Literal["good", "info", "idle", "warn", "bad"]

LINES = 20
"""At most so many failed stages or rules are named under the headline."""


@dataclass(frozen=True)
class Headline:
    """The verdict: tone and icon, one line, lines that say why, and whether resuming would change anything."""

    tone: Tone
    icon: str
    text: str
    lines: tuple[str, ...] = ()
    resumable: bool = True


def headline(record: RunRecord) -> Headline:
    """The verdict on a run, by its status, its exit code, its failed stages and its gate."""
    done = sum(stage.status.done for stage in record.stages.values())
    progress = f"{done} of {len(record.stages)} stages done"
    if record.status is RunStatus.RUNNING:
        return Headline("info", "play", "Not finished", (progress,))
    if record.status is RunStatus.INTERRUPTED:
        stopped = [stage.name for stage in record.stages.values() if _ended(stage) == "interrupted"]
        text = f"Interrupted in stage {_names(stopped)}" if stopped else "Interrupted"
        return Headline("warn", "pause", text, (progress,))
    if gate_refused(record):
        return Headline("warn", "refused", "The validation gate refused the model", _refusals(record), resumable=False)
    failed = [stage for stage in record.stages.values() if stage.status is StageStatus.FAILED]
    if failed:
        first = place(failed[0])
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return Headline("bad", "cross", f"Failed in stage {first}{more}", _failures(failed))
    if record.status is RunStatus.FAILED:
        code = f" with exit status {record.exit_code}" if record.exit_code is not None else ""
        text = "Stopped before it would exceed its budget" if record.exit_code == 3 else f"Failed{code}"
        return Headline("bad", "cross", text, (progress,))
    return Headline("good", "check", "Succeeded", (_summary(record),), resumable=False)


def gate_refused(record: RunRecord) -> bool:
    """Whether the run ended because the gate said no."""
    gate = record.gate
    failed = any(stage.status is StageStatus.FAILED for stage in record.stages.values())
    return record.exit_code == 4 or (gate is not None and not gate["passed"] and not failed)


def place(stage: StageRecord) -> str:
    """Where a stage failed: `train, cell 7`."""
    cell = last_error(stage).get("cell")
    return stage.name if cell is None else f"{stage.name}, cell {cell}"


def last_error(stage: StageRecord) -> dict[str, Any]:
    """The error of the last attempt that has one."""
    errors = (attempt.error for attempt in reversed(stage.attempts))
    return next((error for error in errors if isinstance(error, dict)), {})


def error_line(error: dict[str, Any], limit: int = 300) -> str:
    """An error in one line: `ValueError: no rows`."""
    kind, message = error.get("type"), words.first_line(message_of(error), limit)
    return ": ".join(str(part) for part in (kind, message) if part)


def message_of(error: dict[str, Any]) -> str:
    """An error's message without colours, and without its type where it begins with it."""
    message = words.without_ansi(error.get("message") or "")
    return message.removeprefix(f"{error.get('type')}: ")


def _failures(failed: list[StageRecord]) -> tuple[str, ...]:
    lines = []
    for stage in failed[:LINES]:
        line = error_line(last_error(stage)) or stage.why
        tries = f" ({len(stage.attempts)} attempts)" if len(stage.attempts) > 1 else ""
        lines.append(f"{place(stage)}: {line}{tries}" if len(failed) > 1 else f"{line}{tries}")
    return (*lines, *_more(len(failed)))


def _refusals(record: RunRecord) -> tuple[str, ...]:
    rules = [rule for rule in (record.gate or {}).get("rules") or () if isinstance(rule, dict)]
    broken = [rule for rule in rules if not rule.get("passed")]
    lines = [words.first_line(rule.get("why") or rule.get("rule") or "") for rule in broken[:LINES]]
    promoted = " Nothing was promoted." if record.exit_code == 4 else ""
    return (f"{len(broken)} of {len(rules)} rules failed.{promoted}", *lines, *_more(len(broken)))


def _more(total: int) -> tuple[str, ...]:
    return (f"and {total - LINES} more",) if total > LINES else ()


def _names(names: list[str]) -> str:
    return ", ".join(names[:LINES]) + ("…" if len(names) > LINES else "")


def _ended(stage: StageRecord) -> str | None:
    last: Attempt | None = stage.attempts[-1] if stage.attempts else None
    return "interrupted" if last and last.status in ("interrupted", "running") else None


def _summary(record: RunRecord) -> str:
    total = len(record.stages)
    counted = {
        status: sum(stage.status is status for stage in record.stages.values())
        for status in (StageStatus.REUSED, StageStatus.SKIPPED)
    }
    extra = [f"{number} {status.value}" for status, number in counted.items() if number]
    ran = total - sum(counted.values())
    return ", ".join([f"{ran} of {total} stages ran" if extra else f"All {total} stages ran", *extra])

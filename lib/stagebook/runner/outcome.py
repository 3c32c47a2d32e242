"""How a run ended: its status, exit status, and the words that end the command."""

import textwrap
from pathlib import Path

from stagebook.costs import bill
from stagebook.formatting import TERMINAL_TEXT, excerpt, first_line, usd
from stagebook.model.record import AttemptStatus, RunRecord, RunStatus, StageRecord, StageStatus

SUCCEEDED, FAILED, OVER_BUDGET, REFUSED = 0, 1, 3, 4
BAD = (StageStatus.FAILED, StageStatus.UPSTREAM_FAILED)


def verdict(record: RunRecord, signal_number: int | None) -> tuple[RunStatus, int]:
    """Status and exit status of a run whose stages have all ended, or that a signal stopped.

    A run has succeeded only with exit status 0: a model that the gate refused makes it `failed` with 4. A signal that
    came when all stages had ended does not change how they ended.
    """
    if signal_number is not None and any(map(_was_stopped, record.stages.values())):
        return RunStatus.INTERRUPTED, 128 + signal_number
    if any(stage.status in BAD for stage in record.stages.values()):
        return RunStatus.FAILED, FAILED
    if record.over_budget:
        return RunStatus.FAILED, OVER_BUDGET
    if record.gate is not None and not record.gate["passed"]:
        return RunStatus.FAILED, REFUSED
    return RunStatus.SUCCEEDED, SUCCEEDED


def _was_stopped(stage: StageRecord) -> bool:
    if stage.status is StageStatus.FAILED:
        return bool(stage.attempts) and stage.attempts[-1].status is AttemptStatus.INTERRUPTED
    return stage.status in (StageStatus.PENDING, StageStatus.RUNNING)


def summary(record: RunRecord, report: Path, resume: str) -> str:
    """What is printed last: the stages, what failed and where, and the command that resumes."""
    width = max(len(name) for name in record.stages)
    lines = [f"{'run':{width}}  {record.run_id}"]
    for name, stage in record.stages.items():
        seconds = f"{stage.seconds:7.1f} s" if stage.attempts else " " * 9
        early = f", ended early: {stage.ended_early}" if stage.ended_early else ""
        reason = early if stage.status is StageStatus.SUCCEEDED else f"  {first_line(stage.why)}"
        lines.append(f"{name:{width}}  {seconds}  {stage.status.value.replace('_', ' ')}{reason}".rstrip())
    lines.append(f"{'cost':{width}}  {_cost(bill.of(record))}")
    lines.append(f"{'report':{width}}  {report}")
    match record.exit_code:
        case 0:
            pass
        case 4:
            lines += ["", *_refusal(record)]
        case _:
            lines += ["", *_failure(record, report.parent), "", "resume with:", f"  {resume}"]
    return "\n".join(lines)


def _cost(billed: bill.Bill) -> str:
    """What the run cost in one line, and what of it bought nothing."""
    if not billed.stages:
        return "nothing to estimate: no stage ran on a profile with a price"
    total = billed.total
    parts = {"wasted": total.wasted.likely, "idle": total.idle.likely, "saved by reuse": total.saved}
    told = ", ".join(f"{usd(dollars)} {name}" for name, dollars in parts.items() if dollars)
    return f"about {usd(total.total.likely)}" + (f" ({told})" if told else "")


def _refusal(record: RunRecord) -> list[str]:
    gate = record.gate or {"rules": []}
    refused = [rule for rule in gate["rules"] if not rule["passed"]]
    return [
        "the gate refused the model, nothing was promoted:",
        *(f"  {first_line(rule['rule'])}: {first_line(rule['why'])}" for rule in refused),
    ]


def _failure(record: RunRecord, folder: Path) -> list[str]:
    lines: list[str] = []
    for name, stage in record.stages.items():
        if stage.status is StageStatus.FAILED:
            lines += _failed_stage(name, stage, folder)
    for name, why in record.over_budget.items():
        lines.append(f"stage '{name}' was not started: {why}.\n  Raise the limit; finished stages are kept.")
    if record.status is RunStatus.INTERRUPTED:
        lines.append("the run was interrupted; finished stages are kept.")
    return lines


def _failed_stage(name: str, stage: StageRecord, folder: Path) -> list[str]:
    if not stage.attempts or stage.attempts[-1].error is None:
        return [f"stage '{name}' failed: {excerpt(stage.why, TERMINAL_TEXT)}"]
    last = stage.attempts[-1]
    error = last.error or {}
    at = f" in cell {error['cell']}" if error.get("cell") else ""
    message = excerpt(f"{error['type']}: {error['message']}", TERMINAL_TEXT, "the notebook")
    return [
        f"stage '{name}' failed{at} (attempt {last.n}):",
        textwrap.indent(message, "  "),
        f"  notebook: {folder / last.notebook}",
    ]

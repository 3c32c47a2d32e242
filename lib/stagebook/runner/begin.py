"""The first events of a run in its journal."""

from pathlib import Path
from typing import Any

from stagebook.costs import bill
from stagebook.runner import provenance
from stagebook.runner.prepare import PreparedRun
from stagebook.runs.recorder import RunRecorder


def begin(run: PreparedRun, recorder: RunRecorder) -> None:
    """Journal what is to be done and what that is expected to cost, and settle at once what does not run."""
    session = {
        "stages": _stages(run),
        "rates": {name: rate.to_json() for name, rate in run.pipeline.rates.items()},
        "machine": provenance.machine(),
    }
    expected = run.budget.expected.likely
    if run.request.resume is not None:
        kept = [name for name, step in run.plan.steps.items() if step.action == "keep"]
        reserved = bill.amount(bill.of(recorder.record).total.total.likely + expected)
        recorder.emit(
            "run_resumed",
            **session,
            request=run.request.to_json(),
            kept=kept,
            reserved_usd=reserved,
            last_seen=recorder.last_seen(),
        )
    else:
        recorder.emit("run_started", **session, **_request(run), reserved_usd=bill.amount(expected))
    run.budget.begun()
    _settle_without_running(run, recorder)


def _stages(run: PreparedRun) -> dict[str, Any]:
    return {
        name: {
            "notebook": _relative(stage.notebook, run.pipeline.paths.root),
            "depends_on": list(stage.depends_on),
            "profile": stage.profile,
            "reasons": list(run.plan.steps[name].reasons),
        }
        for name, stage in run.pipeline.stages.items()
    }


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _request(run: PreparedRun) -> dict[str, Any]:
    return {
        "run_id": run.folder.run_id,
        "pipeline": run.pipeline.name,
        "params_files": list(run.pipeline.params_files),
        "parameters": dict(run.pipeline.parameters),
        "request": run.request.to_json(),
        "git": provenance.git(run.pipeline.paths.root),
        "environment": dict(run.cache.environment),
        "pins": dict(run.plan.pins),
    }


def _settle_without_running(run: PreparedRun, recorder: RunRecorder) -> None:
    """Settle the stages that take an earlier result or are skipped."""
    status = {"reuse": "reused", "skip": "skipped"}
    settled = {name: step for name, step in run.plan.steps.items() if step.action in status}
    recorder.emit_all(
        [
            ("stage_settled", {"stage": name, "status": status[step.action], "why": step.brief, **step.result})
            for name, step in settled.items()
        ]
    )
    for step in settled.values():
        run.cache.remember(step.result.get("reuse", {}), run.folder.run_id)

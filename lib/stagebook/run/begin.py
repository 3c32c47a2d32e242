"""The first words of a run in its journal."""

from stagebook.cost import bill
from stagebook.execute.crew import Crew
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import Range
from stagebook.run import surroundings
from stagebook.run.request import RunRequest
from stagebook.run.steps import Plan


def begin(request: RunRequest, pipeline: Pipeline, steps: Plan, crew: Crew, expected: Range) -> None:
    """Journal what is to be done and what that is expected to cost, and settle at once what does not run."""
    root, book = pipeline.places.root, crew.book
    stages = {
        name: {
            "notebook": str(
                stage.notebook.relative_to(root) if stage.notebook.is_relative_to(root) else stage.notebook
            ),
            "depends_on": list(stage.depends_on),
            "profile": stage.profile,
        }
        for name, stage in pipeline.stages.items()
    }
    rates = {name: rate.to_json() for name, rate in pipeline.rates.items()}
    leg = {"stages": stages, "rates": rates, "machine": surroundings.machine()}
    if request.resume is not None:
        kept = [name for name, step in steps.steps.items() if step.action == "keep"]
        reserved = bill.amount(bill.of(book.record).total.total.likely + expected.likely)
        book.tell("run_resumed", **leg, kept=kept, reserved_usd=reserved, last_seen=book.last_seen())
    else:
        book.tell(
            "run_started",
            run_id=book.folder.run_id,
            pipeline=pipeline.name,
            params_files=list(pipeline.params_files),
            parameters=dict(pipeline.parameters),
            request=request.to_json(),
            git=surroundings.git(root),
            environment=dict(crew.results.environment),
            **leg,
            reserved_usd=bill.amount(expected.likely),
            pins=dict(steps.pins),
        )
    settled = {name: step for name, step in steps.steps.items() if step.action in ("reuse", "skip")}
    status = {"reuse": "reused", "skip": "skipped"}
    book.tell_all(
        [
            ("stage_settled", {"stage": name, "status": status[step.action], "why": step.why, **step.result})
            for name, step in settled.items()
        ]
    )
    for step in settled.values():
        crew.results.remember(step.result.get("reuse", {}), book.folder.run_id)

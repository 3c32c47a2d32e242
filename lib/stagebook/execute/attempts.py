"""One stage from its first attempt to its end: context, attempts, retries, what must be there after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from stagebook.choice.decide import Choice
from stagebook.errors import StagebookError, did_you_mean
from stagebook.execute import choosing, guests, spark
from stagebook.execute.crew import Crew
from stagebook.execute.guests import TaskValues
from stagebook.execute.job import CellProgress, Coming, Job, Outcome
from stagebook.execute.retry import should_retry, wait_seconds
from stagebook.execute.reusing import INGREDIENTS, Begun, Found, makers, versions_read
from stagebook.execute.spark import SparkPlace
from stagebook.execute.supervise import run_attempt
from stagebook.model.context import REGISTRY, VARIABLE, StageContext
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import AttemptStatus, RunRecord, StageStatus
from stagebook.params.references import resolve
from stagebook.storage import atomic
from stagebook.storage.runs import RunFolder

_CONTEXT = ".context.json"


class MissingScrap(StagebookError):
    """A stage refers to a scrap that the upstream stage ended without gluing."""

    @classmethod
    def of(cls, stage: str, scrap: str, glued: list[str]) -> Self:
        hint = did_you_mean(scrap, glued)
        return cls(f"stage '{stage}' did not glue '{scrap}'.{hint} It glued: {', '.join(glued) or 'nothing'}")


@dataclass(frozen=True)
class _Start:
    """What all attempts of a stage have in common."""

    pipeline: Pipeline
    stage: Stage
    parameters: dict[str, Any]
    inputs: dict[str, int]
    task_values: TaskValues
    engine: str
    choice: Choice | None

    @property
    def depends_on(self) -> dict[str, Any]:
        """Parameters and all other values that the result depends on, by name."""
        return {**self.parameters, **guests.counted(self.task_values)}


def run_stage(
    pipeline: Pipeline, stage: Stage, crew: Crew, why: str, may_reuse: bool = False, beside: Sequence[str] = ()
) -> None:
    """Attempt a stage until it succeeds, cannot, or may not any more; the record tells how it ended.

    With `may_reuse` an earlier result stands for it where nothing has changed, now that its inputs are known.
    It is not started where the crew does not permit it, given the stages `beside` it that were started before.
    """
    record = crew.book.record
    try:
        parameters = resolve(dict(stage.parameters), lambda up, scrap: glued(record, up, scrap))
        inputs = pinned(pipeline, stage, record)
        values = guests.task_values(stage, pipeline.stages, lambda up: record.stages[up].scraps)
        if may_reuse and (found := _found(stage, {**parameters, **guests.counted(values)}, inputs, crew)):
            settle_reused(stage.name, found, crew)
            return
        going_on = [name for name in beside if record.stages[name].status in (StageStatus.PENDING, StageStatus.RUNNING)]
        if refusal := crew.permit(stage.name, record, going_on):
            crew.book.tell("stage_settled", stage=stage.name, status="skipped", why=refusal, over_budget=True)
            return
        engine, choice = _engine(pipeline, stage, inputs, crew)
    except StagebookError as error:
        crew.book.tell("stage_settled", stage=stage.name, status="failed", why=str(error))
        return
    if crew.results.may_call_mlflow(stage):
        crew.await_tracking()  # before it takes of a pool, and before its time counts
    start = _Start(pipeline, stage, parameters, inputs, values, engine, choice)
    with crew.pools.held(stage.pools, f"{record.run_id} {stage.name}", crew.stop) as waited:
        if waited is None:
            return  # stopped while it waited: it was never begun
        if waited >= 1:
            why = f"{why}; waited {waited:.0f} s for pool {', '.join(stage.pools)}"
        begun, outcome = _until_it_ends(start, crew, why)
    _settle(start, outcome, crew, why, begun)


def _until_it_ends(start: _Start, crew: Crew, why: str) -> tuple[Begun, Outcome]:
    """The last attempt: the first one that succeeds, or that no other follows."""
    stage = start.stage
    before = len(crew.book.record.stages[stage.name].attempts)
    tries = 0
    while True:
        tries += 1
        begun, outcome = _attempt(start, before + tries, crew, why if tries == 1 else "retry")
        if crew.stop.is_set() or not should_retry(outcome, tries, stage.retry):
            return begun, outcome
        if crew.stop.wait(wait_seconds(stage.retry, tries, crew.random)):
            return begun, outcome


def _found(stage: Stage, parameters: dict[str, Any], inputs: dict[str, int], crew: Crew) -> Found | None:
    crew.results.look_again()
    found = crew.results.find(stage, crew.results.ingredients(stage, parameters, inputs))
    return found if found.result is not None else None


def settle_reused(stage: str, found: Found, crew: Crew) -> None:
    """Journal that an earlier result stands for a stage; from now on this run has it too."""
    assert found.result is not None
    crew.book.tell("stage_settled", stage=stage, status="reused", why=found.why, **found.result)
    crew.results.remember(found.result["reuse"], crew.book.folder.run_id)


def _engine(pipeline: Pipeline, stage: Stage, inputs: dict[str, int], crew: Crew) -> tuple[str, Choice | None]:
    """The engine that is asked for; or the one that is chosen, and why."""
    wanted = stage.engine or pipeline.engine
    if wanted != "auto":
        return wanted, None
    choice = choosing.chosen(stage, inputs, crew.tables, choosing.here(pipeline.spark))
    return choice.engine, choice


def glued(record: RunRecord, stage: str, scrap: str) -> Any:
    """The value of an upstream scrap.

    Raises:
        MissingScrap: if the stage ended without gluing it.
    """
    scraps = record.stages[stage].scraps
    if scrap not in scraps:
        raise MissingScrap.of(stage, scrap, sorted(scraps))
    return scraps[scrap]


def pinned(pipeline: Pipeline, stage: Stage, record: RunRecord) -> dict[str, int]:
    """The version of each table that the stage reads: what this run committed, else as of the run's start."""
    return versions_read(stage, record.pins, [record.stages[name].outputs for name in makers(pipeline, stage)])


def _attempt(start: _Start, n: int, crew: Crew, why: str) -> tuple[Begun, Outcome]:
    stage, folder = start.stage, crew.book.folder
    output = folder.attempt(stage.name, n)
    kept = folder.attempt(stage.name, n, INGREDIENTS)
    begun = crew.results.began(stage, start.depends_on, start.inputs, kept)
    crew.book.tell(
        "attempt_started",
        stage=stage.name,
        n=n,
        why=why,
        parameters=start.parameters,
        engine=start.engine,
        choice=None if start.choice is None else start.choice.to_json(),
        inputs=start.inputs,
        notebook=str(output.relative_to(folder.path)),
    )
    began = crew.seconds()
    outcome = _with_tables(start, _executed(start, n, output, crew), crew)
    crew.book.tell(
        "attempt_finished",
        stage=stage.name,
        n=n,
        seconds=round(crew.seconds() - began, 3),
        **outcome.to_json(),
    )
    return begun, outcome


def _executed(start: _Start, n: int, output: Path, crew: Crew) -> Outcome:
    """How the notebook ended; a Spark that does not start, or ends meanwhile, is told as what it is."""
    stage, folder = start.stage, crew.book.folder
    try:
        place = spark.place(start.pipeline.spark, crew.stop) if start.engine == "spark" else None
    except spark.Stopped:
        return Outcome.failed(AttemptStatus.INTERRUPTED, "Interrupted", "the run was stopped")
    except StagebookError as error:
        return Outcome.failed(AttemptStatus.FAILED, type(error).__name__, str(error))
    job = Job(
        notebook=str(stage.notebook),
        output=str(output),
        folder=str(stage.notebook.parent),
        parameters=guests.injected(stage, start.parameters),
        environment=_environment(start, n, crew, place),
        label={"run_id": folder.run_id, "stage": stage.name, "attempt": n, "notebook": str(stage.notebook)},
        timeout_seconds=stage.retry.timeout.total_seconds() if stage.retry.timeout else None,
        guest=stage.guest is not None,
    )

    def progress(cell: CellProgress) -> None:
        crew.progress(stage.name, n, cell)

    host = crew.ahead.host if stage.kernel == "auto" else None
    log = folder.attempt(stage.name, n, ".log")
    ready = crew.ahead.take(stage.name, job.coming)
    outcome = run_attempt(job, log=log, stop=crew.stop, progress=progress, host=host, ready=ready)
    return outcome if place is None else spark.blamed(outcome, start.pipeline.spark, place)


def _environment(start: _Start, n: int, crew: Crew, place: SparkPlace | None) -> dict[str, str]:
    """The environment variables that make a kernel part of this run."""
    folder, places, tracking = crew.book.folder, start.pipeline.places, start.pipeline.tracking
    context = StageContext(
        run_id=folder.run_id,
        stage=start.stage.name,
        attempt=n,
        run_folder=folder.path,
        warehouse=places.warehouse,
        tables=places.tables,
        engine=start.engine,
        tracking=tracking,
        spark=place.settings if place else start.pipeline.spark,
        reads=start.stage.reads,
        writes=start.stage.writes,
        inputs=start.inputs,
        external=places.external,
        widgets=guests.widgets(start.stage, start.parameters),
        task_values=start.task_values,
    )
    atomic.write_json(folder.attempt(start.stage.name, n, _CONTEXT), context.to_json())
    return {**_known_before(start.pipeline, start.stage, n, folder), **(place.environment if place else {})}


def _known_before(pipeline: Pipeline, stage: Stage, n: int, folder: RunFolder) -> dict[str, str]:
    """The environment variables of an attempt that are known before its turn comes."""
    return {
        VARIABLE: str(folder.attempt(stage.name, n, _CONTEXT)),
        "MLFLOW_TRACKING_URI": pipeline.tracking.uri,
        "MLFLOW_EXPERIMENT_NAME": pipeline.tracking.experiment,
    }


def start_ahead(pipeline: Pipeline, stage: Stage, crew: Crew) -> None:
    """Start the kernel of a stage whose turn comes next; one on Spark has to know more, and is told so then."""
    found = crew.book.record.stages[stage.name]
    if found.status is StageStatus.PENDING and stage.kernel == "auto" and (stage.engine or pipeline.engine) != "spark":
        folder, n = crew.book.folder, len(found.attempts) + 1
        environment = _known_before(pipeline, stage, n, folder)
        coming = Coming(str(stage.notebook), str(stage.notebook.parent), environment)
        crew.ahead.start(stage.name, coming, folder.attempt(stage.name, n, ".log"))


def _with_tables(start: _Start, outcome: Outcome, crew: Crew) -> Outcome:
    """The outcome, or a failure where a table that the stage declares was not committed."""
    run_id, stage = crew.book.folder.run_id, start.stage
    if outcome.status is not AttemptStatus.SUCCEEDED:
        return outcome
    for name in stage.writes:
        if crew.tables.committed(name, run_id=run_id, stage=stage.name) is None:
            message = f"the stage ended without writing the table '{name}' that its `writes` declares"
            error = {"type": "MissingTable", "message": message, "cell": None}
            return replace(outcome, status=AttemptStatus.FAILED, error=error)
    return outcome


def _settle(start: _Start, outcome: Outcome, crew: Crew, why: str, begun: Begun) -> None:
    stage, folder, run_id = start.stage, crew.book.folder, crew.book.folder.run_id
    if outcome.status is not AttemptStatus.SUCCEEDED:
        error = outcome.error or {}
        reason = f"{error.get('type')}: {error.get('message')}".splitlines()[0]
        crew.book.tell("stage_settled", stage=stage.name, status=StageStatus.FAILED.value, why=reason)
        return
    commits = {name: crew.tables.committed(name, run_id=run_id, stage=stage.name) for name in stage.writes}
    outputs = {name: commit.to_json() for name, commit in commits.items() if commit}
    n = crew.book.record.stages[stage.name].attempts[-1].n
    kept = crew.results.ended(
        stage,
        begun,
        (run_id, n),
        folder.attempt(stage.name, n, REGISTRY),
        {name: output["version"] for name, output in outputs.items()},
    )
    crew.book.tell(
        "stage_settled",
        stage=stage.name,
        status=StageStatus.SUCCEEDED.value,
        why=why,
        outputs=outputs,
        scraps=outcome.scraps,
        reuse=kept,
    )
    crew.results.remember(kept, run_id)

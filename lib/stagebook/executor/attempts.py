"""One stage from its first attempt to its end: attempts, retries, and the tables that must be there afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stagebook.cache.lookup import KEY_INPUTS, AttemptSnapshot
from stagebook.engines.choice import EngineChoice
from stagebook.errors import StagebookError
from stagebook.executor import spark_server
from stagebook.executor.attempt_job import attempt_job, upcoming_attempt
from stagebook.executor.job import CellProgress, Outcome
from stagebook.executor.retry import should_retry, wait_seconds
from stagebook.executor.run_context import RunContext
from stagebook.executor.stage_inputs import StageInputs, engine_of
from stagebook.executor.supervise import run_attempt
from stagebook.formatting import RECORDED_TEXT, excerpt, first_line
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import AttemptStatus, StageStatus


@dataclass(frozen=True)
class _StageRun:
    """A stage that is about to be attempted: everything that its attempts share."""

    pipeline: Pipeline
    stage: Stage
    inputs: StageInputs
    engine: str
    choice: EngineChoice | None
    context: RunContext


def run_stage(
    pipeline: Pipeline,
    stage: Stage,
    context: RunContext,
    reason: str,
    may_reuse: bool = False,
    started: Sequence[str] = (),
) -> None:
    """Attempt a stage until it succeeds or may not be retried; the record says how it ended.

    With `may_reuse` an earlier result is taken where nothing has changed, now that the inputs are known.
    The stage is skipped where the context does not permit it beside the stages that were `started` before.
    """
    record = context.recorder.record
    try:
        inputs = StageInputs.resolve(pipeline, stage, record)
        if may_reuse and _take_cached(stage, inputs, context):
            return
        unfinished = (StageStatus.PENDING, StageStatus.RUNNING)
        under_way = [name for name in started if record.stages[name].status in unfinished]
        if refusal := context.permit(stage.name, record, under_way):
            context.recorder.emit("stage_settled", stage=stage.name, status="skipped", why=refusal, over_budget=True)
            return
        engine, choice = engine_of(pipeline, stage, inputs.versions, context.tables)
    except StagebookError as error:
        why = excerpt(error, RECORDED_TEXT)
        context.recorder.emit("stage_settled", stage=stage.name, status="failed", why=why)
        return
    if context.cache.code.may_call_mlflow(stage.notebook):
        context.await_tracking()  # before it claims a pool, and before its time counts
    stage_run = _StageRun(pipeline, stage, inputs, engine, choice, context)
    with context.pools.claimed(stage.pools, f"{record.run_id} {stage.name}", context.stop) as waited_seconds:
        if waited_seconds is None:
            return  # stopped while it waited: it was never started
        if waited_seconds >= 1:
            reason = f"{reason}; waited {waited_seconds:.0f} s for pool {', '.join(stage.pools)}"
        snapshot, outcome = _attempt_until_done(stage_run, reason)
    _settle(stage_run, outcome, reason, snapshot)


def prestart_kernel(pipeline: Pipeline, stage: Stage, context: RunContext) -> None:
    """Prestart the kernel of a stage whose turn comes next; one on Spark needs the server's address first."""
    record = context.recorder.record.stages[stage.name]
    engine = stage.engine or pipeline.engine
    if record.status is StageStatus.PENDING and stage.kernel == "auto" and engine != "spark":
        n = len(record.attempts) + 1
        upcoming = upcoming_attempt(pipeline, stage, n, context.recorder.folder)
        context.prestarter.start(stage.name, upcoming, context.recorder.folder.attempt(stage.name, n, ".log"))


def _take_cached(stage: Stage, inputs: StageInputs, context: RunContext) -> bool:
    """Take an earlier result for the stage, if there is one, and record it as this run's."""
    cache = context.cache
    cache.code.refresh()
    lookup = cache.look_up(stage, cache.key_inputs(stage, inputs.key_parameters, inputs.versions))
    if lookup.result is None:
        return False
    context.recorder.emit("stage_settled", stage=stage.name, status="reused", why=lookup.reason, **lookup.result)
    cache.remember(lookup.result["reuse"], context.recorder.folder.run_id)
    return True


def _attempt_until_done(stage_run: _StageRun, reason: str) -> tuple[AttemptSnapshot, Outcome]:
    """The last attempt: it succeeded, or may not be retried."""
    stage, context = stage_run.stage, stage_run.context
    earlier = len(context.recorder.record.stages[stage.name].attempts)
    tries = 0
    while True:
        tries += 1
        snapshot, outcome = _attempt(stage_run, earlier + tries, reason if tries == 1 else "retry")
        if context.stop.is_set() or not should_retry(outcome, tries, stage.retry):
            return snapshot, outcome
        if context.stop.wait(wait_seconds(stage.retry, tries, context.random)):
            return snapshot, outcome


def _attempt(stage_run: _StageRun, n: int, reason: str) -> tuple[AttemptSnapshot, Outcome]:
    stage, inputs, context = stage_run.stage, stage_run.inputs, stage_run.context
    recorder, folder = context.recorder, context.recorder.folder
    snapshot = context.cache.begin_attempt(
        stage, inputs.key_parameters, inputs.versions, folder.attempt(stage.name, n, KEY_INPUTS)
    )
    recorder.emit(
        "attempt_started",
        stage=stage.name,
        n=n,
        why=reason,
        parameters=inputs.parameters,
        engine=stage_run.engine,
        choice=None if stage_run.choice is None else stage_run.choice.to_json(),
        inputs=inputs.versions,
        notebook=str(folder.attempt(stage.name, n).relative_to(folder.path)),
    )
    started = context.seconds()
    outcome = _with_declared_tables(stage_run, _execute(stage_run, n))
    seconds = round(context.seconds() - started, 3)
    recorder.emit("attempt_finished", stage=stage.name, n=n, seconds=seconds, **outcome.to_json())
    return snapshot, outcome


def _execute(stage_run: _StageRun, n: int) -> Outcome:
    """Execute the notebook; where the Spark server does not start, or ends meanwhile, that is the error."""
    stage, context, spark = stage_run.stage, stage_run.context, stage_run.pipeline.spark
    try:
        endpoint = spark_server.endpoint(spark, context.stop) if stage_run.engine == "spark" else None
    except spark_server.RunStopped:
        return Outcome.failed(AttemptStatus.INTERRUPTED, "Interrupted", "the run was stopped")
    except StagebookError as error:
        return Outcome.failed(AttemptStatus.FAILED, type(error).__name__, str(error))
    folder = context.recorder.folder
    job = attempt_job(stage_run.pipeline, stage, stage_run.inputs, stage_run.engine, n, folder, endpoint)

    def progress(cell: CellProgress) -> None:
        context.progress(stage.name, n, cell)

    try:
        outcome = run_attempt(
            job,
            log=folder.attempt(stage.name, n, ".log"),
            stop=context.stop,
            progress=progress,
            fork_server=context.prestarter.fork_server if stage.kernel == "auto" else None,
            prestarted=context.prestarter.take(stage.name, job.upcoming),
        )
    except OSError as fault:  # such as a full disk
        return Outcome.failed(AttemptStatus.FAILED, type(fault).__name__, f"the attempt cannot be started: {fault}")
    return outcome if endpoint is None else spark_server.attribute_to_spark(outcome, spark, endpoint)


def _with_declared_tables(stage_run: _StageRun, outcome: Outcome) -> Outcome:
    """The outcome, or a failure where a stage that did not end early has not committed a table that it declares."""
    run_id, stage, tables = stage_run.context.recorder.folder.run_id, stage_run.stage, stage_run.context.tables
    if outcome.status is not AttemptStatus.SUCCEEDED or outcome.ended_early is not None:
        return outcome
    for name in stage.writes:
        if tables.committed(name, run_id=run_id, stage=stage.name) is None:
            message = f"the stage ended without writing the table '{name}' that its `writes` declares"
            error = {"type": "MissingTable", "message": message, "cell": None}
            return replace(outcome, status=AttemptStatus.FAILED, error=error)
    return outcome


def _settle(stage_run: _StageRun, outcome: Outcome, reason: str, snapshot: AttemptSnapshot) -> None:
    """Record how the stage ended, and for later runs what its result depends on."""
    stage, context = stage_run.stage, stage_run.context
    recorder, folder, run_id = context.recorder, context.recorder.folder, context.recorder.folder.run_id
    if outcome.status is not AttemptStatus.SUCCEEDED:
        error = outcome.error or {}
        why = first_line(f"{error.get('type')}: {error.get('message')}")
        recorder.emit("stage_settled", stage=stage.name, status=StageStatus.FAILED.value, why=why)
        return
    commits = {name: context.tables.committed(name, run_id=run_id, stage=stage.name) for name in stage.writes}
    outputs = {name: commit.to_json() for name, commit in commits.items() if commit}
    n = recorder.record.stages[stage.name].attempts[-1].n
    versions = {name: output["version"] for name, output in outputs.items()}
    reusable = context.cache.end_attempt(stage, snapshot, folder, n, versions)
    recorder.emit(
        "stage_settled",
        stage=stage.name,
        status=StageStatus.SUCCEEDED.value,
        why=reason,
        outputs=outputs,
        scraps=outcome.scraps,
        reuse=reusable,
        ended_early=outcome.ended_early,
    )
    context.cache.remember(reusable, run_id)

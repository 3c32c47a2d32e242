"""What works beside the stages of a run: recorder, background worker, kernels, Spark server, signals."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from stagebook.executor import spark_server
from stagebook.executor.kernels.fork_server import fork_server_for_run
from stagebook.executor.kernels.prestart import Prestarter
from stagebook.executor.pools import Pools
from stagebook.executor.run_context import RunContext
from stagebook.runner.background_worker import BackgroundWorker, TrackingDatabase
from stagebook.runner.prepare import PreparedRun
from stagebook.runner.signals import StopSignals
from stagebook.runs.recorder import RunRecorder
from stagebook.user_state import state_folder


@dataclass(frozen=True)
class Services:
    """The open services of a run."""

    context: RunContext
    worker: BackgroundWorker
    tracking: TrackingDatabase
    signals: StopSignals

    @property
    def recorder(self) -> RunRecorder:
        return self.context.recorder


@contextmanager
def open_services(run: PreparedRun, signals: StopSignals) -> Iterator[Services]:
    """Admit the run by its budget and open what its stages need; all of it is closed at the end. Signals stop them.

    Raises:
        OverBudget: if the run is expected to exceed a limit; nothing was started.
    """
    environment, stages = run.environment, run.plan.running
    with ExitStack() as stack:
        stack.callback(environment.progress.close)
        stack.enter_context(run.budget.admitted(run.folder.load()))
        recorder = stack.enter_context(RunRecorder(run.folder, environment.clock))
        fork_server = fork_server_for_run(run.pipeline, stages)
        worker = stack.enter_context(BackgroundWorker(run.pipeline, run.folder.path, fork_server, signals))
        tracking = TrackingDatabase(worker, environment.warn, is_needed=bool(stages))
        context = RunContext(
            recorder,
            run.warehouse,
            run.cache,
            environment.progress.cell,
            Pools(state_folder() / "pools.sqlite", run.pipeline.pools, run.request.urgent_from),
            stop=signals.stop,
            prestarter=Prestarter(fork_server, run.request.jobs),
            permit=run.budget.permit,
            await_tracking=tracking.wait,
        )
        recorder.subscribe(environment.progress.event)
        recorder.subscribe(worker.on_event)
        spark_server.start_in_background(run.pipeline, stages)
        yield Services(context, worker, tracking, signals)

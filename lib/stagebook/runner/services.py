"""What works beside the stages of a run: recorder, background worker, kernels, Spark server, signals."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from stagebook.executor import spark_server
from stagebook.executor.kernels.fork_server import fork_server_for_run
from stagebook.executor.kernels.prestart import Prestarter
from stagebook.executor.pools import Pools
from stagebook.executor.run_context import RunContext
from stagebook.runner.background_worker import BackgroundWorker, TrackingDatabase
from stagebook.runner.prepare import PreparedRun
from stagebook.runs.recorder import RunRecorder
from stagebook.user_state import state_folder


@dataclass(frozen=True)
class Services:
    """The open services of a run. `signals` are the numbers of the signals that came so far."""

    context: RunContext
    worker: BackgroundWorker
    tracking: TrackingDatabase
    signals: list[int]

    @property
    def recorder(self) -> RunRecorder:
        return self.context.recorder


@contextmanager
def open_services(run: PreparedRun) -> Iterator[Services]:
    """Admit the run by its budget and open what its stages need; all of it is closed at the end.

    Raises:
        OverBudget: if the run is expected to exceed a limit; nothing was started.
    """
    environment, stages = run.environment, run.plan.running
    with ExitStack() as stack:
        stack.callback(environment.progress.close)
        stack.enter_context(run.budget.admitted(run.folder.load()))
        recorder = stack.enter_context(RunRecorder(run.folder, environment.clock))
        fork_server = fork_server_for_run(run.pipeline, stages)
        worker = stack.enter_context(BackgroundWorker(run.pipeline, run.folder.path, fork_server))
        tracking = TrackingDatabase(worker, environment.warn, is_needed=bool(stages))
        context = RunContext(
            recorder,
            run.warehouse,
            run.cache,
            environment.progress.cell,
            Pools(state_folder() / "pools.sqlite", run.pipeline.pools, run.request.urgent_from),
            prestarter=Prestarter(fork_server, run.request.jobs),
            permit=run.budget.permit,
            await_tracking=tracking.wait,
        )
        recorder.subscribe(environment.progress.event)
        recorder.subscribe(worker.on_event)
        signals = stack.enter_context(stop_on_signals(context.stop))
        spark_server.start_in_background(run.pipeline, stages)
        yield Services(context, worker, tracking, signals)


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[list[int]]:
    """SIGINT and SIGTERM set `stop`; yields the numbers of the signals that came."""
    received: list[int] = []

    def handle(number: int, _: Any) -> None:
        received.append(number)
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""The main path: from a request to a finished run, as a list of steps."""

from dataclasses import dataclass

from stagebook.config.request import RunRequest
from stagebook.executor.run_all import run_all
from stagebook.executor.run_context import Limits
from stagebook.model.pipeline import Paths
from stagebook.model.record import RunRecord
from stagebook.runner import outcome
from stagebook.runner.begin import begin
from stagebook.runner.environment import RunEnvironment
from stagebook.runner.finalize import finalize, recorded_as_failed
from stagebook.runner.machine_metrics import measure_minutes
from stagebook.runner.prepare import prepare
from stagebook.runner.services import open_services
from stagebook.runner.signals import before_the_run, handle_signals
from stagebook.runs.folders import RunFolder


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and the words that end the command."""

    record: RunRecord
    folder: RunFolder
    paths: Paths
    summary: str


def run_pipeline(request: RunRequest, environment: RunEnvironment) -> FinishedRun:
    """Run a pipeline, or what is left of it; failed stages end up in the record, never as exceptions.

    Raises:
        ConfigError: if anything about the request is wrong; nothing was started.
        OverBudget: if the run is expected to exceed a limit; nothing was started.
        RunHeld: if another process holds the run.
        StoppedBySignal: a signal came before the run had begun.
    """
    with handle_signals(before_the_run()) as signals, prepare(request, environment) as run:
        signals.run_begins()
        with open_services(run, signals) as services:
            begin(run, services.recorder)
            limits = Limits(request.jobs, request.keep_going, run.plan.may_reuse)
            with (
                recorded_as_failed(run, services),
                measure_minutes(services.recorder, environment.clock, is_needed=bool(run.plan.running)),
            ):
                run_all(run.pipeline, run.plan.reasons, limits, services.context)
            finalize(run, services)
        record = services.recorder.record
        summary = outcome.summary(record, run.folder.report, run.resume_command)
        return FinishedRun(record, run.folder, run.pipeline.paths, summary)

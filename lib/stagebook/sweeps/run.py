"""The main path of a sweep run: from a sweep to a comparison of its configurations."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stagebook import atomic
from stagebook.config.request import RunRequest
from stagebook.errors import StagebookError
from stagebook.formatting import first_line
from stagebook.model.record import RunRecord, RunStatus
from stagebook.model.sweep import Comparison, Configuration
from stagebook.report import sweep_comparison
from stagebook.runner import run_process
from stagebook.runner.environment import RunEnvironment
from stagebook.runner.outcome import REFUSED
from stagebook.runner.signals import stop_on_signals
from stagebook.runs.folders import SWEEP_FILE, RunFolder
from stagebook.runs.recorder import stamp
from stagebook.sweeps.compare import compare, exit_code
from stagebook.sweeps.dispatch import DispatchResult, DispatchTools, dispatch
from stagebook.sweeps.prepare import PreparedSweep, SweepRequest, prepare
from stagebook.sweeps.shared_stages import shareable
from stagebook.tracking import sweeps, sync

CONTINUE_LATER = 75
"""Exit status of a sweep run whose time is over before all of it was started: it can be resumed."""


@dataclass(frozen=True)
class SweepResult:
    """How a sweep run ended, the folder of its tables, and whether a run was refused for what the month has spent."""

    comparison: Comparison
    folder: Path
    exit_code: int
    is_month_spent: bool = False


def run_sweep(
    request: SweepRequest,
    environment: RunEnvironment,
    show: Callable[[str], None],
    *,
    may_start: Callable[[], bool] = lambda: True,
) -> SweepResult:
    """Run what remains of a sweep run, each configuration as an ordinary run, and compare them.

    A configuration that fails ends up in the comparison; the others go on.

    Args:
        show: takes lines about the progress.
        may_start: whether a configuration may start now; where none may and none runs, it ends with `CONTINUE_LATER`.
    Raises:
        ConfigError: as `prepare`.
        RunHeld: another process works on this sweep run.
    """
    prepared = prepare(request, environment)
    sweep_run, folder = prepared.sweep_run, RunFolder(prepared.pipeline.paths.runs / prepared.sweep_run.id)
    runs = _SweepRuns(prepared, folder, environment, request.jobs)
    with folder.held():
        atomic.write_json(folder.path / SWEEP_FILE, sweep_run.to_json())
        remaining = [configuration for configuration in sweep_run.configurations if not runs.is_judged(configuration)]
        show(f"sweep run {sweep_run.id}: {len(remaining)} of {len(sweep_run.configurations)} configurations to run")
        keys = {n: shareable(own, prepared.pipeline, prepared.requests[n]) for n, own in prepared.keys.items()}
        stop = threading.Event()
        with stop_on_signals(stop) as signals:
            tools = DispatchTools(runs.launch, runs.load, show, may_start, stop)
            result = dispatch(remaining, keys, request.jobs, tools)
        comparison = compare(sweep_run, runs.load, result.codes, runs.reasons(result))
        interrupted_by = signals[-1] if signals else None
        code = CONTINUE_LATER if result.remaining and not signals else exit_code(comparison, interrupted_by)
        ended = replace(sweep_run, finished_at=stamp(environment.clock()), exit_code=code)
        comparison = replace(comparison, sweep_run=ended)
        runs.write(comparison)
        atomic.write_json(folder.path / SWEEP_FILE, ended.to_json())
        runs.track(comparison)
        return SweepResult(comparison, folder.path, code, run_process.MONTH_SPENT in result.codes.values())


@dataclass(frozen=True)
class _SweepRuns:
    """The runs of a sweep run: where they are, how they start, and what is written of them."""

    prepared: PreparedSweep
    folder: RunFolder
    environment: RunEnvironment
    jobs: int

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.folder.path.parent / run_id)

    def load(self, run_id: str) -> RunRecord | None:
        """The record, as far as it can be read."""
        return self.run(run_id).load_part()

    def is_judged(self, configuration: Configuration) -> bool:
        """Whether the run has a figure that stays: it succeeded, or the gate refused its model."""
        record = self.load(configuration.run_id)
        return record is not None and (record.status is RunStatus.SUCCEEDED or record.exit_code == REFUSED)

    def launch(self, configuration: Configuration) -> run_process.RunProcess:
        run = self.run(configuration.run_id)
        if run.events.exists() and run.is_held:
            return run_process.OrphanedRun(run)
        request = self.prepared.requests[configuration.n]
        setup = {
            "request": request.to_json(),
            "jobs": request.jobs,
            "urgent_from": request.urgent_from,
            "folder": str(run.path),
        }
        log = self._log(configuration.n)
        return run_process.start(run_process.__name__, setup, cwd=self.environment.cwd, log=log)

    def reasons(self, result: DispatchResult) -> dict[int, str]:
        """Why configurations were not started, or left no record."""
        return {n: self._last_message(n) for n, code in result.codes.items() if code} | result.unstarted

    def write(self, comparison: Comparison) -> None:
        """Write the comparison as page, CSV and JSON."""
        page = sweep_comparison.to_html(comparison, self.best_command(comparison))
        atomic.write_text(self.folder.path / "comparison.html", page)
        atomic.write_text(self.folder.path / "comparison.csv", sweep_comparison.to_csv(comparison))
        atomic.write_json(self.folder.path / "comparison.json", sweep_comparison.to_json(comparison))

    def best_command(self, comparison: Comparison) -> str | None:
        """The command that runs the best configuration in full; None where there is none."""
        if comparison.best is None:
            return None
        request = replace(self.prepared.requests[comparison.best], first=(), last=(), only=())
        return request.command(self.environment.program)

    def track(self, comparison: Comparison) -> None:
        """Send the comparison to MLflow; what it cannot take now is kept, and sent by resuming the sweep run."""
        files = [self.folder.path / f"comparison.{suffix}" for suffix in ("html", "csv", "json")]
        tracking = self.prepared.pipeline.tracking
        try:
            members = {}
            for row in comparison.rows:
                if (record := self.load(row.run_id)) is not None:
                    links = record.mlflow or sync.sync(record, tracking, self.run(row.run_id).path, final=True)
                    members[row.run_id] = links["run_id"]
            sweeps.sync_sweep(comparison, members, files, tracking)
        except StagebookError as error:
            shared = RunRequest.from_json(comparison.sweep_run.request)
            resume = shared.sweep_resume_command(self.environment.kit, comparison.sweep_run.id, self.jobs)
            self.environment.warn(f"{first_line(str(error))} (nothing is lost: `{resume}` sends it later)")

    def _log(self, n: int) -> Path:
        return self.folder.path / f"configuration-{n}.log"

    def _last_message(self, n: int) -> str:
        """The last message of a run that did not begin, from its log."""
        log, prefix = self._log(n), "stagebook: "
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        messages = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        return messages[-1] if messages else ""

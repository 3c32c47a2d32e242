"""The main path of a batch: from a sweep to a comparison of its configurations."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stagebook.batch import child
from stagebook.batch.compare import compare, exit_code
from stagebook.batch.dispatch import Dispatched, Tools, dispatch
from stagebook.batch.prepare import BATCH, BatchRequest, Prepared, prepare
from stagebook.batch.sharing import shared
from stagebook.errors import StagebookError
from stagebook.model.batch import Comparison, Configuration
from stagebook.model.record import RunRecord, RunStatus
from stagebook.report import comparison as pages
from stagebook.run.ending import REFUSED
from stagebook.run.pipeline import Surface, stopped_by_signals
from stagebook.storage import atomic
from stagebook.storage.runbook import stamp
from stagebook.storage.runs import RunFolder
from stagebook.track import batches, sync

LATER = 75
"""Exit status of a batch whose time is over before all of it was started: it can be gone on with."""


@dataclass(frozen=True)
class BatchResult:
    """How a batch ended, the folder of its tables, and whether a run was refused for what the month has spent."""

    comparison: Comparison
    folder: Path
    exit_code: int
    month_is_spent: bool = False


def run_batch(
    request: BatchRequest,
    surface: Surface,
    tell: Callable[[str], None],
    *,
    may_start: Callable[[], bool] = lambda: True,
) -> BatchResult:
    """Run what is left of a batch, each configuration as an ordinary run, and compare them.

    A configuration that fails ends up in the comparison; the others go on.

    Args:
        tell: takes lines about the progress.
        may_start: whether a configuration may start now; where none may and none runs, the batch ends with `LATER`.
    Raises:
        ConfigError: as `prepare`.
        RunHeld: another process works on this batch.
    """
    prepared = prepare(request, surface)
    batch, folder = prepared.batch, RunFolder(prepared.pipeline.places.runs / prepared.batch.id)
    work = _Work(prepared, folder, surface)
    with folder.held():
        atomic.write_json(folder.path / BATCH, batch.to_json())
        todo = [one for one in batch.configurations if not work.has_ended(one)]
        tell(f"batch {batch.id}: {len(todo)} of {len(batch.configurations)} configurations to run")
        shareable = {n: shared(found, prepared.pipeline, prepared.requests[n]) for n, found in prepared.keys.items()}
        stop = threading.Event()
        with stopped_by_signals(stop) as caught:
            done = dispatch(todo, shareable, request.jobs, Tools(work.launch, work.load, tell, may_start, stop))
        found = compare(batch, work.load, done.codes, work.reasons(done))
        code = LATER if done.left and not caught else exit_code(found, caught[-1] if caught else None)
        ended = replace(batch, finished_at=stamp(surface.clock()), exit_code=code)
        found = replace(found, batch=ended)
        work.write(found)
        atomic.write_json(folder.path / BATCH, ended.to_json())
        work.track(found)
        return BatchResult(found, folder.path, code, child.NEXT_MONTH in done.codes.values())


@dataclass(frozen=True)
class _Work:
    """Where the runs of a batch are, and what they leave."""

    prepared: Prepared
    folder: RunFolder
    surface: Surface

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.folder.path.parent / run_id)

    def load(self, run_id: str) -> RunRecord | None:
        return self.run(run_id).load()

    def has_ended(self, one: Configuration) -> bool:
        """Whether the run has a figure that stays: it succeeded, or the gate refused its model."""
        record = self.load(one.run_id)
        return record is not None and (record.status is RunStatus.SUCCEEDED or record.exit_code == REFUSED)

    def launch(self, one: Configuration) -> child.Child:
        run = self.run(one.run_id)
        if run.events.exists() and run.is_held:
            return child.Elsewhere(run)
        request = self.prepared.requests[one.n]
        setup = {"request": request.to_json(), "jobs": request.jobs, "urgent_from": request.urgent_from}
        whole = {**setup, "folder": str(run.path)}
        return child.start(child.__name__, whole, cwd=self.surface.cwd, log=self._log(one.n))

    def reasons(self, done: Dispatched) -> dict[int, str]:
        """Why configurations were not started, or left no record."""
        return {n: self._last_word(n) for n, code in done.codes.items() if code} | done.unstarted

    def write(self, found: Comparison) -> None:
        """The comparison as page, CSV and JSON."""
        atomic.write_text(self.folder.path / "comparison.html", pages.to_html(found, self.best_command(found)))
        atomic.write_text(self.folder.path / "comparison.csv", pages.to_csv(found))
        atomic.write_json(self.folder.path / "comparison.json", pages.to_json(found))

    def best_command(self, found: Comparison) -> str | None:
        """What runs the best configuration in full; None where there is none."""
        if found.best is None:
            return None
        whole = replace(self.prepared.requests[found.best], first=(), last=(), only=())
        return whole.command(self.surface.program)

    def track(self, found: Comparison) -> None:
        """Tell MLflow; what it cannot be told now is kept, and told by going on with the batch."""
        files = [self.folder.path / f"comparison.{suffix}" for suffix in ("html", "csv", "json")]
        tracking = self.prepared.pipeline.tracking
        try:
            members = {}
            for row in found.rows:
                if (record := self.load(row.run_id)) is not None:
                    linked = record.mlflow or sync.sync(record, tracking, self.run(row.run_id).path, final=True)
                    members[row.run_id] = linked["run_id"]
            batches.tell(found, members, files, tracking)
        except StagebookError as error:
            said = str(error).splitlines()[0]
            self.surface.warn(f"{said} (nothing is lost: `stagebook batch --resume {found.batch.id}` tells it later)")

    def _log(self, n: int) -> Path:
        return self.folder.path / f"configuration-{n}.log"

    def _last_word(self, n: int) -> str:
        """What a run that did not begin said of it, in its log."""
        log = self._log(n)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        said = [line.removeprefix("stagebook: ") for line in lines if line.startswith("stagebook: ")]
        return said[-1] if said else ""

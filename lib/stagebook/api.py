"""Runs from Python: start one, or open one that has ended."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from stagebook.config.flags import Flags
from stagebook.config.request import RunRequest
from stagebook.costs import bill
from stagebook.model.record import RunRecord, StageRecord
from stagebook.model.sweep import ParameterSetting
from stagebook.runs import folders
from stagebook.runs.folders import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from stagebook.model.pipeline import Paths

DEFAULT_PARAMS = "dev.yaml"


@dataclass(frozen=True)
class Run:
    """A run and what it left: its record, tables, report and cost.

    Example:
        >>> latest = stagebook.open_run()
        >>> latest.status, list(latest.stages), latest.scraps["hello"]
        ('succeeded', ['hello'], {'rows': 1})
    """

    record: RunRecord
    folder: RunFolder
    paths: "Paths"

    @property
    def id(self) -> str:
        """The run id, such as `20261123T235306Z-1a2b3c`."""
        return self.folder.run_id

    @property
    def status(self) -> Literal["running", "succeeded", "failed", "interrupted"]:
        """How the run ended; `running` while it has not."""
        return self.record.status.value

    @property
    def exit_code(self) -> int | None:
        """The exit status as of `stagebook run`; None while it has not ended."""
        return self.record.exit_code

    @property
    def stages(self) -> dict[str, StageRecord]:
        """Stage → its status, attempts, parameters, inputs and outputs, in the order of the parameter file."""
        return self.record.stages

    @property
    def scraps(self) -> dict[str, dict[str, Any]]:
        """Stage → what it glued."""
        return {name: stage.scraps for name, stage in self.record.stages.items()}

    @property
    def report(self) -> Path:
        """The run report, one HTML file."""
        return self.folder.report

    @property
    def cost(self) -> Decimal:
        """The estimated cost in US dollars before discounts."""
        return bill.of(self.record).total.total.likely

    def table(self, name: str, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """A table as this run committed it, or else as it read it: a pandas frame of Arrow dtypes.

        Args:
            columns: only these, in this order.
        Raises:
            KeyError: if no stage of the run wrote or read it.
            UnknownTable: if the version is no longer there.
        """
        from stagebook.tables.warehouse import Warehouse

        written = [stage.outputs[name]["version"] for stage in self.stages.values() if name in stage.outputs]
        read = [stage.inputs[name] for stage in self.stages.values() if name in stage.inputs]
        if not written and not read:
            raise KeyError(f"run '{self.id}' neither wrote nor read a table '{name}'")
        version = (written or read)[-1]
        return Warehouse.local(self.paths).read(name, version=version, columns=columns)

    @classmethod
    def _load(cls, folder: RunFolder, paths: "Paths") -> Self:
        record = folder.load()
        assert record is not None, "a run that can be listed was started"
        return cls(record, folder, paths)


def run(
    params: str | Path | Sequence[str | Path] = DEFAULT_PARAMS,
    *,
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    reuse: bool = True,
    engine: Literal["auto", "pandas", "polars", "spark"] | None = None,
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> Run:
    """Run a pipeline and wait for it; a failed stage ends up in the record, never as an exception.

    Args:
        params: parameter files, each a path or a name in `params/`; later ones win.
        parameters: parameter → value, for all stages or as `stage.name` for one.
        jobs: stages that may run at once.
        reuse: take results of earlier runs for stages that nothing has changed for.
        engine: what computes on tables, instead of `tables.engine`.
        runs_dir, warehouse: folders of records, and of tables, files and tracking data.
    Returns:
        The run; look at `status`.
    Raises:
        ConfigError: if anything about the request is wrong; nothing was started.
        OverBudget, RunHeld: see there; nothing was started.
    Example:
        >>> stagebook.run("dev.yaml", parameters={"rows": 1}).status
        'succeeded'
    """
    from stagebook.runner.environment import RunEnvironment
    from stagebook.runner.pipeline import run_pipeline
    from stagebook.runner.progress import choose

    names = [params] if isinstance(params, str | Path) else params
    flags = Flags(
        parameters=tuple(ParameterSetting(name, value).text for name, value in (parameters or {}).items()),
        engine=engine,
        runs_dir=runs_dir,
        warehouse=warehouse,
    )
    request = RunRequest(params=tuple(map(str, names)), flags=flags, jobs=jobs, reuse=reuse)
    progress = choose(quiet=False, verbose=False, plain=True)
    environment = RunEnvironment(progress, warn=lambda text: print(f"stagebook: {text}", file=sys.stderr))
    finished = run_pipeline(request, environment)
    return Run(finished.record, finished.folder, finished.paths)


def open_run(
    run_id: str | None = None,
    *,
    params: str | Path = DEFAULT_PARAMS,
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> Run:
    """Open a run of this project.

    Args:
        run_id: its id; the last run if None.
        params: the parameter file that says where runs and tables are.
        runs_dir, warehouse: other folders than it says.
    Raises:
        ConfigError: if there is no such run; names the nearest.
    Example:
        >>> stagebook.open_run().report.name
        'report.html'
    """
    from stagebook.config.load import load

    flags = Flags(runs_dir=runs_dir, warehouse=warehouse)
    paths = load((str(params),), flags, os.environ, Path.cwd()).paths
    return Run._load(folders.find(paths.runs, run_id), paths)

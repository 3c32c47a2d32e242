"""Flags that several commands share, each declared once; a command takes a class of them as one argument."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

if TYPE_CHECKING:
    from stagebook.config.flags import Flags
    from stagebook.config.request import RunRequest
    from stagebook.model.pipeline import Pipeline
    from stagebook.runner.environment import RunEnvironment

DEFAULT_PARAMS = "dev.yaml"

Words = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Count = Annotated[int | None, Parameter(validator=Number(gte=0))]
JsonFlag = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class ParamsOptions:
    """Which parameter files."""

    params: Words = ()
    """Parameter file: a path, or a name in params/ (repeatable, later wins; default: dev.yaml)."""

    def load(self) -> "Pipeline":
        """The checked pipeline of the parameter files."""
        from stagebook.config.load import load

        return load(self.params or (DEFAULT_PARAMS,), self.flags, os.environ, Path.cwd())

    @property
    def flags(self) -> "Flags":
        """What is laid over the parameter files."""
        from stagebook.config.flags import Flags

        return Flags()


@Parameter(name="*")
@dataclass(frozen=True)
class TablesOptions(ParamsOptions):
    """Which parameter files, and where tables are."""

    warehouse: Path | None = None
    """Folder of tables, files and tracking data."""

    @property
    def flags(self) -> "Flags":
        """What is laid over the parameter files."""
        return replace(super().flags, warehouse=self.warehouse)


@Parameter(name="*")
@dataclass(frozen=True)
class ProjectOptions(TablesOptions):
    """Which parameter files, and where runs and tables are."""

    runs_dir: Path | None = None
    """Folder of the run records."""

    @property
    def flags(self) -> "Flags":
        """What is laid over the parameter files."""
        return replace(super().flags, runs_dir=self.runs_dir)


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions(ProjectOptions):
    """What `run`, `sweep` and `queue add` have in common."""

    parameter: Annotated[tuple[str, ...], Parameter(name="-p", negative=(), show_default=False)] = ()
    """One parameter, name=value, for all stages or as stage.name=value (repeatable). A parameter that is text takes the
    value as it is, any other as YAML; name:=value is YAML for both."""
    jobs: Annotated[int | None, Parameter(name=("--jobs", "-j"), validator=Number(gte=1))] = None
    """How much may run at once: stages of a run, configurations of a sweep (default: 1)."""
    reuse: Annotated[bool | None, Parameter(name="--reuse", negative="--no-reuse", show_default=False)] = None
    """Take results of earlier runs for stages that nothing has changed for; --no-reuse runs every stage."""
    retries: Count = None
    """Retries of every stage, instead of max_retries."""
    max_cost: Annotated[float | None, Parameter(validator=Number(gte=0))] = None
    """US dollars that a run may cost, instead of budget.max_usd_per_run; what would exceed it is not started."""
    engine: Literal["auto", "pandas", "polars", "spark"] | None = None
    """What computes on tables, instead of tables.engine."""
    kernel_name: str | None = None
    """The Jupyter kernel that runs the notebooks, instead of those that they name."""

    @property
    def job_count(self) -> int:
        """How much may run at once."""
        return self.jobs or 1

    @property
    def flags(self) -> "Flags":
        """What is laid over the parameter files."""
        max_cost = None if self.max_cost is None else Decimal(str(self.max_cost))
        own = {"parameters": self.parameter, "retries": self.retries, "engine": self.engine, "max_cost": max_cost}
        return replace(super().flags, **own, kernel_name=self.kernel_name)

    def request(self, selection: "Selection | None" = None) -> "RunRequest":
        """The run that these flags ask for."""
        from stagebook.config.request import RunRequest

        selected = selection or Selection()
        options = {**vars(self), **vars(selected)}
        return RunRequest(
            self.params or (DEFAULT_PARAMS,),
            self.flags,
            first=split_names(selected.first),
            last=split_names(selected.last),
            only=split_names(selected.only),
            jobs=self.job_count,
            reuse=self.reuse is not False,
            given=frozenset(name for name, value in options.items() if value not in (None, ())),
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Selection:
    """A part of a pipeline."""

    first: Annotated[tuple[str, ...], Parameter(name="--from", negative=(), show_default=False)] = ()
    """Run these stages and everything downstream (comma-separated)."""
    last: Annotated[tuple[str, ...], Parameter(name="--to", negative=(), show_default=False)] = ()
    """Run these stages and everything upstream (comma-separated)."""
    only: Annotated[
        tuple[str, ...], Parameter(name="--only", negative=(), allow_leading_hyphen=False, show_default=False)
    ] = ()
    """Run only these stages; +b with all upstream, b+ with all downstream (comma-separated)."""


def split_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that were given one by one or comma-separated, one by one."""
    return tuple(part for name in names for part in name.split(",") if part)


def warn(text: str) -> None:
    """A warning on stderr, marked as the kit's."""
    from stagebook.formatting import FINDINGS_TEXT, excerpt

    with suppress(OSError):  # the terminal may be closed by now
        print(f"stagebook: {excerpt(text, FINDINGS_TEXT)}", file=sys.stderr, flush=True)


def quiet_environment() -> "RunEnvironment":
    """The environment of a command that shows no progress."""
    from stagebook.cli import kit_name
    from stagebook.runner.environment import RunEnvironment
    from stagebook.runner.progress import SilentProgress

    return RunEnvironment(SilentProgress(), warn=warn, program=f"{kit_name()} run", kit=kit_name())

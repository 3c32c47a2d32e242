"""The request for a run: the flags of `stagebook run` as one value."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from stagebook.config.flags import Flags

_FLAGS = ("retries", "engine", "max_cost", "kernel_name", "runs_dir", "warehouse")
_OPTIONS = ("params", "jobs", "keep_going", "reuse")
_SELECTION = ("first", "last", "only")


@dataclass(frozen=True)
class RunRequest:
    """One call of `stagebook run`. `resume` is a run id, or empty for the last run, or None for a new one.

    `given` are the names of the options that were given on the command line (None: all that are here count as given).
    `forced_before` is the `force` that the run was started with, for its stages that have not finished.

    When it waits for pools, other runs go first until `urgent_from`, in seconds since the epoch (0: they never do,
    infinity: they always do).
    """

    params: tuple[str, ...] = ()
    flags: Flags = field(default_factory=Flags)
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    force: tuple[str, ...] | None = None
    resume: str | None = None
    run_id: str | None = None
    jobs: int = 1
    keep_going: bool = False
    reuse: bool = True
    urgent_from: float = 0.0
    given: frozenset[str] | None = None
    forced_before: tuple[str, ...] | None = None

    def resuming(self, first: Self) -> Self:
        """This request to go on with a run, with the options of the run's own request that it does not give anew.

        `-p` adds to the parameters of the first request; a selection replaces the whole selection.
        """
        if self.given is None:
            return self
        flags = {name: getattr(first.flags, name) for name in _FLAGS if name not in self.given}
        earlier = [text for text in first.flags.parameters if text not in self.flags.parameters]
        flags["parameters"] = (*earlier, *self.flags.parameters)
        held = {name: getattr(first, name) for name in _OPTIONS if name not in self.given}
        if self.given.isdisjoint(_SELECTION):
            held |= {name: getattr(first, name) for name in _SELECTION}
        return replace(self, flags=replace(self.flags, **flags), forced_before=first.force, **held)

    def to_json(self) -> dict[str, Any]:
        """The request as the journal stores it, so that `--resume` alone continues with the same options."""
        force = self.forced_before if self.force is None else self.force
        return {
            "params": list(self.params),
            "parameters": list(self.flags.parameters),
            "retries": self.flags.retries,
            "engine": self.flags.engine,
            "runs_dir": _absolute(self.flags.runs_dir),
            "warehouse": _absolute(self.flags.warehouse),
            "max_cost": None if self.flags.max_cost is None else str(self.flags.max_cost),
            "kernel_name": self.flags.kernel_name,
            "from": list(self.first),
            "to": list(self.last),
            "only": list(self.only),
            "reuse": self.reuse,
            "jobs": self.jobs,
            "keep_going": self.keep_going,
            "force": None if force is None else list(force),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The request that a journal stores."""
        folders: dict[str, Any] = {name: Path(value[name]) for name in ("runs_dir", "warehouse") if value.get(name)}
        return cls(
            params=tuple(value.get("params", ())),
            flags=Flags(
                parameters=tuple(value.get("parameters", ())),
                retries=value.get("retries"),
                engine=value.get("engine"),
                max_cost=None if value.get("max_cost") is None else Decimal(value["max_cost"]),
                kernel_name=value.get("kernel_name"),
                **folders,
            ),
            first=tuple(value.get("from", ())),
            last=tuple(value.get("to", ())),
            only=tuple(value.get("only", ())),
            reuse=value.get("reuse", True),
            jobs=value.get("jobs", 1),
            keep_going=value.get("keep_going", False),
            force=None if value.get("force") is None else tuple(value["force"]),
        )

    def resume_command(self, program: str, run_id: str) -> str:
        """The exact command that continues the run."""
        return f"{replace(self, force=None).command(program)} {shlex.join(['--resume', run_id])}"

    def sync_command(self, kit: str, run_id: str) -> str:
        """The exact command that sends the run to MLflow again; `kit` is how the kit's commands are called."""
        return f"{kit} sync {shlex.join([*self._location, run_id])}"

    def sweep_resume_command(self, kit: str, sweep_id: str, jobs: int) -> str:
        """The exact command that goes on with a sweep run whose configurations this request is for."""
        parallel = ["--jobs", str(jobs)] if jobs > 1 else []
        return f"{kit} sweep {shlex.join([*self._location, *parallel, '--resume', sweep_id])}"

    def command(self, program: str) -> str:
        """The exact command that starts a new run with the same request."""
        flags = self.flags
        arguments = [*self._location, *(argument for text in flags.parameters for argument in ("-p", text))]
        options = {
            "--engine": flags.engine,
            "--kernel-name": flags.kernel_name,
            "--retries": flags.retries,
            "--max-cost": flags.max_cost,
            "--jobs": self.jobs if self.jobs > 1 else None,
            "--from": ",".join(self.first) or None,
            "--to": ",".join(self.last) or None,
            "--only": ",".join(self.only) or None,
            "--force": None if self.force is None else ",".join(self.force),
        }
        for flag, value in options.items():
            arguments += [] if value is None else [flag, str(value)] if str(value) else [flag]
        arguments += ["--no-reuse"] if not self.reuse else []
        arguments += ["--keep-going"] if self.keep_going else []
        return f"{program} {shlex.join(arguments)}".rstrip()

    @property
    def _location(self) -> list[str]:
        """The words of a command by which it finds the project, its runs and its tables."""
        words = [word for name in self.params for word in ("--params", name)]
        for flag, folder in (("--runs-dir", self.flags.runs_dir), ("--warehouse", self.flags.warehouse)):
            words += [] if folder is None else [flag, str(folder)]
        return words


def _absolute(folder: Path | None) -> str | None:
    """A folder as it is found from anywhere."""
    return None if folder is None else str(folder.absolute())

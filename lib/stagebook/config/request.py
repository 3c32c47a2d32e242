"""The request for a run: the flags of `stagebook run` as one value."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from stagebook.config.flags import Flags


@dataclass(frozen=True)
class RunRequest:
    """One call of `stagebook run`. `resume` is a run id, or empty for the last run, or None for a new one.

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

    def to_json(self) -> dict[str, Any]:
        """The request as the journal stores it, so that `--resume` alone continues with the same parameters."""
        return {
            "params": list(self.params),
            "parameters": list(self.flags.parameters),
            "retries": self.flags.retries,
            "engine": self.flags.engine,
            "runs_dir": str(self.flags.runs_dir) if self.flags.runs_dir else None,
            "warehouse": str(self.flags.warehouse) if self.flags.warehouse else None,
            "max_cost": None if self.flags.max_cost is None else str(self.flags.max_cost),
            "from": list(self.first),
            "to": list(self.last),
            "only": list(self.only),
            "reuse": self.reuse,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The request that a journal stores."""
        folders: dict[str, Any] = {name: Path(value[name]) for name in ("runs_dir", "warehouse") if value.get(name)}
        return cls(
            params=tuple(value["params"]),
            flags=Flags(
                parameters=tuple(value["parameters"]),
                retries=value["retries"],
                engine=value["engine"],
                max_cost=None if value.get("max_cost") is None else Decimal(value["max_cost"]),
                **folders,
            ),
            first=tuple(value["from"]),
            last=tuple(value["to"]),
            only=tuple(value["only"]),
            reuse=value.get("reuse", True),
        )

    def resume_command(self, program: str, run_id: str) -> str:
        """The exact command that continues the run."""
        return f"{self.command(program)} {shlex.join(['--resume', run_id])}"

    def command(self, program: str) -> str:
        """The exact command that starts a new run with the same request."""
        arguments = [argument for name in self.params for argument in ("--params", name)]
        arguments += [argument for text in self.flags.parameters for argument in ("-p", text)]
        if self.flags.engine:
            arguments += ["--engine", self.flags.engine]
        if self.flags.max_cost is not None:
            arguments += ["--max-cost", str(self.flags.max_cost)]
        for flag, folder in (("--runs-dir", self.flags.runs_dir), ("--warehouse", self.flags.warehouse)):
            arguments += [flag, str(folder)] if folder else []
        arguments += [] if self.reuse else ["--no-reuse"]
        for flag, names in (("--from", self.first), ("--to", self.last), ("--only", self.only)):
            arguments += [flag, ",".join(names)] if names else []
        return f"{program} {shlex.join(arguments)}".rstrip()

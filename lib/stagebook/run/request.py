"""What the user asked for: the flags of `stagebook run` as one value."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from stagebook.params.load import Flags


@dataclass(frozen=True)
class RunRequest:
    """One call of `stagebook run`. `resume` is a run id, or empty for the last run, or None for a new one.

    At the pools it gives way to others until `urgent_from`, in seconds since the epoch: 0 never, infinity always.
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
        """What the journal keeps, so that `--resume` alone goes on with the same parameters."""
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
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The request that a journal keeps."""
        folders: dict[str, Any] = {name: Path(kept[name]) for name in ("runs_dir", "warehouse") if kept.get(name)}
        return cls(
            params=tuple(kept["params"]),
            flags=Flags(
                parameters=tuple(kept["parameters"]),
                retries=kept["retries"],
                engine=kept["engine"],
                max_cost=None if kept.get("max_cost") is None else Decimal(kept["max_cost"]),
                **folders,
            ),
            first=tuple(kept["from"]),
            last=tuple(kept["to"]),
            only=tuple(kept["only"]),
            reuse=kept.get("reuse", True),
        )

    def resume_command(self, program: str, run_id: str) -> str:
        """The exact command that goes on with the run."""
        return f"{self.command(program)} {shlex.join(['--resume', run_id])}"

    def command(self, program: str) -> str:
        """The exact command that asks for the same as a new run."""
        words = [word for name in self.params for word in ("--params", name)]
        words += [word for text in self.flags.parameters for word in ("-p", text)]
        if self.flags.engine:
            words += ["--engine", self.flags.engine]
        if self.flags.max_cost is not None:
            words += ["--max-cost", str(self.flags.max_cost)]
        for flag, folder in (("--runs-dir", self.flags.runs_dir), ("--warehouse", self.flags.warehouse)):
            words += [flag, str(folder)] if folder else []
        words += [] if self.reuse else ["--no-reuse"]
        for flag, names in (("--from", self.first), ("--to", self.last), ("--only", self.only)):
            words += [flag, ",".join(names)] if names else []
        return f"{program} {shlex.join(words)}".rstrip()

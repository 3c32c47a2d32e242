"""What a run takes from the process that starts it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stagebook.runner.progress import ProgressDisplay


@dataclass(frozen=True)
class RunEnvironment:
    """Where progress and warnings go; the environment variables, folder and clock of a run.

    `program` is how `run` can be called, and `kit` how other commands can, for commands that the user is told to type.
    """

    progress: ProgressDisplay
    warn: Callable[[str], None]
    program: str = "stagebook run"
    kit: str = "stagebook"
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = field(default_factory=Path.cwd)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

"""What the runner sends to a worker, and what the worker answers: plain JSON both ways."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from stagebook.formatting import RECORDED_TEXT, excerpt, first_line
from stagebook.model.record import AttemptStatus


@dataclass(frozen=True)
class Job:
    """One attempt: execute `notebook` with `parameters`, save it at `output`.

    `timeout_seconds` bounds the whole attempt; `folder` is the kernel's working directory; `is_databricks` says that
    the notebook was written for Databricks; `may_exit` that `sys.exit(0)` and its like end the stage successfully;
    `kernel_name` replaces the kernel that the notebook names. `access_report` is what the kernel's report of what it
    opens needs: its file, the project's folder, and folders that do not count.
    """

    notebook: str
    output: str
    folder: str
    parameters: dict[str, Any]
    environment: dict[str, str]
    label: dict[str, Any]
    timeout_seconds: float | None = None
    is_databricks: bool = False
    may_exit: bool = False
    access_report: dict[str, Any] | None = None
    kernel_name: str | None = None

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        return cls(**json.loads(line))

    @property
    def upcoming(self) -> "UpcomingAttempt":
        """What is known of the attempt before its turn comes."""
        return UpcomingAttempt(self.notebook, self.folder, self.environment, self.kernel_name)


@dataclass(frozen=True)
class UpcomingAttempt:
    """An attempt whose turn has not come: what its kernel needs to be prestarted."""

    notebook: str
    folder: str
    environment: dict[str, str]
    kernel_name: str | None = None

    def to_line(self) -> str:
        return json.dumps({"upcoming": asdict(self)}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self | None:
        """None where the line is a job, or none at all."""
        fields = json.loads(line or "{}").get("upcoming")
        return None if fields is None else cls(**fields)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `error` has `type`, `message` and `cell` (number of the code cell, from 1).

    `ended_early` is why a success ended before the notebook's last cell.
    """

    status: AttemptStatus
    error: dict[str, Any] | None = None
    scraps: dict[str, Any] = field(default_factory=dict)
    peak_rss_bytes: int | None = None
    cpu_seconds: float | None = None
    ended_early: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(**{**fields, "status": AttemptStatus(fields["status"])})

    @classmethod
    def failed(cls, status: AttemptStatus, kind: str, message: str, cell: int | None = None) -> Self:
        text = excerpt(message, RECORDED_TEXT, "the executed notebook")
        return cls(status, {"type": first_line(kind), "message": text, "cell": cell})


@dataclass(frozen=True)
class CellProgress:
    """A cell that has just started: number `cell` of `of` code cells, under `heading`."""

    cell: int
    of: int
    heading: str

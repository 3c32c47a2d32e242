"""The record of a run: what `run.json` holds, folded from the journal's events.

`RunRecord` is the only mutable state of a run, and only `apply` changes it: the same events give the
same record, whether they come live or are read back from `events.jsonl` after a crash.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 2


class RunStatus(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class StageStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REUSED = "reused"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"

    @property
    def done(self) -> bool:
        """Whether the stage has a result that others may stand on."""
        return self in (StageStatus.SUCCEEDED, StageStatus.REUSED)


class AttemptStatus(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KERNEL_DIED = "kernel_died"
    INTERRUPTED = "interrupted"


@dataclass
class Attempt:
    """One execution of a stage. Times are UTC ISO 8601, sizes bytes, durations seconds."""

    n: int
    status: AttemptStatus
    started_at: str
    notebook: str
    finished_at: str | None = None
    seconds: float | None = None
    error: dict[str, Any] | None = None  # type, message, cell
    peak_rss_bytes: int | None = None
    cpu_seconds: float | None = None


@dataclass
class RunSession:
    """A run from its start, or from a resumption, until it ended (`finished_at`) or died; its clusters live no longer.

    `profiles` is stage → profile, `rates` what each priced profile cost then, as `Rate.to_json`, and
    `reserved_usd` what the run was expected to have cost in all by the session's end. `machine` is what its attempts
    were measured on: `name`, `cores`, `memory_bytes`.
    """

    started_at: str
    profiles: dict[str, str | None] = field(default_factory=dict)
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)
    reserved_usd: float = 0.0
    finished_at: str | None = None
    status: RunStatus = RunStatus.RUNNING
    machine: dict[str, Any] = field(default_factory=dict)


@dataclass
class StageRecord:
    """What is known of one stage of a run.

    `ended_early` is why its notebook ended before its last cell, successfully; of a skipped stage, the early end of
    another for which it was skipped.
    """

    name: str
    notebook: str
    depends_on: list[str]
    status: StageStatus = StageStatus.PENDING
    why: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None
    choice: dict[str, Any] | None = None  # engine, why, candidates: what was predicted of each engine
    attempts: list[Attempt] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, dict[str, int]] = field(default_factory=dict)
    scraps: dict[str, Any] = field(default_factory=dict)
    reuse: dict[str, Any] = field(default_factory=dict)  # what a later run needs to take the result
    profile: str | None = None
    saved_usd: float | None = None  # what the reused result cost the run that computed it
    ended_early: str | None = None
    reasons: list[str] = field(default_factory=list)  # all that the plan knew why it runs or does not

    @property
    def early_end(self) -> str | None:
        """The early end because of which stages downstream have nothing to start from; None if there is none."""
        is_own = self.status is not StageStatus.SKIPPED
        return f"{self.name} ended early: {self.ended_early}" if self.ended_early and is_own else self.ended_early

    @property
    def result(self) -> dict[str, Any]:
        """What the stage has left, as another run's record takes it over."""
        names = ("scraps", "outputs", "inputs", "parameters", "engine", "reuse", "ended_early")
        return {name: getattr(self, name) for name in names}

    @property
    def seconds(self) -> float:
        """Seconds over all attempts, waits between them not counted."""
        return sum(attempt.seconds or 0.0 for attempt in self.attempts)


@dataclass
class RunRecord:
    """What is known of a run; `to_json` is the content of `run.json`."""

    run_id: str
    pipeline: str
    started_at: str
    status: RunStatus = RunStatus.RUNNING
    exit_code: int | None = None
    finished_at: str | None = None
    params_files: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, StageRecord] = field(default_factory=dict)
    mlflow: dict[str, Any] = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)
    sessions: list[RunSession] = field(default_factory=list)
    over_budget: dict[str, str] = field(default_factory=dict)  # stage → why it was not started
    minutes: list[dict[str, Any]] = field(default_factory=list)  # what the machine did, see `run.meter`

    @property
    def gate(self) -> dict[str, Any] | None:
        """The gate's verdict, where a stage glued one as the scrap `gate`."""
        for stage in self.stages.values():
            verdict = stage.scraps.get("gate")
            if isinstance(verdict, dict) and "passed" in verdict:
                return verdict
        return None

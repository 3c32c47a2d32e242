"""What MLflow is to hold of a run or a sweep run: pure functions from a record or a comparison to run views."""

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from stagebook.costs import bill
from stagebook.formatting import is_number
from stagebook.model.record import AttemptStatus, RunRecord, RunStatus, StageRecord, StageStatus
from stagebook.model.sweep import Comparison, ComparisonRow

RUN_ID, STAGE, SWEEP = "stagebook.run_id", "stagebook.stage", "stagebook.sweep"
"""Tags that identify a pipeline run, a stage and a sweep run."""

PARENT = "mlflow.parentRunId"
MAX_VALUE = 6000
"""Characters of a parameter's value, which MLflow limits; a longer value is cut."""

MAX_TAG = 8000
_INVALID_IN_NAMES = re.compile(r"[^\w\-. :/]")

_RUN_STATUS = {RunStatus.SUCCEEDED: "FINISHED", RunStatus.FAILED: "FAILED", RunStatus.INTERRUPTED: "KILLED"}
_STAGE_STATUS = {StageStatus.SUCCEEDED: "FINISHED", StageStatus.REUSED: "FINISHED", StageStatus.FAILED: "FAILED"}


@dataclass(frozen=True)
class TableInput:
    """A table version that a stage read."""

    name: str
    version: int
    rows: int | None = None

    @property
    def digest(self) -> str:
        """A hash of name and version, 12 hex digits. No data is read, since a table version never changes."""
        return hashlib.sha256(f"{self.name}@{self.version}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RunView:
    """What one MLflow run is to hold. Times are milliseconds since 1970; a metric is its value and its time."""

    name: str
    started_ms: int | None
    status: str
    ended_ms: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    inputs: tuple[TableInput, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash that changes with any field of the view."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def run_view(record: RunRecord, *, final: bool) -> RunView:
    """The MLflow run of a pipeline run: the pipeline's parameters, and every stage's metrics as `<stage>.<name>`.

    Args:
        final: a run that the record shows as running is `KILLED`, not `RUNNING`.
    """
    engines = sorted({stage.engine for stage in record.stages.values() if stage.engine})
    ended = _millis(record.finished_at)
    metrics = {
        f"{name}.{key}": value
        for name, stage in record.stages.items()
        for key, value in stage_metrics(stage, record).items()
    }
    if record.finished_at and ended is not None:
        seconds = (ended - (_millis(record.started_at) or ended)) / 1000
        metrics["seconds"] = (seconds, ended)
    run_bill = bill.of(record)
    if run_bill.stages:
        metrics |= {name: (value, ended or _last_finish(record)) for name, value in _cost(run_bill.total)}
    status = _RUN_STATUS.get(record.status, "KILLED" if final else "RUNNING")
    return RunView(
        name=record.run_id,
        started_ms=_millis(record.started_at),
        status=status,
        ended_ms=ended if status != "RUNNING" else None,
        tags=_tags(
            {
                RUN_ID: record.run_id,
                "stagebook.pipeline": record.pipeline,
                "stagebook.engine": ", ".join(engines),
                "stagebook.status": record.status.value,
                "stagebook.exit_code": record.exit_code,
                "stagebook.environment": record.environment.get("sha256"),
                "mlflow.source.name": record.pipeline,
                "mlflow.source.type": "PROJECT",
                **_git(record),
            }
        ),
        params=dict(_params(record.parameters)),
        metrics=metrics,
    )


def stage_views(record: RunRecord, *, final: bool) -> dict[str, RunView]:
    """Stage → view of its nested MLflow run, for each stage that has attempts; `final` as in `run_view`."""
    return {name: _stage_view(stage, record, final=final) for name, stage in record.stages.items() if stage.attempts}


def stage_metrics(stage: StageRecord, record: RunRecord) -> dict[str, tuple[float, int]]:
    """Seconds and cost of all attempts, and every finite number among the scraps; flat dicts as `name.key`."""
    finished = [attempt.finished_at for attempt in stage.attempts if attempt.finished_at]
    time_ms = _millis(finished[-1] if finished else record.started_at) or 0
    metrics = {name: (value, time_ms) for name, value in _numbers(stage.scraps)}
    if finished:
        metrics["seconds"] = (round(stage.seconds, 3), time_ms)
    run_bill = bill.of(record)
    if stage.name in run_bill.stages:
        metrics |= {name: (value, time_ms) for name, value in _cost(run_bill.stage(stage.name))}
    return metrics


def _cost(split: bill.Split) -> Iterator[tuple[str, float]]:
    """`cost.estimated_usd` and its parts, with the figures of `run.json`."""
    amounts = split.to_json()
    return ((f"cost.{key}", amounts[key]) for key in ("estimated_usd", "wasted_usd", "idle_usd", "saved_usd"))


def _last_finish(record: RunRecord) -> int:
    ends = [_millis(attempt.finished_at) for stage in record.stages.values() for attempt in stage.attempts]
    return max((end for end in ends if end is not None), default=_millis(record.started_at) or 0)


def _stage_view(stage: StageRecord, record: RunRecord, *, final: bool) -> RunView:
    last = stage.attempts[-1]
    killed = final or last.status is AttemptStatus.INTERRUPTED
    status = _STAGE_STATUS.get(stage.status, "KILLED" if killed else "RUNNING")
    outputs = {
        f"stagebook.output.{name}": commit["version"] for name, commit in stage.outputs.items() if "version" in commit
    }
    return RunView(
        name=stage.name,
        started_ms=_millis(stage.attempts[0].started_at),
        status=status,
        ended_ms=_millis(last.finished_at or record.finished_at) if status != "RUNNING" else None,
        tags=_tags(
            {
                RUN_ID: record.run_id,
                STAGE: stage.name,
                "stagebook.engine": stage.engine,
                "stagebook.engine.why": (stage.choice or {}).get("why"),
                "stagebook.attempts": len(stage.attempts),
                "mlflow.source.name": stage.notebook,
                "mlflow.source.type": "NOTEBOOK",
                **outputs,
                **_git(record),
            }
        ),
        params=dict(_params(stage.parameters)),
        metrics=stage_metrics(stage, record),
        inputs=tuple(TableInput(name, version, _rows(record, name, version)) for name, version in stage.inputs.items()),
    )


def _git(record: RunRecord) -> dict[str, Any]:
    dirty = record.git.get("dirty")
    return {
        "mlflow.source.git.commit": record.git.get("commit"),
        "stagebook.git_commit": record.git.get("commit"),
        "stagebook.git_dirty": None if dirty is None else str(bool(dirty)).lower(),
    }


def _rows(record: RunRecord, name: str, version: int) -> int | None:
    for stage in record.stages.values():
        commit = stage.outputs.get(name, {})
        if commit.get("version") == version:
            return commit.get("rows")
    return None


def sweep_member_view(row: ComparisonRow, parent_run_id: str, sweep_run_id: str) -> RunView:
    """What a sweep run adds to the MLflow run of one of its configurations: tags, and the parameters that it set.

    Args:
        parent_run_id: MLflow's id of the sweep run.
        sweep_run_id: Stagebook's id of the sweep run.
    """
    tags = {PARENT: parent_run_id, SWEEP: sweep_run_id}
    return RunView(name=row.run_id, started_ms=None, status="", tags=tags, params=dict(_params(row.settings)))


def sweep_view(comparison: Comparison) -> RunView:
    """The MLflow run of a sweep run: the best configuration, and time, cost and savings of all of them."""
    sweep_run, winner = comparison.sweep_run, comparison.winner
    objective = sweep_run.objective
    started, ended = _millis(sweep_run.started_at), _millis(sweep_run.finished_at)
    time_ms = ended or started or 0
    figures = {
        "configurations": float(len(comparison.rows)),
        "seconds": comparison.seconds,
        "cost.estimated_usd": bill.amount(comparison.usd),
        "saved_seconds": comparison.saved_seconds,
        "cost.saved_usd": bill.amount(comparison.saved_usd),
    }
    if winner is not None and winner.value is not None and objective is not None:
        figures[_name(f"best.{objective.metric}")] = winner.value
    params = {"sweep": sweep_run.sweep, "metric": objective.metric if objective else None}
    best = {f"best.{name}": winner.settings.get(name) for name in comparison.varied} if winner else {}
    # the best configuration is in tags: parameters cannot change, but a resumed sweep run may find a better one
    tags = {
        SWEEP: sweep_run.id,
        "stagebook.best_run_id": winner.run_id if winner else None,
        "mlflow.source.name": sweep_run.sweep,
        "mlflow.source.type": "PROJECT",
        **best,
    }
    return RunView(
        name=sweep_run.id,
        started_ms=started,
        status="RUNNING" if ended is None else "FINISHED",
        ended_ms=ended,
        tags=_tags(tags),
        params=dict(_params(params)),
        metrics={name: (value, time_ms) for name, value in figures.items()},
    )


def _params(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Parameters as text: nested mappings with dotted names, other values as JSON, long values cut."""
    for key, value in values.items():
        name = _name(f"{prefix}{key}")
        if isinstance(value, Mapping) and value:
            yield from _params(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield name, _cut(text, MAX_VALUE)


def _numbers(scraps: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in scraps.items():
        if isinstance(value, Mapping):
            if value and all(is_number(item) for item in value.values()):
                yield from (
                    (_name(f"{key}.{name}"), float(item)) for name, item in value.items() if math.isfinite(item)
                )
        elif is_number(value) and _finite(value):
            yield _name(key), float(value)


def _finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max


def _tags(values: Mapping[str, Any]) -> dict[str, str]:
    return {_name(key): _cut(str(value), MAX_TAG) for key, value in values.items() if value not in (None, "")}


def _name(text: object) -> str:
    """A name that MLflow accepts: characters that it refuses become underscores."""
    return _INVALID_IN_NAMES.sub("_", str(text))[:250]


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    marker = f"… (cut, {len(text):,} characters)"
    return text[: limit - len(marker)] + marker


def _millis(moment: str | None) -> int | None:
    return None if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000)

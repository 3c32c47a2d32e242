"""What MLflow shall hold of a run: pure functions from the record to run views."""

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from stagebook.cost import bill
from stagebook.model.batch import Comparison, Row
from stagebook.model.record import AttemptStatus, RunRecord, RunStatus, StageRecord, StageStatus

RUN_ID, STAGE, BATCH = "stagebook.run_id", "stagebook.stage", "stagebook.batch"
PARENT = "mlflow.parentRunId"
MAX_VALUE = 6000
MAX_TAG = 8000
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")

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
        """Of name and version, 12 hex digits: versions never change, so no data need be read."""
        return hashlib.sha256(f"{self.name}@{self.version}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class View:
    """One MLflow run as it shall be. Times are milliseconds since 1970; metrics carry theirs."""

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
        """Changes whenever anything of the view does."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def run_view(record: RunRecord, *, final: bool) -> View:
    """The parent run: parameters of the pipeline, and every stage's figures as `<stage>.<name>`."""
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
    billed = bill.of(record)
    if billed.stages:
        metrics |= {name: (value, ended or _last_finish(record)) for name, value in _cost(billed.total)}
    status = _RUN_STATUS.get(record.status, "KILLED" if final else "RUNNING")
    return View(
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


def stage_views(record: RunRecord, *, final: bool) -> dict[str, View]:
    """One view for each stage that has attempts."""
    return {name: _stage_view(stage, record, final=final) for name, stage in record.stages.items() if stage.attempts}


def stage_metrics(stage: StageRecord, record: RunRecord) -> dict[str, tuple[float, int]]:
    """Seconds and cost over all attempts, and every finite number among the scraps; flat dicts as `name.key`."""
    finished = [attempt.finished_at for attempt in stage.attempts if attempt.finished_at]
    when = _millis(finished[-1] if finished else record.started_at) or 0
    metrics = {name: (value, when) for name, value in _numbers(stage.scraps)}
    if finished:
        metrics["seconds"] = (round(stage.seconds, 3), when)
    billed = bill.of(record)
    if stage.name in billed.stages:
        metrics |= {name: (value, when) for name, value in _cost(billed.stage(stage.name))}
    return metrics


def _cost(split: bill.Split) -> Iterator[tuple[str, float]]:
    """`cost.estimated_usd` and what it is made of, with the figures of `run.json`."""
    told = split.to_json()
    return ((f"cost.{key}", told[key]) for key in ("estimated_usd", "wasted_usd", "idle_usd", "saved_usd"))


def _last_finish(record: RunRecord) -> int:
    ends = [_millis(attempt.finished_at) for stage in record.stages.values() for attempt in stage.attempts]
    return max((end for end in ends if end is not None), default=_millis(record.started_at) or 0)


def _stage_view(stage: StageRecord, record: RunRecord, *, final: bool) -> View:
    last = stage.attempts[-1]
    killed = final or last.status is AttemptStatus.INTERRUPTED
    status = _STAGE_STATUS.get(stage.status, "KILLED" if killed else "RUNNING")
    outputs = {f"stagebook.output.{name}": made["version"] for name, made in stage.outputs.items() if "version" in made}
    return View(
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
        made = stage.outputs.get(name, {})
        if made.get("version") == version:
            return made.get("rows")
    return None


def member_view(row: Row, batch_run_id: str, batch_id: str) -> View:
    """What a run that belongs to a batch has besides its own: the place, and what the batch has set."""
    tags = {PARENT: batch_run_id, BATCH: batch_id}
    return View(name=row.run_id, started_ms=None, status="", tags=tags, params=dict(_params(row.settings)))


def batch_view(found: Comparison) -> View:
    """The parent run of a batch: what was compared, what is best, and what all of it took and saved."""
    batch, winner = found.batch, found.winner
    started, ended = _millis(batch.started_at), _millis(batch.finished_at)
    when = ended or started or 0
    figures = {
        "configurations": float(len(found.rows)),
        "seconds": found.seconds,
        "cost.estimated_usd": bill.amount(found.usd),
        "saved_seconds": found.saved_seconds,
        "cost.saved_usd": bill.amount(found.saved_usd),
    }
    if winner is not None and winner.value is not None and batch.goal is not None:
        figures[_name(f"best.{batch.goal.metric}")] = winner.value
    told = {"sweep": batch.sweep, "metric": batch.goal.metric if batch.goal else None}
    best = {f"best.{name}": winner.settings.get(name) for name in found.varied} if winner else {}
    tags = {  # the best too: parameters cannot change, and a batch that is gone on with may find a better one
        BATCH: batch.id,
        "stagebook.best_run_id": winner.run_id if winner else None,
        "mlflow.source.name": batch.sweep,
        "mlflow.source.type": "PROJECT",
        **best,
    }
    return View(
        name=batch.id,
        started_ms=started,
        status="RUNNING" if ended is None else "FINISHED",
        ended_ms=ended,
        tags=_tags(tags),
        params=dict(_params(told)),
        metrics={name: (value, when) for name, value in figures.items()},
    )


def _params(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Parameters as text, nested mappings with dots; what is not text is JSON, what is long is cut."""
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
            if value and all(_is_number(item) for item in value.values()):
                yield from (
                    (_name(f"{key}.{name}"), float(item)) for name, item in value.items() if math.isfinite(item)
                )
        elif _is_number(value) and _finite(value):
            yield _name(key), float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max


def _tags(values: Mapping[str, Any]) -> dict[str, str]:
    return {_name(key): _cut(str(value), MAX_TAG) for key, value in values.items() if value not in (None, "")}


def _name(text: object) -> str:
    """A name that MLflow takes: other characters become underscores."""
    return _NOT_IN_NAMES.sub("_", str(text))[:250]


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    marker = f"… (cut, {len(text):,} characters)"
    return text[: limit - len(marker)] + marker


def _millis(moment: str | None) -> int | None:
    return None if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000)

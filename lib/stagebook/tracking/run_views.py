"""What MLflow is to hold of a run or a sweep run: pure functions from a record or a comparison to run views."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from stagebook.costs import bill
from stagebook.formatting import is_number
from stagebook.model.record import AttemptStatus, RunRecord, RunStatus, StageRecord, StageStatus
from stagebook.model.sweep import Comparison, ComparisonRow
from stagebook.tracking.names import NameTable, accepted_text, encoded

RUN_ID, STAGE, SWEEP = "stagebook.run_id", "stagebook.stage", "stagebook.sweep"
"""Tags that identify a pipeline run, a stage and a sweep run."""

PARENT = "mlflow.parentRunId"
MAX_VALUE = 6000
"""Characters of a parameter's value, which MLflow limits; a longer value is cut."""

MAX_TAG = 8000
_COSTS = ("estimated_usd", "wasted_usd", "idle_usd", "saved_usd")

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
    """What one MLflow run is to hold. Times are milliseconds since 1970; a metric is its value and its time.

    `notes` says which names differ from the record's, and which values are left out.
    """

    name: str
    started_ms: int | None
    status: str
    ended_ms: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    inputs: tuple[TableInput, ...] = ()
    notes: tuple[str, ...] = ()

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
    own = {
        f"{name}.{key}": value for name, stage in record.stages.items() for key, value in _own(stage, record).items()
    }
    if record.finished_at and ended is not None:
        seconds = max(0, ended - (_millis(record.started_at) or ended)) / 1000  # a clock may be set back
        own["seconds"] = (seconds, ended)
    run_bill = bill.of(record)
    if run_bill.stages:
        own |= {name: (value, ended or _last_finish(record)) for name, value in _cost(run_bill.total)}
    names = NameTable([*_own_names(), *(own for name in record.stages for own in _own_names(f"{name}."))])
    scraps, notes = _metrics(
        names,
        (
            (f"{name}.{key}", value, _last_end(stage, record))
            for name, stage in record.stages.items()
            for key, value in _numbers(stage.scraps)
        ),
    )
    params, param_notes = _params(record.parameters)
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
        params=params,
        metrics={**scraps, **own},
        notes=(*notes, *param_notes),
    )


def stage_views(record: RunRecord, *, final: bool) -> dict[str, RunView]:
    """Stage → view of its nested MLflow run, for each stage that has attempts; `final` as in `run_view`."""
    return {name: _stage_view(stage, record, final=final) for name, stage in record.stages.items() if stage.attempts}


def _own(stage: StageRecord, record: RunRecord) -> dict[str, tuple[float, int]]:
    """The metrics of a stage that are not its notebook's: seconds and cost of all attempts."""
    time_ms = _last_end(stage, record)
    metrics = {"seconds": (round(stage.seconds, 3), time_ms)} if any(a.finished_at for a in stage.attempts) else {}
    run_bill = bill.of(record)
    if stage.name in run_bill.stages:
        metrics |= {name: (value, time_ms) for name, value in _cost(run_bill.stage(stage.name))}
    return metrics


def _own_names(prefix: str = "") -> list[str]:
    """The names of `_own`, whether or not a stage has them yet: a name never changes while a run goes on."""
    return [f"{prefix}seconds", *(f"{prefix}cost.{key}" for key in _COSTS)]


def _last_end(stage: StageRecord, record: RunRecord) -> int:
    finished = [attempt.finished_at for attempt in stage.attempts if attempt.finished_at]
    return _millis(finished[-1] if finished else record.started_at) or 0


def _cost(split: bill.Split) -> Iterator[tuple[str, float]]:
    """`cost.estimated_usd` and its parts, with the figures of `run.json`."""
    amounts = split.to_json()
    return ((f"cost.{key}", amounts[key]) for key in _COSTS)


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
    scraps = ((name, value, _last_end(stage, record)) for name, value in _numbers(stage.scraps))
    metrics, notes = _metrics(NameTable(_own_names()), scraps)
    params, param_notes = _params(stage.parameters)
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
        params=params,
        metrics={**metrics, **_own(stage, record)},
        inputs=tuple(TableInput(name, version, _rows(record, name, version)) for name, version in stage.inputs.items()),
        notes=(*notes, *param_notes),
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
    params, notes = _params(row.settings)
    return RunView(name=row.run_id, started_ms=None, status="", tags=tags, params=params, notes=notes)


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
        figures[encoded(f"best.{objective.metric}")] = winner.value
    params, notes = _params({"sweep": sweep_run.sweep, "metric": objective.metric if objective else None})
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
        params=params,
        metrics={name: (value, time_ms) for name, value in figures.items() if _finite(value)},
        notes=notes,
    )


def _params(values: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Parameters as text: nested mappings with dotted names, other values as JSON, long values cut; and notes."""
    names, params, notes = NameTable(), {}, []
    for name, value in _flat(values):
        try:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        except (ValueError, TypeError, RecursionError) as error:
            notes.append(f"parameter {name!r} is left out: {error}")
        else:
            params[names.add(name)] = accepted_text(text, MAX_VALUE)
    return params, (*_renamed("parameter", names), *notes)


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each value that is not a mapping, with its dotted name."""
    pending = list(values.items())[::-1]
    while pending:
        name, value = pending.pop()
        if isinstance(value, Mapping) and value:
            pending += [(f"{name}.{key}", item) for key, item in list(value.items())[::-1]]
        else:
            yield str(name), value


def _metrics(
    names: NameTable, numbers: Iterable[tuple[str, float, int]]
) -> tuple[dict[str, tuple[float, int]], tuple[str, ...]]:
    """The numbers that MLflow keeps, under names of their own, with their times; and notes."""
    metrics, notes = {}, []
    for name, value, time_ms in numbers:
        if _finite(value):
            metrics[names.add(name)] = (float(value), time_ms)
        else:
            size = value if isinstance(value, float) else f"a whole number of {value.bit_length():,} bits"
            notes.append(f"metric {name!r} is left out: MLflow does not keep {size}")
    return metrics, (*_renamed("metric", names), *notes)


def accepted_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that MLflow keeps, under names that it accepts."""
    kept, _ = _metrics(NameTable(), ((name, value, 0) for name, value in metrics.items()))
    return {name: value for name, (value, _) in kept.items()}


def _renamed(kind: str, names: NameTable) -> Iterator[str]:
    return (f"{kind} {name!r} is named {unique!r}" for unique, name in names.renamed.items())


def _numbers(scraps: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number among the scraps; those of a mapping that holds numbers only as `name.key`."""
    for key, value in scraps.items():
        if isinstance(value, Mapping):
            if all(is_number(item) for item in value.values()):
                yield from ((f"{key}.{name}", item) for name, item in value.items())
        elif is_number(value):
            yield str(key), value


def _finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max


def _tags(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        encoded(key): accepted_text(str(value), MAX_TAG) for key, value in values.items() if value not in (None, "")
    }


def _millis(moment: str | None) -> int | None:
    return None if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000)

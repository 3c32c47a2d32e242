"""From the records of a batch's runs to one table, and the best of them: pure functions."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from stagebook.batch.child import NEXT_MONTH
from stagebook.cost import bill
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.batch import Batch, Comparison, Configuration, Goal, Row, Sweep
from stagebook.model.gate import HIGHER_IS_BETTER
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord, RunStatus, StageStatus
from stagebook.run.ending import FAILED, OVER_BUDGET, REFUSED

Load = Callable[[str], RunRecord | None]
_DIRECTIONS: dict[str, bool] = {**HIGHER_IS_BETTER}


class NoSuchMetric(ConfigError):
    """A sweep asks for the best by a figure that nobody gives."""


def goal_of(sweep: Sweep, pipeline: Pipeline) -> Goal | None:
    """What the configurations of a sweep are compared by; None where neither sweep nor gate names a metric.

    Raises:
        NoSuchMetric: it is none of the gate's and no scrap of a stage, or nobody says whether more is better.
    """
    gate = list(dict.fromkeys(rule["metric"] for rule in pipeline.parameters.get("gate", ()) if not rule.get("slices")))
    metric = sweep.metric or (gate[0] if gate else None)
    if metric is None:
        return None
    stage, dot, scrap = metric.partition(".")
    if not dot and metric not in gate:
        raise NoSuchMetric(
            f"{sweep.file}: metric: the gate has no rule on '{metric}'.{did_you_mean(metric, gate)}\n"
            f"    allowed: {', '.join(gate) or 'none'}, or `stage.scrap`, or `stage.scrap.key`"
        )
    if dot and stage not in pipeline.stages:
        raise NoSuchMetric(
            f"{sweep.file}: metric: there is no stage '{stage}'.{did_you_mean(stage, list(pipeline.stages))}\n"
            f"    allowed: {', '.join(pipeline.stages)}"
        )
    higher = sweep.higher_is_better
    if higher is None:
        higher = _DIRECTIONS.get(scrap.rpartition(".")[2] if dot else metric)
    if higher is None:
        raise NoSuchMetric(f"{sweep.file}: metric: say by `higher_is_better` whether more of '{metric}' is better.")
    return Goal(metric, higher)


def figure(record: RunRecord, metric: str) -> float | None:
    """The value of a metric in a run; None where it did not come so far."""
    stage, dot, scrap = metric.partition(".")
    found = _scrap(record, stage, scrap) if dot else _judged(record, metric)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _scrap(record: RunRecord, stage: str, path: str) -> Any:
    found: Any = record.stages[stage].scraps if stage in record.stages else {}
    if path in found:
        return found[path]
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _judged(record: RunRecord, metric: str) -> Any:
    """The figure that the gate held against the first rule on this metric that is not about slices."""
    for stage in record.stages.values():
        verdict, rules = stage.scraps.get("gate"), stage.parameters.get("gate")
        if isinstance(verdict, dict) and isinstance(rules, list):
            for rule, judged in zip(rules, verdict.get("rules", []), strict=False):
                if rule.get("metric") == metric and not rule.get("slices"):
                    return judged["value"]
    return None


def compare(batch: Batch, load: Load, codes: Mapping[int, int], unstarted: Mapping[int, str]) -> Comparison:
    """All configurations of a batch, and which is best.

    Args:
        load: the record of a run id, if there is one.
        codes: exit statuses of configurations, for those that left no record.
        unstarted: why configurations were not started.
    """
    rows = tuple(_row(one, batch.goal, load, codes.get(one.n), unstarted.get(one.n)) for one in batch.configurations)
    return Comparison(batch, rows, None if batch.goal is None else _best(rows, batch.goal))


def _best(rows: tuple[Row, ...], goal: Goal) -> int | None:
    """The best that the gate let pass; where it let none, the best that it judged. The cheaper of equals, the first."""
    for passed in ("succeeded", "gate_refused"):
        found = [row for row in rows if row.status == passed and row.value is not None]
        if found:
            sign = -1 if goal.higher_is_better else 1
            return min(found, key=lambda row: (sign * (row.value or 0.0), row.usd, row.n)).n
    return None


def _row(one: Configuration, goal: Goal | None, load: Load, code: int | None, why: str | None) -> Row:
    record = load(one.run_id)
    if record is None:
        status = {None: "not_started", OVER_BUDGET: "over_budget", NEXT_MONTH: "over_budget"}.get(code, "failed")
        nothing = Decimal(0)
        return Row(one.n, one.run_id, one.settings, status, code, None, 0.0, nothing, 0.0, nothing, (), why or "")
    total = bill.of(record).total
    reused = tuple(name for name, stage in record.stages.items() if stage.status is StageStatus.REUSED)
    return Row(
        n=one.n,
        run_id=one.run_id,
        settings=one.settings,
        status=_status(record),
        exit_code=record.exit_code,
        value=None if goal is None else figure(record, goal.metric),
        seconds=round(sum(stage.seconds for stage in record.stages.values()), 3),
        usd=total.total.likely,
        saved_seconds=round(sum(_origin_seconds(record, name, load) for name in reused), 3),
        saved_usd=total.saved,
        reused=reused,
        why=next((_first(s.why) for s in record.stages.values() if s.status is StageStatus.FAILED), ""),
    )


def _status(record: RunRecord) -> str:
    if record.status is RunStatus.RUNNING:
        return "unfinished"
    return {REFUSED: "gate_refused", OVER_BUDGET: "over_budget"}.get(record.exit_code or 0, record.status.value)


def _origin_seconds(record: RunRecord, stage: str, load: Load) -> float:
    """What the run that computed a reused result took for it."""
    origin = load(record.stages[stage].reuse.get("run_id", ""))
    return origin.stages[stage].seconds if origin and stage in origin.stages else 0.0


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""


def exit_code(found: Comparison, stopped_by: int | None) -> int:
    """What the batch ends with: as a run does. The gate's 4 only where it refused all that it judged."""
    if stopped_by is not None:
        return 128 + stopped_by
    statuses = [row.status for row in found.rows]
    if set(statuses) & {"failed", "interrupted", "unfinished", "not_started"}:
        return FAILED
    if "over_budget" in statuses:
        return OVER_BUDGET
    return REFUSED if statuses and set(statuses) == {"gate_refused"} else 0

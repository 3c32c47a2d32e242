"""From the records of a sweep's runs to one table, and the best of them: pure functions."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from stagebook.costs import bill
from stagebook.errors import ConfigError, did_you_mean
from stagebook.formatting import first_line
from stagebook.model.gate import HIGHER_IS_BETTER
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord, RunStatus, StageStatus
from stagebook.model.sweep import Comparison, ComparisonRow, Configuration, Objective, Sweep, SweepRun
from stagebook.runner.outcome import FAILED, OVER_BUDGET, REFUSED
from stagebook.runner.run_process import MONTH_SPENT

LoadRecord = Callable[[str], RunRecord | None]
_DIRECTIONS: dict[str, bool] = {**HIGHER_IS_BETTER}


class NoSuchMetric(ConfigError):
    """A sweep asks for the best by a metric that neither gate nor stage has."""


def objective_of(sweep: Sweep, pipeline: Pipeline) -> Objective | None:
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
    return Objective(metric, higher)


def metric_value(record: RunRecord, metric: str) -> float | None:
    """The value of a metric in a run; None where it has none."""
    stage, dot, scrap = metric.partition(".")
    value = _scrap(record, stage, scrap) if dot else _gate_metric(record, metric)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= sys.float_info.max else None  # no NaN, no infinity


def _scrap(record: RunRecord, stage: str, path: str) -> Any:
    value: Any = record.stages[stage].scraps if stage in record.stages else {}
    if path in value:
        return value[path]
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _gate_metric(record: RunRecord, metric: str) -> Any:
    """The value that the gate judged by the first rule on this metric that is not about slices."""
    for stage in record.stages.values():
        verdict, rules = stage.scraps.get("gate"), stage.parameters.get("gate")
        if isinstance(verdict, dict) and isinstance(rules, list):
            for rule, rule_verdict in zip(rules, verdict.get("rules", []), strict=False):
                if rule.get("metric") == metric and not rule.get("slices"):
                    return rule_verdict["value"]
    return None


def compare(
    sweep_run: SweepRun, load: LoadRecord, codes: Mapping[int, int], unstarted: Mapping[int, str]
) -> Comparison:
    """All configurations of a sweep run, and which is best.

    Args:
        load: the record of a run id, if there is one.
        codes: exit statuses of configurations, for those that left no record.
        unstarted: why configurations were not started.
    """
    objective = sweep_run.objective
    rows = tuple(
        _row(configuration, objective, load, codes.get(configuration.n), unstarted.get(configuration.n))
        for configuration in sweep_run.configurations
    )
    return Comparison(sweep_run, rows, None if objective is None else _best(rows, objective))


def _best(rows: tuple[ComparisonRow, ...], objective: Objective) -> int | None:
    """The best that the gate let pass; where it let none, the best that it judged. The cheaper of equals, the first."""
    for status in ("succeeded", "gate_refused"):
        candidates = [row for row in rows if row.status == status and row.value is not None]
        if candidates:
            sign = -1 if objective.higher_is_better else 1
            return min(candidates, key=lambda row: (sign * (row.value or 0.0), row.usd, row.n)).n
    return None


def _row(
    configuration: Configuration, objective: Objective | None, load: LoadRecord, code: int | None, reason: str | None
) -> ComparisonRow:
    record = load(configuration.run_id)
    if record is None:
        status = {None: "not_started", OVER_BUDGET: "over_budget", MONTH_SPENT: "over_budget"}.get(code, "failed")
        return ComparisonRow(
            n=configuration.n,
            run_id=configuration.run_id,
            settings=configuration.settings,
            status=status,
            exit_code=code,
            reason=reason or "",
        )
    total = bill.of(record).total
    reused = tuple(name for name, stage in record.stages.items() if stage.status is StageStatus.REUSED)
    failed = [stage for stage in record.stages.values() if stage.status is StageStatus.FAILED]
    return ComparisonRow(
        n=configuration.n,
        run_id=configuration.run_id,
        settings=configuration.settings,
        status=_status(record),
        exit_code=record.exit_code,
        value=None if objective is None else metric_value(record, objective.metric),
        seconds=round(sum(stage.seconds for stage in record.stages.values()), 3),
        usd=total.total.likely,
        saved_seconds=round(sum(_origin_seconds(record, name, load) for name in reused), 3),
        saved_usd=total.saved,
        reused=reused,
        reason=first_line(failed[0].why) if failed else "",
    )


def _status(record: RunRecord) -> str:
    if record.status is RunStatus.RUNNING:
        return "unfinished"
    return {REFUSED: "gate_refused", OVER_BUDGET: "over_budget"}.get(record.exit_code or 0, record.status.value)


def _origin_seconds(record: RunRecord, stage: str, load: LoadRecord) -> float:
    """The seconds of a reused result in the run that computed it."""
    origin = load(record.stages[stage].reuse.get("run_id", ""))
    return origin.stages[stage].seconds if origin and stage in origin.stages else 0.0


def exit_code(comparison: Comparison, interrupted_by: int | None) -> int:
    """The exit status of a sweep run, as of a run. The gate's 4 only where it refused all that it judged."""
    if interrupted_by is not None:
        return 128 + interrupted_by
    statuses = [row.status for row in comparison.rows]
    if set(statuses) & {"failed", "interrupted", "unfinished", "not_started"}:
        return FAILED
    if "over_budget" in statuses:
        return OVER_BUDGET
    return REFUSED if statuses and set(statuses) == {"gate_refused"} else 0

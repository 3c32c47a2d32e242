"""How good scores are: metrics, curves, calibration, slices with intervals, thresholds, importance of features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from flightdelay import schema
from flightdelay.baseline import Baseline
from flightdelay.facts import Z95, wilson_interval
from flightdelay.frames import to_pandas
from flightdelay.model import design_matrix, features_of, labels, score

SLICES = ("origin", "carrier", "dep_hour_local")
"""The columns by whose values the hold-out is sliced."""

BINS = 20
"""Bins of the calibration, each with the same number of flights."""

CURVE_POINTS = 400
"""Points of a drawn curve, at most: more than a figure has pixels for."""


def holdout_scores(model: Any, baseline: Baseline, holdout: IntoFrame) -> pd.DataFrame:
    """The table `holdout_scores`: the scores of the model and of the baseline for each flight, and what happened.

    Args:
        holdout: the hold-out of a split: the table `features` with `late`.
    """
    frame = to_pandas(holdout)
    scored = frame.assign(
        score=pd.array(score(model, frame), dtype="float64[pyarrow]"),
        baseline_score=pd.array(baseline.score(frame), dtype="float64[pyarrow]"),
    )
    return scored.filter(items=schema.HOLDOUT_SCORES.column_names).reset_index(drop=True)


def metrics(late: Any, scores: Any) -> dict[str, float]:
    """ROC AUC, average precision, log loss, Brier score and calibration error, named as a gate names them.

    Args:
        late: what happened, boolean. scores: probabilities from 0 to 1, as many, none missing.
    Raises:
        ValueError: if there are no rows, lengths differ, a score is not in 0..1, or all flights are of one class.
    """
    y, p = _two_classes(late, scores)
    return {"roc_auc": roc_auc(y, p), "average_precision": float(average_precision_score(y, p)), **_errors(y, p)}


def roc_auc(late: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a late flight is scored above a punctual one; ties count half."""
    positives = int(late.sum())
    ranks = rankdata(scores)[late].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(late) - positives)))


def roc_auc_interval(late: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the ROC AUC after DeLong, cut at 0 and 1.

    Source: DeLong, DeLong and Clarke-Pearson 1988, with the midranks of Sun and Xu 2014.
    """
    above, below = scores[late], scores[~late]
    all_ranks = rankdata(np.concatenate([above, below]))
    shares_above = (all_ranks[: len(above)] - rankdata(above)) / len(below)
    shares_below = 1 - (all_ranks[len(above) :] - rankdata(below)) / len(above)
    auc = float(shares_above.mean())
    if len(above) < 2 or len(below) < 2:
        return 0.0, 1.0  # the spread of one flight is not known
    spread = np.sqrt(shares_above.var(ddof=1) / len(above) + shares_below.var(ddof=1) / len(below))
    return max(0.0, auc - Z95 * spread), min(1.0, auc + Z95 * spread)


def calibration_curve(late: Any, scores: Any, bins: int = BINS) -> pd.DataFrame:
    """Mean score and late rate of flights of similar score: `mean_score`, `late_rate`, `rows`, `low`, `high`.

    Flights are ordered by score and cut into `bins` groups of equal size; equal scores stay together, so
    there may be fewer groups. `low` and `high` are the 95 % interval of the late rate (Wilson).
    """
    y, p = _checked(late, scores)
    # The bin of the first flight among equals holds for all of them, whatever their order.
    lowest_rank = rankdata(p, method="min") - 1
    group = (lowest_rank * bins // len(p)).astype(int)
    rows = np.bincount(group, minlength=bins)
    used = rows > 0
    rate = np.bincount(group, weights=y, minlength=bins)[used] / rows[used]
    low, high = wilson_interval(rate, rows[used])
    return pd.DataFrame(
        {
            "mean_score": np.bincount(group, weights=p, minlength=bins)[used] / rows[used],
            "late_rate": rate,
            "rows": rows[used],
            "low": low,
            "high": high,
        }
    )


def ranking_curve(late: Any, scores: Any) -> pd.DataFrame:
    """What flagging all flights from a score on brings: `recall`, `false_positive_rate` and `precision` (0..1).

    One row for each score at which flights are flagged, from the highest to the lowest; of many scores, about
    `CURVE_POINTS` that are as many flights apart. `recall` is the share of the late flights that are flagged,
    `false_positive_rate` that of the punctual ones, `precision` the share of late flights among those flagged.

    Raises:
        ValueError: as `metrics`.
    """
    y, p = _two_classes(late, scores)
    order = np.argsort(-p, kind="stable")
    flagged_late = np.cumsum(y[order])
    last_of_equals = np.flatnonzero(np.append(np.diff(p[order]) != 0, True))
    steps = np.unique(np.linspace(0, len(last_of_equals) - 1, CURVE_POINTS).round().astype(int))
    flagged = last_of_equals[steps] + 1
    hits = flagged_late[flagged - 1]
    return pd.DataFrame(
        {
            "recall": hits / y.sum(),
            "false_positive_rate": (flagged - hits) / (~y).sum(),
            "precision": hits / flagged,
        }
    )


def feature_importance(
    model: Any, holdout: IntoFrame, *, seed: int, rows: int = 3_000, repeats: int = 3
) -> pd.DataFrame:
    """What the ROC AUC loses where the values of one feature are shuffled among flights, for each feature of a model.

    Features that tell the same stand in for each other: each of them then loses little.

    Args:
        holdout: flights that the model has not seen, with `late`. seed: fixes which are drawn, and all shuffles.
        rows: how many flights are drawn. repeats: how often each feature is shuffled.
    Returns:
        `feature`, `cost` (the mean loss of ROC AUC), `low` and `high` (the smallest and the largest loss); the most
        important feature first.
    Source: permutation importance, Breiman 2001.
    """
    chance = np.random.default_rng(seed)
    frame = to_pandas(holdout)
    drawn = frame.iloc[np.sort(chance.permutation(len(frame))[:rows])]
    late, matrix = labels(drawn), design_matrix(drawn, features_of(model))
    intact = roc_auc(late, model.predict_proba(matrix)[:, 1])
    costs = np.array([intact - _shuffled_auc(model, matrix, late, chance) for _ in range(repeats)])
    table = pd.DataFrame(
        {"feature": list(matrix), "cost": costs.mean(axis=0), "low": costs.min(axis=0), "high": costs.max(axis=0)}
    )
    return table.sort_values("cost", ascending=False, ignore_index=True)


def _shuffled_auc(model: Any, matrix: pd.DataFrame, late: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """The ROC AUC for each feature, with its values shuffled among the rows.

    All copies of the rows are scored in one call, on one thread: threads of OpenMP wait for each other after every
    tree, which takes eight times as long where another process needs the cores.
    """
    rows, copies = matrix.shape
    columns = {}
    for place, name in enumerate(matrix):
        values = np.tile(matrix[name].to_numpy(), copies)
        own = slice(place * rows, (place + 1) * rows)
        values[own] = chance.permutation(values[own])
        columns[name] = values
    with threadpool_limits(1, user_api="openmp"):
        scores = model.predict_proba(pd.DataFrame(columns))[:, 1].reshape(copies, rows)
    return np.array([roc_auc(late, shuffled) for shuffled in scores])


def slice_metrics(scored: IntoFrame, scores: Any = None, columns: Sequence[str] = SLICES) -> list[dict[str, Any]]:
    """The metrics of each value of each column, with the 95 % interval `low`..`high` of the ROC AUC.

    Where a slice has only late or only punctual flights, ROC AUC, its interval and average precision
    are None.

    Args:
        scored: rows of `holdout_scores`. scores: other scores of the same rows (default: `score`).
    """
    frame = to_pandas(scored)
    y, p = _checked(frame["late"], frame["score"] if scores is None else scores)
    return [
        {"column": column, "value": str(value), "rows": len(rows), **_slice(y[rows], p[rows])}
        for column in columns
        for value, rows in sorted(frame.groupby(column).indices.items())
    ]


def thresholds(late: Any, scores: Any, at: Sequence[float] | None = None) -> pd.DataFrame:
    """What flagging from each threshold on would bring: `threshold precision recall flagged_share`.

    Precision is null where nothing is flagged, recall where nothing was late.

    Args:
        at: the thresholds (default: 0.05, 0.10, …, 0.95).
    """
    y, p = _checked(late, scores)
    steps = [round(step * 0.05, 2) for step in range(1, 20)] if at is None else list(at)
    flagged = [p >= step for step in steps]
    hits = [int(y[flags].sum()) for flags in flagged]
    return pd.DataFrame(
        {
            "threshold": steps,
            "precision": [hit / flags.sum() if flags.any() else None for hit, flags in zip(hits, flagged, strict=True)],
            "recall": [hit / y.sum() if y.any() else None for hit in hits],
            "flagged_share": [float(flags.mean()) for flags in flagged],
        }
    ).astype("float64[pyarrow]")


def align(features: IntoFrame, scored: IntoFrame) -> pd.DataFrame:
    """The rows of `features` that `scored` has, in the order of `scored`.

    Raises:
        ValueError: if a flight of `scored` is not in `features`.
    """
    key = list(schema.FLIGHT_KEY)
    keys = to_pandas(scored)[key]
    aligned = keys.merge(to_pandas(features), on=key, how="left", indicator=True, validate="one_to_one")
    missing = int((aligned["_merge"] != "both").sum())
    if missing:
        raise ValueError(f"{missing} of {len(keys)} scored flights are not among the features")
    return aligned.drop(columns="_merge")


def _slice(y: np.ndarray, p: np.ndarray) -> dict[str, float | None]:
    if y.all() or not y.any():
        return {"roc_auc": None, "average_precision": None, **_errors(y, p), "low": None, "high": None}
    low, high = roc_auc_interval(y, p)
    return {**metrics(y, p), "low": low, "high": high}


def _errors(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Log loss (scores kept 1e-15 away from 0 and 1), Brier score, and the mean gap of the calibration curve.

    The curve has at least 50 flights a bin, lest a small slice look badly calibrated by chance alone.
    """
    inside = np.clip(p, 1e-15, 1 - 1e-15)
    curve = calibration_curve(y, p, bins=min(BINS, max(1, len(y) // 50)))
    gaps = (curve["mean_score"] - curve["late_rate"]).abs()
    return {
        "log_loss": float(-np.mean(np.where(y, np.log(inside), np.log1p(-inside)))),
        "brier": float(np.mean((p - y) ** 2)),
        "calibration_error": float(np.average(gaps, weights=curve["rows"])),
    }


def _two_classes(late: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    y, p = _checked(late, scores)
    if y.all() or not y.any():
        raise ValueError("all flights are of one class: a ranking cannot be measured")
    return y, p


def _checked(late: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    y = pd.Series(late).to_numpy(dtype=bool)
    p = pd.Series(scores).to_numpy(dtype=float, na_value=np.nan)
    if not len(y) or len(y) != len(p):
        raise ValueError(f"{len(y)} outcomes and {len(p)} scores: as many of both are needed, and at least one")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("scores must be probabilities from 0 to 1, none missing")
    return y, p

"""Tables for consumers: the predictions of a month, and precision and recall by threshold."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrame

from flightdelay import evaluate, schema
from flightdelay.frames import to_pandas
from flightdelay.model import score


def month_filter(month: str) -> Sequence[tuple[str, str, Any]]:
    """Conditions on `dep_date_local` for one month `yyyy-mm`, as tables take them.

    Raises:
        ValueError: if `month` is not of this form.
    """
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError as error:
        raise ValueError(f"month is not of the form yyyy-mm: '{month}'") from error
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return [("dep_date_local", ">=", first), ("dep_date_local", "<", after)]


def predictions(model: Any, features: IntoFrame, *, model_version: str, month: str) -> pd.DataFrame:
    """The table `predictions` for one month: every scheduled flight, in the order of its key.

    Args:
        features: rows of the table `features`, all of this month.
    Raises:
        ValueError: if there is no flight.
    """
    frame = to_pandas(features)
    if frame.empty:
        raise ValueError(f"no flight is scheduled in {month}")
    scored = frame.assign(
        model_version=_repeated(model_version, frame),
        month=_repeated(month, frame),
        score=pd.array(score(model, frame), dtype="float64[pyarrow]"),
    )
    return scored.filter(items=schema.PREDICTIONS.column_names).sort_values(list(schema.FLIGHT_KEY), ignore_index=True)


def largest_gap(predicted: IntoFrame, scored: IntoFrame) -> tuple[int, float]:
    """How many flights two frames with `score` share, and by how much their scores differ at most.

    Without shared flights the gap is 0.
    """
    key = list(schema.FLIGHT_KEY)
    shared = to_pandas(predicted)[[*key, "score"]].merge(
        to_pandas(scored)[[*key, "score"]], on=key, suffixes=("", "_there"), validate="one_to_one"
    )
    gaps = (shared["score"] - shared["score_there"]).abs()
    return len(shared), float(gaps.max()) if len(gaps) else 0.0


def threshold_table(late: Any, scores: Any, *, model_version: str) -> pd.DataFrame:
    """The table `thresholds` of one model version: 0.05, 0.10, …, 0.95."""
    table = evaluate.thresholds(late, scores)
    versioned = table.assign(model_version=_repeated(model_version, table))
    return versioned.filter(items=schema.THRESHOLDS.column_names)


def _repeated(text: str, frame: pd.DataFrame) -> pd.Series:
    return pd.Series([text] * len(frame), index=frame.index, dtype=pd.ArrowDtype(pa.string()))

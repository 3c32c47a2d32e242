"""Splits flights by time: into those to train on, later ones to calibrate on, and the last ones as hold-out."""

from dataclasses import dataclass
from datetime import date

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrameT

from flightdelay.schema import FLIGHT_KEY


@dataclass(frozen=True)
class Split:
    """Flights of three spans of time with the label `late`, and how many were dropped."""

    train: pd.DataFrame
    calibrate: pd.DataFrame
    holdout: pd.DataFrame
    dropped_without_arrival: int

    @property
    def counts(self) -> dict[str, int]:
        """`train_rows`, `calibrate_rows`, `holdout_rows` and `dropped_without_arrival`; their sum is all rows."""
        return {
            "train_rows": len(self.train),
            "calibrate_rows": len(self.calibrate),
            "holdout_rows": len(self.holdout),
            "dropped_without_arrival": self.dropped_without_arrival,
        }


def with_label(features: IntoFrameT, *, late_after_min: int) -> IntoFrameT:
    """The flights that arrived, with `late`: `late_after_min` minutes or more behind schedule at arrival.

    A flight without arrival (cancelled or diverted) is neither late nor punctual: it is left out.
    """
    arrived = nw.from_native(features).filter(~nw.col("arr_delay_min").is_null())
    return arrived.with_columns(late=nw.col("arr_delay_min") >= late_after_min).to_native()


def by_time(features: pd.DataFrame, *, calibrate_from: str, holdout_from: str, late_after_min: int) -> Split:
    """Split the table `features` by the local day of departure; never at random.

    Days before `calibrate_from` are for training, days before `holdout_from` for calibration, later ones are the
    hold-out. Rows are sorted by their key: tables have no order, and the last digits of trees depend on it.

    Args:
        features: in this process, since learning happens on one machine.
        calibrate_from: first day of the calibration, `yyyy-mm-dd`. holdout_from: first day of the hold-out.
        late_after_min: minutes behind schedule at arrival from which on a flight is late.
    Raises:
        ValueError: if a boundary is no date, the boundaries are in the wrong order, or a part is empty.
    """
    calibrate_day, holdout_day = _day("calibrate_from", calibrate_from), _day("holdout_from", holdout_from)
    if calibrate_day >= holdout_day:
        raise ValueError(f"calibrate_from ({calibrate_from}) must come before holdout_from ({holdout_from})")
    arrived = nw.from_native(with_label(features, late_after_min=late_after_min), eager_only=True).sort(FLIGHT_KEY)
    day = nw.col("dep_date_local")
    parts = {
        "train": arrived.filter(day < calibrate_day),
        "calibrate": arrived.filter(day >= calibrate_day, day < holdout_day),
        "holdout": arrived.filter(day >= holdout_day),
    }
    for name, part in parts.items():
        if not len(part):
            raise ValueError(
                f"no flight that arrived is in '{name}' (calibrate_from {calibrate_from}, holdout_from {holdout_from})"
            )
    return Split(
        **{name: part.to_native() for name, part in parts.items()},
        dropped_without_arrival=len(features) - len(arrived),
    )


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{name} is not a date of the form yyyy-mm-dd: '{text}'") from error

"""The baseline that a model must beat: the late rate of the carrier in this hour of the day."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame

from flightdelay.frames import to_pandas

KEYS = ["carrier", "dep_hour_local"]


@dataclass(frozen=True)
class Baseline:
    """Late rates by carrier and local hour, and the rate of all flights for a carrier and hour without one."""

    rates: pd.Series
    overall: float

    def score(self, frame: IntoFrame) -> np.ndarray:
        """The late rate for each row of `frame` (`carrier`, `dep_hour_local`), in the order of the rows."""
        rates = self.rates.reindex(_index(to_pandas(frame)))
        return rates.fillna(self.overall).to_numpy(dtype=float)


def fit(train: IntoFrame, *, prior_flights: int = 50) -> Baseline:
    """Rates from `train` (`carrier`, `dep_hour_local`, `late` without nulls).

    Each rate is drawn towards the overall one as if `prior_flights` more flights had been late at the
    overall rate, so that three flights in an hour do not decide its rate.

    Raises:
        ValueError: if `train` is empty.
    """
    frame = to_pandas(train)
    if frame.empty:
        raise ValueError("no flights to take a late rate from")
    late = pd.DataFrame({"late": frame["late"].to_numpy(dtype=float)}, index=_index(frame))
    overall = float(late["late"].mean())
    counts = late.groupby(level=KEYS).agg(late=("late", "sum"), flights=("late", "size"))
    rates = (counts["late"] + prior_flights * overall) / (counts["flights"] + prior_flights)
    return Baseline(pd.Series(rates), overall)


def _index(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays(
        [frame["carrier"].to_numpy(dtype=object), frame["dep_hour_local"].to_numpy(dtype="int64")], names=KEYS
    )

"""Months as whole numbers, yyyymm, by the clock of New York: the parts by which features are made."""

from collections.abc import Collection, Mapping

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrameT

from flightdelay import history
from flightdelay.frames import of_any_engine

LOOKBACK = history.reach()
"""A flight's features reach back no further; shorter than any month, so that the month before is enough."""

assert LOOKBACK.days < 28, "the features of a month follow from its flights and those of the month before"


def number(date: str) -> nw.Expr:
    """The month of a date column as yyyymm."""
    year, month = nw.col(date).dt.year().cast(nw.Int32()), nw.col(date).dt.month().cast(nw.Int32())
    # One type on all engines, since fingerprints tell types apart: pandas would make 64 bits of the product.
    return (year * 100 + month).cast(nw.Int32())


def before(month: int) -> int:
    """The month before: 201212 for 201301."""
    return month - 1 if month % 100 > 1 else month - 89


def numbered(frame: IntoFrameT, date: str) -> IntoFrameT:
    """The frame with the month of a date column as `yyyymm`."""
    return of_any_engine(frame).with_columns(yyyymm=number(date)).to_native()


def only(flights: IntoFrameT, wanted: Collection[int]) -> IntoFrameT:
    """The flights that leave in these months."""
    return of_any_engine(flights).filter(number("dep_date_local").is_in(sorted(wanted))).to_native()


def table(why: Mapping[int, str]) -> pd.DataFrame:
    """Months by the reason for which they are made again: `why`, `months`, `first` and `last`."""
    rows = pd.DataFrame({"month": list(why), "why": list(why.values())}, dtype=object)
    return rows.groupby("why", sort=False)["month"].agg(months="count", first="min", last="max").reset_index()

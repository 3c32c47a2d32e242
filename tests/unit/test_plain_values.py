"""Values of all kinds as JSON can hold them, or the reason and the place why not."""

import collections
import datetime as dt
import enum
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.plain_values import NotPlain, not_finite, plain, replaced


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


LOOP: list = []
LOOP.append(LOOP)
Point = collections.namedtuple("Point", "x y")

HELD = [
    (np.int64(3), 3), (np.float32(1.5), 1.5), (np.bool_(True), True), (np.array(5), 5), (np.str_("x"), "x"),
    (np.datetime64("2024-01-01"), "2024-01-01"), (pd.Timestamp("2024-01-01", tz="UTC"), "2024-01-01T00:00:00+00:00"),
    (dt.date(2024, 1, 1), "2024-01-01"), (dt.datetime(2024, 1, 1, 1), "2024-01-01T01:00:00"), (dt.time(1, 2), "01:02:00"),
    (Decimal("1.10"), 1.1), (Decimal(5), 5), (Decimal("1E+3"), 1000), (Path("a/b"), "a/b"), (Color.RED, 1), (Color.BLUE, "b"),
    ({3, 1, 2}, [1, 2, 3]), (frozenset("a"), ["a"]), ((1, (2,)), [1, [2]]), (Point(1, 2), [1, 2]), ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
    ({np.int64(1): np.int64(2)}, {"1": 2}), (collections.Counter("aab"), {"a": 2, "b": 1}), (10**40, 10**40), (None, None),
    ([np.int8(1), {"k": np.float32(2.5)}], [1, {"k": 2.5}]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), HELD, ids=lambda value: f"{type(value).__name__} {value!r}"[:40])
def test_a_value_that_json_can_hold_becomes_plain(value, expected):
    result = plain(value)
    assert (type(result), result) == (type(expected), expected)
    assert json.loads(json.dumps(result)) == result


REFUSED = [
    (np.array([1, 2]), "is a ndarray"), (pd.Series([1]), "is a Series"), (pd.NaT, "is NaT, no time"),
    (np.datetime64("NaT"), "is NaT, no time"), (pd.NA, "is a NAType"), (np.timedelta64(1, "s"), "is a timedelta64"),
    (dt.timedelta(1), "is a timedelta"), (Decimal("0.1234567890123456789"), "which a float cannot hold exactly"),
    (Decimal("1e400"), "a float cannot hold|is the Decimal"), (Fraction(1, 2), "is a Fraction"), (1j, "is a complex"), (b"x", "is a bytes"),
    ({1: "a", "1": "b"}, "two keys that are both '1' as text"), ({(1, 2): 3}, r"has the key \(1, 2\), which is no text"),
    (LOOP, "contains itself"), ("\ud800", "is not Unicode text"), (object(), "is a object"),
    ({"a": [1, {"b": object()}]}, r"is a object at \['a'\]\[1\]\['b'\]"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[reason[:30] for _, reason in REFUSED])
def test_what_json_would_change_is_refused_with_its_place(value, reason):
    with pytest.raises(NotPlain, match=reason):
        plain(value)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_numbers_that_are_not_finite_are_found_at_any_depth_and_come_back(value):
    value = plain(value)
    paths = not_finite(value)
    as_text = replaced(value, paths, repr)
    assert not_finite(as_text) == []
    back = replaced(json.loads(json.dumps(as_text, allow_nan=False)), paths, float)
    assert repr(back) == repr(value)
    assert bool(paths) == _contains(value)


def _contains(value):
    match value:
        case float():
            return not math.isfinite(value)
        case list():
            return any(map(_contains, value))
        case dict():
            return any(map(_contains, value.values()))
    return False

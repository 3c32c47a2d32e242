from datetime import timedelta

import narwhals as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightdelay import schema
from flightdelay.history import WINDOWS, Window, add_history

CARRIER = Window("carrier_3h", ("carrier",), 3)


def naive(flights: pd.DataFrame, window: Window) -> list[tuple[int, float | None]]:
    """Count and mean delay of each row's window, by looking at every other row."""
    rows = flights.to_dict("records")
    answers = []
    for row in rows:
        group = [row[column] for column in window.group]
        at = row["sched_dep_at"]
        delays = [
            earlier["arr_delay_min"]
            for earlier in rows
            if not any(pd.isna(value) for value in group)
            and [earlier[column] for column in window.group] == group
            and not pd.isna(earlier["arr_at"])
            and at - timedelta(hours=window.hours) <= earlier["arr_at"] < at
        ]
        answers.append((len(delays), sum(delays) / len(delays) if delays else None))
    return answers


def answered(flights: pd.DataFrame, window: Window) -> list[tuple[int, float | None]]:
    frame = add_history(flights, [window])
    pairs = zip(frame[f"{window.name}_landed"], frame[f"{window.name}_delay_min"], strict=True)
    return [(count, None if pd.isna(mean) else mean) for count, mean in pairs]


@pytest.mark.parametrize(
    ("landed_before_min", "counts"),
    [
        pytest.param(1, True, id="a minute before"),
        pytest.param(0, False, id="in the very minute"),
        pytest.param(-1, False, id="a minute after"),
        pytest.param(180, True, id="as long ago as the window is wide"),
        pytest.param(181, False, id="a minute longer ago"),
    ],
)
def test_only_landings_strictly_before_and_within_the_window_count(table, flight, noon, landed_before_min, counts):
    early = noon - timedelta(hours=6)
    earlier = flight(early, noon - timedelta(minutes=landed_before_min), 30, flight=2)
    flights = table(schema.FLIGHTS, [earlier, flight(noon)])
    assert answered(flights, CARRIER)[1] == ((1, 30.0) if counts else (0, None))


def test_a_flight_that_never_arrived_counts_for_nothing(table, flight, noon):
    flights = table(schema.FLIGHTS, [flight(noon - timedelta(hours=2), flight=2), flight(noon)])
    assert answered(flights, CARRIER) == [(0, None), (0, None)]


def test_a_flight_without_tail_number_has_no_history_of_flights_without_one(table, flight, noon):
    early = flight(noon - timedelta(hours=4), noon - timedelta(hours=1), 30, flight=2, tailnum=None)
    flights = table(schema.FLIGHTS, [early, flight(noon, tailnum=None)])
    assert answered(flights, Window("tail_24h", ("tailnum",), 24)) == [(0, None), (0, None)]


def test_a_group_of_two_columns_needs_both(table, flight, noon):
    landed = noon - timedelta(hours=1)
    flights = table(
        schema.FLIGHTS,
        [
            flight(noon - timedelta(hours=4), landed, 10, flight=2, origin="EWR", dest="ORD"),
            flight(noon - timedelta(hours=4), landed, 20, flight=3, origin="JFK", dest="ORD"),
            flight(noon - timedelta(hours=4), landed, 40, flight=4, origin="EWR", dest="LAX"),
            flight(noon, origin="EWR", dest="ORD"),
        ],
    )
    assert answered(flights, Window("route_7d", ("origin", "dest"), 168))[3] == (1, 10.0)


def test_flights_that_leave_or_land_at_the_same_instant_have_the_same_history(table, flight, noon):
    landed = noon - timedelta(minutes=30)
    early = [flight(noon - timedelta(hours=4), landed, delay, flight=delay) for delay in (10, 20, 30)]
    late = [flight(noon, flight=number) for number in (101, 102)]
    assert answered(table(schema.FLIGHTS, early + late), CARRIER)[3:] == [(3, 20.0), (3, 20.0)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),  # scheduled, in steps of 30 minutes: many ties
            st.one_of(st.none(), st.integers(1, 14)),  # lands so many steps later, or never
            st.integers(-60, 300),
            st.sampled_from(["UA", "B6"]),
            st.sampled_from(["N1", "N2", None]),
        ),
        max_size=25,
    ),
    st.sampled_from([CARRIER, Window("tail_2h", ("tailnum",), 2), Window("both_4h", ("carrier", "tailnum"), 4)]),
)
def test_any_flights_give_what_looking_at_every_pair_gives(table, flight, drawn, window):
    start = pd.Timestamp("2013-06-05T10:00Z").to_pydatetime()
    step = timedelta(minutes=30)
    rows = [
        flight(
            start + step * at,
            None if lasts is None else start + step * (at + lasts),
            delay,
            flight=number,
            carrier=carrier,
            tailnum=tail,
        )
        for number, (at, lasts, delay, carrier, tail) in enumerate(drawn, start=1)
    ]
    flights = table(schema.FLIGHTS, rows)
    assert answered(flights, window) == naive(flights, window)


def test_days_of_the_real_year_give_what_looking_at_every_pair_gives(year):
    flights = year["flights"]
    week = flights[flights["time_hour"].between(pd.Timestamp("2013-03-08T05:00Z"), pd.Timestamp("2013-03-11T05:00Z"))]
    sample = week.sample(400, random_state=13).reset_index(drop=True)
    for window in WINDOWS:
        assert answered(sample, window) == naive(sample, window)


def test_the_order_of_the_rows_does_not_matter(year):
    day = year["flights"].head(900)
    shuffled = day.sample(frac=1, random_state=13)
    key = list(schema.FLIGHT_KEY)
    expected = add_history(day).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(add_history(shuffled).sort_values(key, ignore_index=True), expected)


def test_no_flight_of_the_year_lands_before_its_own_scheduled_departure(year):
    landed = year["flights"].dropna(subset=["arr_at"])
    assert (landed["arr_at"] > landed["sched_dep_at"]).all(), "it would be part of its own history"


def test_a_lazy_frame_gives_the_same(year):
    day = year["flights"].head(900)
    lazy = add_history(nw.from_native(day).lazy())
    pd.testing.assert_frame_equal(nw.to_native(lazy, pass_through=True), add_history(day))

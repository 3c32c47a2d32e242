import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.choice.calibration import KINDS, Calibration, Point, of_machine, shipped
from stagebook.choice.decide import PANDAS_FACTOR, Input, Machine, choose
from stagebook.errors import ConfigError

GB = 10**9
MEASURED = Calibration(
    points={
        "pandas": {kind: [Point(10**7, 0.1, 3 * 10**8), Point(10**9, 10.0, 4 * GB)] for kind in KINDS},
        "polars": {kind: [Point(10**7, 0.1, 3 * 10**8), Point(10**9, 4.0, 3 * GB)] for kind in KINDS},
        "spark": {kind: [Point(10**7, 2.0, 3 * 10**8), Point(10**9, 12.0, 3 * 10**8)] for kind in KINDS},
    },
    start_seconds={"pandas": 0.0, "polars": 0.3, "spark": 2.0, "spark_cold": 17.0},
    cores=2,
)
MACHINE = Machine(memory_bytes=24 * GB, free_bytes=20 * GB, cores=2, spark="cold", spark_memory_bytes=8 * GB)


def machine(**changes):
    return Machine(**{**vars(MACHINE), **changes})


def table(gb, rows=1000):
    return Input("t", rows, int(gb * GB), int(gb * GB / 4))


CASES = [
    ("a small table: nothing to start", 0.001, ["join"], {}, "pandas"),
    ("a middle one: polars is faster, its start is paid", 0.5, ["join", "window"], {}, "polars"),
    ("more than one machine holds", 9, ["join"], {}, "spark"),
    ("the same, and Spark is warm", 9, ["join"], {"spark": "warm"}, "spark"),
    ("the same, on a cluster", 9, ["join"], {"spark": "cluster"}, "spark"),
    ("the same without Java: whatever needs the least memory", 9, ["join"], {"spark": ""}, "polars"),
    ("little memory is free: polars would not fit", 1, ["join"], {"free_bytes": 3 * GB, "spark": "warm",
                                                                   "spark_memory_bytes": 0}, "spark"),
]  # fmt: skip


@pytest.mark.parametrize(("gb", "work", "changes", "engine"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_engine_that_fits_and_is_done_first_is_taken(gb, work, changes, engine):
    assert choose(work, [table(gb)], machine(**changes), MEASURED).engine == engine


def test_pandas_is_refused_where_five_times_the_table_is_more_than_half_of_the_memory():
    just = 12 / PANDAS_FACTOR
    fits, not_any_more = (choose(["scan"], [table(gb)], MACHINE, MEASURED) for gb in (just - 0.01, just + 0.01))
    assert fits.candidates[0].refused.startswith(("", "would need"))
    assert "more than half of the memory (12.0 GB)" in not_any_more.candidates[0].refused


def test_the_reason_names_sizes_the_others_and_why_they_cannot():
    why = choose(["join"], [table(9, 30_000_000)], machine(spark="cluster"), MEASURED).why
    assert why.startswith("30,000,000 rows, 9.0 GB in memory: spark on the cluster is predicted to take ")
    assert "pandas cannot: 5 x 9.0 GB of tables is more than half of the memory (12.0 GB)" in why


def test_all_tables_that_are_read_count():
    one, both = (choose(["join"], [table(2)] * n, machine(spark="warm"), MEASURED) for n in (1, 2))
    assert both.candidates[1].seconds > one.candidates[1].seconds


def test_a_stage_that_does_several_things_needs_more_memory_than_each_of_them():
    one, several = (choose(["join"] * n, [table(2)], MACHINE, MEASURED).candidates[1] for n in (1, 3))
    assert several.peak_bytes == 2 * one.peak_bytes


def test_the_record_keeps_what_was_predicted_of_each_candidate():
    told = choose(["scan"], [table(0.1)], machine(spark=""), MEASURED).to_json()
    assert told["candidates"]["spark"]["refused"] == "there is no Java that Spark runs on"
    assert set(told["candidates"]["pandas"]) == {"seconds", "bytes", "refused"}


@given(st.floats(0, 40), st.floats(0, 40), st.sampled_from(["", "cold", "warm", "cluster"]), st.sampled_from(KINDS))
def test_more_data_is_never_predicted_to_take_less(a, b, spark, kind):
    small, large = sorted((a, b))
    first, second = (choose([kind], [table(gb)], machine(spark=spark), MEASURED) for gb in (small, large))
    for little, much in zip(first.candidates, second.candidates, strict=True):
        assert little.seconds <= much.seconds
        assert not (little.refused and not much.refused)


@given(st.floats(0, 200), st.integers(1, 400), st.sampled_from(["", "cold", "warm", "cluster"]))
def test_what_is_chosen_is_never_refused_while_another_is_not(gb, free, spark):
    choice = choose(["join"], [table(gb)], machine(free_bytes=free * GB // 10, spark=spark), MEASURED)
    taken = next(c for c in choice.candidates if c.engine == choice.engine)
    assert not taken.refused or all(c.refused for c in choice.candidates)


def test_beyond_what_was_measured_one_noisy_measurement_does_not_turn_the_tables():
    times = {"pandas": [0.1, 0.75, 1.1], "polars": [0.1, 0.25, 1.2], "spark": [9, 9, 9]}
    sizes = [10**7, 3 * 10**8, 10**9]
    points = {
        engine: {kind: [Point(size, s, 10**8) for size, s in zip(sizes, seconds, strict=True)] for kind in KINDS}
        for engine, seconds in times.items()
    }
    measured = Calibration(points, MEASURED.start_seconds, cores=2)
    assert measured.seconds("polars", "scan", 2 * 10**9) == pytest.approx(0.1 + 1.1 * 1990 / 990)
    assert measured.seconds("pandas", "scan", 10**9) == pytest.approx(1.1), "where it was measured, what was measured"


def test_a_calibration_is_read_back_as_it_was_written(tmp_path):
    import json

    (tmp_path / "c.json").write_text(json.dumps(MEASURED.to_json()))
    assert of_machine(tmp_path / "c.json").to_json() == MEASURED.to_json()
    assert of_machine(tmp_path / "none.json") == shipped()


def test_a_broken_calibration_is_refused_with_the_command_that_makes_it_anew(tmp_path):
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(ConfigError, match="stagebook calibrate"):
        of_machine(tmp_path / "c.json")


def test_the_shipped_calibration_knows_all_engines_and_kinds_of_work():
    found = shipped()
    assert set(found.points) == {"pandas", "polars", "spark"}
    assert all(set(kinds) == set(KINDS) for kinds in found.points.values())
    assert all(len(row) >= 3 for kinds in found.points.values() for row in kinds.values())

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.engines.calibration import KINDS, Calibration, CalibrationPoint, load_calibration, shipped_calibration
from stagebook.engines.choice import PANDAS_FACTOR, Machine, TableInputSize, choose_engine
from stagebook.errors import ConfigError

GB = 10**9
MEASURED = Calibration(
    points={
        "pandas": {
            kind: [CalibrationPoint(10**7, 0.1, 3 * 10**8), CalibrationPoint(10**9, 10.0, 4 * GB)] for kind in KINDS
        },
        "polars": {
            kind: [CalibrationPoint(10**7, 0.1, 3 * 10**8), CalibrationPoint(10**9, 4.0, 3 * GB)] for kind in KINDS
        },
        "spark": {
            kind: [CalibrationPoint(10**7, 2.0, 3 * 10**8), CalibrationPoint(10**9, 12.0, 3 * 10**8)] for kind in KINDS
        },
    },
    start_seconds={"pandas": 0.0, "polars": 0.3, "spark": 2.0, "spark_cold": 17.0},
    cores=2,
)
MACHINE = Machine(memory_bytes=24 * GB, free_bytes=20 * GB, cores=2, spark="cold", spark_memory_bytes=8 * GB)


def machine(**changes):
    return Machine(**{**vars(MACHINE), **changes})


def table(gb, rows=1000):
    return TableInputSize("t", rows, int(gb * GB), int(gb * GB / 4))


CASES = [
    ("a small table: pandas needs no start", 0.001, ["join"], {}, "pandas"),
    ("a medium table: polars is faster despite its start", 0.5, ["join", "window"], {}, "polars"),
    ("more than fits into one machine", 9, ["join"], {}, "spark"),
    ("the same, and Spark is warm", 9, ["join"], {"spark": "warm"}, "spark"),
    ("the same, on a cluster", 9, ["join"], {"spark": "cluster"}, "spark"),
    ("the same without Java: whatever needs the least memory", 9, ["join"], {"spark": ""}, "polars"),
    ("little memory is free: polars would not fit", 1, ["join"], {"free_bytes": 3 * GB, "spark": "warm",
                                                                   "spark_memory_bytes": 0}, "spark"),
]  # fmt: skip


@pytest.mark.parametrize(("gb", "work", "changes", "engine"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_fastest_engine_that_fits_is_chosen(gb, work, changes, engine):
    assert choose_engine(work, [table(gb)], machine(**changes), MEASURED).engine == engine


def test_pandas_is_refused_where_five_times_the_table_is_more_than_half_of_the_memory():
    limit_gb = 12 / PANDAS_FACTOR
    fits, too_large = (
        choose_engine(["scan"], [table(gb)], MACHINE, MEASURED) for gb in (limit_gb - 0.01, limit_gb + 0.01)
    )
    assert fits.candidates[0].refusal.startswith(("", "would need"))
    assert "more than half of the memory (12.0 GB)" in too_large.candidates[0].refusal


def test_the_reason_names_sizes_and_what_rules_out_each_alternative():
    reason = choose_engine(["join"], [table(9, 30_000_000)], machine(spark="cluster"), MEASURED).reason
    assert reason.startswith("30,000,000 rows, 9.0 GB in memory: spark on the cluster is predicted to take ")
    assert "pandas cannot: 5 x 9.0 GB of tables is more than half of the memory (12.0 GB)" in reason


def test_the_sizes_of_all_inputs_are_added():
    one_table, two_tables = (choose_engine(["join"], [table(2)] * n, machine(spark="warm"), MEASURED) for n in (1, 2))
    assert two_tables.candidates[1].seconds > one_table.candidates[1].seconds


def test_a_stage_with_several_kinds_of_work_needs_more_memory_than_with_one():
    single, several = (choose_engine(["join"] * n, [table(2)], MACHINE, MEASURED).candidates[1] for n in (1, 3))
    assert several.peak_bytes == 2 * single.peak_bytes


def test_the_record_has_the_prediction_of_each_candidate():
    record = choose_engine(["scan"], [table(0.1)], machine(spark=""), MEASURED).to_json()
    assert record["candidates"]["spark"]["refused"] == "there is no Java that Spark runs on"
    assert set(record["candidates"]["pandas"]) == {"seconds", "bytes", "refused"}


@given(st.floats(0, 40), st.floats(0, 40), st.sampled_from(["", "cold", "warm", "cluster"]), st.sampled_from(KINDS))
def test_more_data_is_never_predicted_to_take_less(a, b, spark, kind):
    small, large = sorted((a, b))
    for_small, for_large = (choose_engine([kind], [table(gb)], machine(spark=spark), MEASURED) for gb in (small, large))
    for small_candidate, large_candidate in zip(for_small.candidates, for_large.candidates, strict=True):
        assert small_candidate.seconds <= large_candidate.seconds
        assert not (small_candidate.refusal and not large_candidate.refusal)


@given(st.floats(0, 200), st.integers(1, 400), st.sampled_from(["", "cold", "warm", "cluster"]))
def test_a_refused_engine_is_chosen_only_if_all_are_refused(gb, free, spark):
    choice = choose_engine(["join"], [table(gb)], machine(free_bytes=free * GB // 10, spark=spark), MEASURED)
    chosen = next(c for c in choice.candidates if c.engine == choice.engine)
    assert not chosen.refusal or all(c.refusal for c in choice.candidates)


def test_extrapolation_is_not_turned_by_one_noisy_measurement():
    times = {"pandas": [0.1, 0.75, 1.1], "polars": [0.1, 0.25, 1.2], "spark": [9, 9, 9]}
    sizes = [10**7, 3 * 10**8, 10**9]
    points = {
        engine: {
            kind: [CalibrationPoint(size, s, 10**8) for size, s in zip(sizes, seconds, strict=True)] for kind in KINDS
        }
        for engine, seconds in times.items()
    }
    measured = Calibration(points, MEASURED.start_seconds, cores=2)
    assert measured.seconds("polars", "scan", 2 * 10**9) == pytest.approx(0.1 + 1.1 * 1990 / 990)
    assert measured.seconds("pandas", "scan", 10**9) == pytest.approx(1.1), "where it was measured, what was measured"


def test_a_calibration_is_read_back_as_it_was_written(tmp_path):
    import json

    (tmp_path / "c.json").write_text(json.dumps(MEASURED.to_json()))
    assert load_calibration(tmp_path / "c.json").to_json() == MEASURED.to_json()
    assert load_calibration(tmp_path / "none.json") == shipped_calibration()


def test_a_broken_calibration_is_refused_with_the_command_that_recreates_it(tmp_path):
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(ConfigError, match="stagebook calibrate"):
        load_calibration(tmp_path / "c.json")


def test_the_shipped_calibration_has_all_engines_and_kinds_of_work():
    calibration = shipped_calibration()
    assert set(calibration.points) == {"pandas", "polars", "spark"}
    assert all(set(kinds) == set(KINDS) for kinds in calibration.points.values())
    assert all(len(row) >= 3 for kinds in calibration.points.values() for row in kinds.values())

import os
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from stagebook.delta.arrow import arrow_schema
from stagebook.delta.engine import RUN_ID, Engine, WriteOrder
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import SchemaViolation, UnknownColumn, UnknownTable, WriteConflict
from stagebook.model.tables import Column, Kind, Layout, TableSchema

ENGINE = LocalEngine()
SCHEMA = TableSchema(
    "delays",
    "one row per flight",
    (
        Column("flight", Kind.INT32, "number"),
        Column("dest", Kind.STRING, "airport", nullable=True),
        Column("hour", Kind.TIMESTAMP, "scheduled hour", unit="UTC", nullable=True),
        Column("delay", Kind.INT16, "late at arrival", unit="min", nullable=True),
    ),
    key=("flight",),
    layout=Layout(z_order=("dest",)),
)
FRAME = pd.DataFrame(
    {
        "flight": np.array([3, 1, 2], dtype="int32"),
        "dest": ["SFO", "LAX", "SFO"],
        "hour": pd.to_datetime(["2013-01-01T05:00Z"] * 3),
        "delay": pd.array([15, None, -3], dtype="Int16"),
    }
)


def order(run="r1", **changes):
    return WriteOrder(**{"schema": SCHEMA, "app_id": f"{run}/s/delays", "metadata": {RUN_ID: run}, **changes})


def fitting(frame=FRAME):
    return ENGINE.to_arrow(frame).cast(arrow_schema(SCHEMA))


def test_the_local_engine_is_an_engine():
    engine: Engine = LocalEngine()
    assert engine.name == "pandas"


def test_frames_come_back_with_arrow_types_and_no_index(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(FRAME[FRAME.flight > 1]), order())
    frame = ENGINE.read(path, version=0)
    assert list(frame.columns) == list(SCHEMA.column_names)
    assert [str(kind) for kind in frame.dtypes] == [
        "int32[pyarrow]",
        "string[pyarrow]",
        "timestamp[us, tz=UTC][pyarrow]",
        "int16[pyarrow]",
    ]
    assert frame["delay"].tolist() == [15, -3]


def test_an_index_never_becomes_a_column():
    assert ENGINE.to_arrow(FRAME.set_index("flight")).column_names == ["dest", "hour", "delay"]
    assert ENGINE.to_arrow(FRAME[FRAME.flight > 1]).column_names == list(FRAME.columns)


def test_categories_become_strings():
    table = ENGINE.to_arrow(FRAME.assign(dest=FRAME["dest"].astype("category")))
    assert table.schema.field("dest").type == pa.string()


def test_rows_are_written_in_the_order_of_the_layout_and_read_in_that_order(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    assert ENGINE.read(path, version=0)["flight"].tolist() == [1, 3, 2]


def test_row_order_is_kept_over_many_files_and_reads(tmp_path):
    n = 300_000
    frame = pd.DataFrame({"flight": np.arange(n, dtype="int32"), "dest": None, "hour": pd.NaT, "delay": None})
    small = TableSchema(SCHEMA.name, "", SCHEMA.columns, layout=Layout(z_order=("flight",), target_file_bytes=100_000))
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(frame.assign(hour=pd.to_datetime(frame["hour"], utc=True))), order(schema=small))
    assert len(DeltaTable(str(path)).file_uris()) > 3
    for _ in range(5):
        assert ENGINE.read_arrow(path, version=0, columns=["flight"])["flight"].to_pylist() == list(range(n))


def test_a_table_stays_at_the_protocol_that_every_reader_supports(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    protocol = DeltaTable(str(path)).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_layout_and_descriptions_are_stored_in_the_table(tmp_path):
    path = tmp_path / "delays"
    layout = Layout(z_order=("delay",), partition_by=("dest",), target_file_bytes=10_000_000, statistics_columns=2)
    ENGINE.write(
        path, fitting(), order(schema=TableSchema("delays", "one row per flight", SCHEMA.columns, layout=layout))
    )
    metadata = DeltaTable(str(path)).metadata()
    assert metadata.configuration == {
        "delta.dataSkippingNumIndexedCols": "4",
        "delta.targetFileSize": "10000000",
        "delta.enableExpiredLogCleanup": "false",
    }
    assert (metadata.name, metadata.description) == ("delays", "one row per flight")
    assert metadata.partition_columns == ["dest"]
    comments = {field.name: field.metadata for field in DeltaTable(str(path)).schema().fields}
    assert comments["delay"] == {"comment": "late at arrival [min]"}
    assert ENGINE.read(path, version=0, where=[("dest", "=", "SFO")])["flight"].tolist() == [2, 3]


def test_a_pruned_read_opens_only_files_that_may_match(tmp_path):
    n = 300_000
    frame = pd.DataFrame({"flight": np.arange(n, dtype="int32"), "dest": "x", "delay": None}).assign(
        hour=pd.Timestamp(0, tz="UTC")
    )
    layout = Layout(z_order=("flight",), target_file_bytes=100_000)
    path = tmp_path / "delays"
    ENGINE.write(
        path,
        fitting(frame[list(FRAME.columns)]),
        order(schema=TableSchema("delays", "", SCHEMA.columns, layout=layout)),
    )
    first_file, *later_files = sorted(path.glob("*.parquet"))
    for file in later_files:
        file.unlink()  # a read that opens one of these fails
    assert ENGINE.read(path, version=0, columns=["flight"], where=[("flight", "<", 10)])["flight"].tolist() == list(
        range(10)
    )
    assert first_file.exists()


def test_a_commit_has_its_rows_and_bytes_from_the_log(tmp_path):
    path = tmp_path / "delays"
    commit = ENGINE.write(path, fitting(), order())
    assert (commit.version, commit.rows, commit.run_id) == (0, 3, "r1")
    assert commit.size_bytes == sum(file.stat().st_size for file in path.glob("*.parquet"))
    for file in path.glob("*.parquet"):
        file.unlink()
    assert ENGINE.commit(path, 0) == commit


def test_a_replacing_write_keeps_all_other_rows(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    part = fitting(FRAME[FRAME.dest == "SFO"].assign(delay=99))
    commit = ENGINE.write(path, part, order("r2", replace=[("dest", "=", "SFO")]))
    assert (commit.version, commit.rows) == (1, 3)
    frame = ENGINE.read(path, version=1).set_index("flight")["delay"]
    assert (frame[2], frame[3]) == (99, 99)
    assert frame.isna()[1]
    assert ENGINE.read(path, version=0)["delay"].max() == 15


def test_rows_outside_the_replaced_range_are_refused(tmp_path):
    for path in (tmp_path / "new", tmp_path / "old"):
        if path.name == "old":
            ENGINE.write(path, fitting(), order())
        with pytest.raises(SchemaViolation, match="1 of 3 rows lie outside of what the write replaces"):
            ENGINE.write(path, fitting(), order("r2", replace=[("dest", "=", "SFO")]))


def test_an_empty_frame_is_a_version_too(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    commit = ENGINE.write(path, fitting(FRAME[:0]), order("r2"))
    assert (commit.version, commit.rows, commit.size_bytes) == (1, 0, 0)
    assert len(ENGINE.read(path, version=1)) == 0


def test_columns_may_change_in_a_full_write_and_not_in_a_partial_one(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    wider = TableSchema("delays", "", (*SCHEMA.columns, Column("gate", Kind.STRING, "gate")))
    data = fitting().append_column("gate", pa.array(["A"] * 3))
    with pytest.raises(SchemaViolation, match="its columns have changed since version 0: gate"):
        ENGINE.write(path, data, order("r2", schema=wider, replace=[]))
    assert ENGINE.write(path, data, order("r2", schema=wider)).version == 1
    assert ENGINE.read(path, version=1).columns[-1] == "gate"
    assert DeltaTable(str(path)).protocol().min_reader_version == 1


def test_a_commit_in_between_is_a_conflict_that_names_the_winner(tmp_path, monkeypatch):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    local = sys.modules["stagebook.delta.pandas_engine"]
    laid_out = local._sorted_by_layout

    def overtaken(*arguments):
        monkeypatch.undo()
        ENGINE.write(path, fitting(), order("winner"))
        return laid_out(*arguments)

    monkeypatch.setattr(local, "_sorted_by_layout", overtaken)
    with pytest.raises(WriteConflict, match="run 'winner' committed version 1 while this write was under way"):
        ENGINE.write(path, fitting(FRAME[:1]), order("loser"))
    assert ENGINE.commit(path, 1).rows == 3


def test_a_version_that_is_no_longer_in_the_log_is_named(tmp_path):
    path = tmp_path / "delays"
    for run in ("r0", "r1", "r2"):
        ENGINE.write(path, fitting(), order(run))
    DeltaTable(str(path)).create_checkpoint()
    for version in (0, 1):
        (path / "_delta_log" / f"{version:020d}.json").unlink()
    assert ENGINE.read(path, version=2).shape == (3, 4)
    with pytest.raises(UnknownTable, match="'delays' has no version 0"):
        ENGINE.read(path, version=0)


def test_old_commits_stay_in_the_log_since_runs_may_read_them(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order("r0"))
    DeltaTable(path).alter.set_table_properties({"delta.checkpointInterval": "3"})
    DeltaTable(path).create_checkpoint()
    month_ago = time.time() - 40 * 24 * 3600
    for file in (path / "_delta_log").glob("*.*"):
        os.utime(file, (month_ago, month_ago))
    for number in range(1, 5):  # one of these writes a checkpoint, which would trigger log cleanup
        ENGINE.write(path, fitting(FRAME[:1]), order(f"r{number}"))
    assert len(list((path / "_delta_log").glob("*.checkpoint.parquet"))) > 1
    assert len(ENGINE.read(path, version=0)) == 3


def test_a_transaction_is_found_after_its_log_file_is_gone(tmp_path):
    path = tmp_path / "delays"
    for run in ("r0", "r1", "r2"):
        ENGINE.write(path, fitting(), order(run))
    DeltaTable(str(path)).create_checkpoint()
    (path / "_delta_log" / f"{0:020d}.json").unlink()
    commit = ENGINE.committed(path, "r2/s/delays")
    assert commit is not None
    assert (commit.version, commit.repeated) == (2, True)
    assert ENGINE.committed(path, "r9/s/delays") is None


def test_a_transaction_numbered_by_another_writer_is_found(tmp_path):
    from deltalake import CommitProperties, Transaction, write_deltalake

    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    spark = CommitProperties(
        custom_metadata={"userMetadata": f'{{"{RUN_ID}": "s"}}'}, app_transactions=[Transaction("s/s/delays", 0)]
    )
    write_deltalake(str(path), fitting(), mode="overwrite", commit_properties=spark)
    commit = ENGINE.committed(path, "s/s/delays")
    assert commit is not None
    assert (commit.version, commit.run_id) == (1, "s")


def test_columns_must_be_named_exactly_once(tmp_path):
    path = tmp_path / "delays"
    ENGINE.write(path, fitting(), order())
    for columns in ([], ["flight", "flight"]):
        with pytest.raises(UnknownColumn, match="Give each column once, or leave `columns` out"):
            ENGINE.read(path, version=0, columns=columns)


def test_times_in_nanoseconds_or_other_zones_are_the_same_instants():
    table = ENGINE.to_arrow(
        pd.DataFrame({"t": pd.to_datetime(["2013-01-01T00:00:00-05:00"]).tz_convert("America/New_York")})
    )
    assert table["t"].cast(pa.timestamp("us", "UTC")).to_pylist() == [datetime(2013, 1, 1, 5, tzinfo=UTC)]

"""Tables of other writers: read correctly or refused by name (faults 25 and 29 of the libraries)."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from stagebook.delta.engine import WriteOrder
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.delta.protocol import Protocol, engine_access, readers, unreadable, unwritable
from stagebook.errors import BadPredicate, DamagedTable, UnknownColumn, UnreadableTable, UnwritableTable
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.warehouse import Warehouse

ENGINE = LocalEngine()
SCHEMA = TableSchema(
    "foreign",
    "of another writer",
    (Column("k", Kind.INT64, "key", nullable=True), Column("s", Kind.STRING, "text", nullable=True)),
)
MAPPED = {
    "physical": {"k": "col-1", "s": "col-2"},
    "configuration": {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"},
}


def keys(path, **arguments):
    return ENGINE.read(path, version=0, **arguments)["k"].tolist()


@pytest.mark.parametrize(
    "protocol", [{"reader": 2, "writer": 5}, {"reader": 3, "writer": 7, "features": ("columnMapping",)}]
)
def test_a_column_mapped_table_is_read_with_its_values(foreign, protocol):
    path = foreign(**MAPPED, **protocol)
    frame = ENGINE.read(path, version=0, columns=["s", "k"], where=[("k", ">=", 8)])
    assert frame.to_dict("list") == {"s": ["row 8", "row 9"], "k": [8, 9]}


def test_to_pandas_of_a_column_mapped_table_still_gives_nulls_which_is_why_we_do_not_use_it(foreign):
    path = foreign(**MAPPED, reader=2, writer=5)
    try:
        frame = DeltaTable(str(path)).to_pandas()
    except Exception:
        return  # refusing it is fine too
    assert frame["k"].isna().all()


def test_deleted_rows_are_neither_read_nor_counted(foreign):
    path = foreign(reader=3, writer=7, features=("deletionVectors",), deleted=[0, 3, 4])
    assert keys(path) == [1, 2, 5, 6, 7, 8, 9]
    assert keys(path, where=[("k", "<", 5)]) == [1, 2]
    assert ENGINE.commit(path, 0).rows == 7


def test_rows_are_counted_where_the_log_has_no_statistics(foreign):
    assert ENGINE.commit(foreign(stats=False), 0).rows == 10


def test_spark_writes_commit_metadata_as_json_text(foreign):
    assert ENGINE.commit(foreign(), 0).run_id == "spark run"


@pytest.mark.parametrize("feature", ["typeWidening", "variantType", "vacuumProtocolCheck", "somethingOfTomorrow"])
def test_a_feature_that_would_be_read_wrongly_is_refused_by_name(foreign, feature):
    path = foreign(reader=3, writer=7, features=(feature,))
    with pytest.raises(UnreadableTable, match=f"cannot read .* rightly: it uses {feature}"):
        ENGINE.read(path, version=0)


@pytest.mark.parametrize(
    ("protocol", "feature"),
    [
        ({"reader": 2, "writer": 5, **MAPPED}, "columnMapping"),
        ({"reader": 3, "writer": 7, "features": ("deletionVectors",)}, "deletionVectors"),
        ({"reader": 1, "writer": 6}, "columnMapping, identityColumns"),
        ({"reader": 1, "writer": 7, "writer_features": ("clustering", "domainMetadata")}, "clustering, domainMetadata"),
        (
            {"reader": 1, "writer": 7, "writer_features": ("rowTracking", "domainMetadata")},
            "domainMetadata, rowTracking",
        ),
    ],
)
def test_a_table_that_a_write_would_damage_is_not_written(foreign, protocol, feature):
    path = foreign(**protocol)
    with pytest.raises(UnwritableTable, match=f"must not write .* it uses {feature}"):
        ENGINE.write(path, ENGINE.read_arrow(path, version=0), WriteOrder(SCHEMA, "r/s/foreign"))
    assert ENGINE.latest(path) == 0


@pytest.mark.parametrize(
    ("reader", "features", "expected"),
    [
        (1, (), []),
        (2, (), []),
        (3, ("deletionVectors", "v2Checkpoint", "timestampNtz"), []),
        (3, ("b", "a"), ["a", "b"]),
        (4, (), ["reader version 4"]),
    ],
)
def test_reader_features_are_allowed_by_list(reader, features, expected):
    assert unreadable(Protocol(reader, reader_features=frozenset(features))) == expected


@pytest.mark.parametrize(
    ("version", "features", "expected"),
    [
        (2, (), []),
        (4, (), []),
        (7, ("changeDataFeed", "invariants"), []),
        (7, ("timestampNtz",), []),
        (5, (), ["columnMapping"]),
        (6, (), ["columnMapping", "identityColumns"]),
        (8, (), ["writer version 8"]),
    ],
)
def test_writer_features_are_allowed_by_list(version, features, expected):
    assert unwritable(Protocol(writer_version=version, writer_features=frozenset(features))) == expected


@pytest.mark.parametrize(
    ("protocol", "reads", "writes"),
    [
        (Protocol(), "pandas polars spark", "pandas polars spark"),
        (Protocol(2, 5), "pandas polars spark", "spark"),
        (Protocol(1, 7, writer_features=frozenset({"clustering", "domainMetadata"})), "pandas polars spark", "spark"),
        (Protocol(3, 7, *[frozenset({"typeWidening"})] * 2), "spark", ""),
        (Protocol(3, 7, *[frozenset({"somethingOfTomorrow"})] * 2), "", ""),
        (Protocol(4, 8), "", ""),
    ],
    ids=["plain", "mapped", "clustered", "widened", "of tomorrow", "newer"],
)
def test_engine_access_follows_from_the_protocol(protocol, reads, writes):
    accesses = engine_access(protocol)
    assert " ".join(access.engine for access in accesses if not access.unreadable) == reads
    assert " ".join(access.engine for access in accesses if not access.unwritable) == writes


# Registered by folder, on every engine.


def read_external(engine, path, where=()):
    warehouse = Warehouse(path.parent / "tables", engine, {"external": path})
    return engine.to_arrow(warehouse.read("external", version=0, where=where)).sort_by("k")


@pytest.mark.parametrize(
    ("options", "first_key"),
    [
        ({}, 0),
        ({"stats": False}, 0),
        ({**MAPPED, "reader": 2, "writer": 5}, 0),
        ({"reader": 3, "writer": 7, "features": ("deletionVectors",), "deleted": [0, 3, 4]}, 1),
    ],
    ids=["plain", "without statistics", "mapped columns", "deleted rows"],
)
def test_an_external_table_is_read_alike_by_every_engine(engine, foreign, options, first_key):
    path = foreign(**options)
    expected = [k for k in range(10) if k not in options.get("deleted", ())]
    assert read_external(engine, path)["k"].to_pylist() == expected
    assert expected[0] == first_key
    assert read_external(engine, path, [("k", ">=", 8)]).to_pydict() == {"k": [8, 9], "s": ["row 8", "row 9"]}


def test_a_partitioned_table_is_read_alike_by_every_engine(engine, tmp_path):
    rows = pa.table({"k": list(range(6)), "s": ["a b", "ä/%", None] * 2})
    write_deltalake(tmp_path / "external", rows, partition_by=["s"])
    table = read_external(engine, tmp_path / "external").cast(pa.schema([("k", pa.int64()), ("s", pa.string())]))
    assert table.to_pydict() == rows.to_pydict()
    assert read_external(engine, tmp_path / "external", [("s", "=", "ä/%")])["k"].to_pylist() == [1, 4]


def test_an_external_table_with_an_unknown_feature_is_refused_by_name_on_every_engine(engine, foreign):
    path = foreign(reader=3, writer=7, features=("somethingOfTomorrow",))
    with pytest.raises(
        UnreadableTable, match=f"engine '({engine.name}|delta-rs)' cannot read .* it uses somethingOfTo"
    ):
        read_external(engine, path)


def test_a_feature_that_only_spark_reads_is_refused_by_name_elsewhere(engine, spark, tmp_path):
    path = tmp_path / "widened"
    widening = "TBLPROPERTIES ('delta.enableTypeWidening' = 'true')"
    spark.session.sql(f"CREATE TABLE delta.`{path}` (k INT) USING delta {widening}")
    spark.session.sql(f"INSERT INTO delta.`{path}` VALUES (1), (2)")
    spark.session.sql(f"ALTER TABLE delta.`{path}` ALTER COLUMN k TYPE BIGINT")
    warehouse = Warehouse(tmp_path / "tables", engine, {"widened": path})
    if engine.name == "spark":
        frame = warehouse.read("widened", version=2, where=[("k", ">", 1)])
        assert engine.to_arrow(frame).to_pydict() == {"k": [2]}
        return
    with pytest.raises(UnreadableTable, match="cannot read .* rightly: it uses typeWidening"):
        warehouse.read("widened", version=2)


def test_times_that_spark_writes_beyond_nanoseconds_are_read_alike_by_every_engine(engine, tmp_path):
    """INT96, Spark's default: as nanoseconds they end in 2262, and 9999-12-31 would be a day of 1816 without a word."""
    moments = [
        datetime(9999, 12, 31, 23, 59, 59, 999999),
        datetime(2999, 12, 31),
        datetime(1, 1, 1),
        datetime(2024, 1, 1),
    ]
    path = tmp_path / "external"
    write_deltalake(path, pa.table({"k": [0, 1, 2, 3], "valid_to": pa.array(moments, pa.timestamp("us", "UTC"))}))
    (file,) = path.glob("*.parquet")
    data = pq.read_table(file)
    pq.write_table(data, file, use_deprecated_int96_timestamps=True, store_schema=False)
    log = path / "_delta_log" / f"{0:020d}.json"
    log.write_text(re.sub(r'"size":\d+', f'"size":{file.stat().st_size}', log.read_text()))
    rows = read_external(engine, path)
    assert rows.schema.field("valid_to").type == pa.timestamp("us", "UTC")
    assert rows["valid_to"].to_pylist() == [moment.replace(tzinfo=UTC) for moment in moments]
    assert read_external(engine, path, [("valid_to", ">", "2262-04-12T00:00:00+00:00")])["k"].to_pylist() == [0, 1]


def test_reads_answer_alike_where_the_conditions_or_columns_are_at_fault(engine, tmp_path):
    path = tmp_path / "external"
    small = pa.array([Decimal("0.0000005"), Decimal("-12345.0000000")], pa.decimal128(20, 7))
    write_deltalake(path, pa.table({"k": [0, 1], "d": small, "f": pa.array([0.1, 2.0], pa.float32()), "l": [[1], [2]]}))
    for where, keys in (
        ([("d", "=", Decimal("5E-7"))], [0]),
        ([("d", "<", Decimal("-1E+4"))], [1]),
        ([("d", "in", [Decimal("5E-7"), Decimal("0")])], [0]),
        ([("f", "=", 0.1)], [0]),
        ([("f", "<=", 0.1)], [0]),
    ):
        assert read_external(engine, path, where)["k"].to_pylist() == keys, where
    for where in ("k = 1", ("k", "=", 1), [("k", "=")], [["k", "=", 1, 2]], [("l", "=", [1])], [("k", "=", None)]):
        with pytest.raises(BadPredicate, match="is no condition|not supported|never true for a null"):
            read_external(engine, path, where)
    for columns in ([], ["k", "k"]):
        with pytest.raises(UnknownColumn, match="Give each column once, or leave `columns` out"):
            engine.read(path, version=0, columns=columns, where=())


def test_a_column_with_a_dot_in_its_name_is_read_alike_by_every_engine(engine, tmp_path):
    """Ours have none; those of others may."""
    write_deltalake(tmp_path / "external", pa.table({"k": [0, 1], "a.b": ["x", "y"]}))
    rows = read_external(engine, tmp_path / "external", [("a.b", "=", "y")])
    assert rows.select(["k", "a.b"]).to_pydict() == {"k": [1], "a.b": ["y"]}


@pytest.mark.parametrize(
    ("protocol", "remedy"),
    [
        (Protocol(3, 7, *[frozenset({"typeWidening"})] * 2), "Read it with engine 'spark', or have"),
        (Protocol(3, 7, *[frozenset({"somethingOfTomorrow"})] * 2), "No engine here can: have"),
        (Protocol(4, 7), "No engine here can: have"),
    ],
)
def test_a_table_that_cannot_be_read_names_only_engines_that_can(protocol, remedy):
    features = unreadable(protocol)
    refusal = UnreadableTable.of("t", engine="pandas", features=features, readers=readers(protocol))
    assert remedy in str(refusal)


def test_a_column_that_only_spark_has_is_no_obstacle_to_the_others(spark, tmp_path):
    path = tmp_path / "external"
    variant = spark.session.sql("SELECT 1 AS k, parse_json('[1]') AS v")
    variant.write.format("delta").save(str(path))
    assert spark.read(path, version=0).columns == ["k", "v"]
    assert spark.to_arrow(spark.read(path, version=0, columns=["k"], where=[("k", "=", 1)])).to_pydict() == {"k": [1]}
    with pytest.raises(BadPredicate, match="conditions on this type are not supported"):
        spark.read(path, version=0, where=[("v", "=", 1)])


def test_spark_tells_a_broken_log_without_traces_of_the_jvm(spark, tmp_path):
    path = tmp_path / "external"
    write_deltalake(path, pa.table({"k": [0]}))
    log = path / "_delta_log" / f"{0:020d}.json"
    log.write_text("\n".join(line for line in log.read_text().splitlines() if '"protocol"' not in line))
    with pytest.raises(DamagedTable, match="log cannot be read at version 0: ") as caught:
        spark.read(path, version=0)
    assert not re.search(r"org\.apache|JVM|\tat ", str(caught.value))

"""Tables that cannot be read: one line in a list, a sentence everywhere else, and a way back."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import DamagedTable, ReadOnlyTable, StagebookError, UnknownTable
from stagebook.model.tables import Column, Kind, Layout, TableSchema
from stagebook.tables import maintenance, rules
from stagebook.tables.warehouse import Warehouse, Writer

COLUMNS = (Column("s", Kind.STRING, "text"), Column("v", Kind.INT64, "number"))
SCHEMA = TableSchema("broken", "", COLUMNS, layout=Layout(partition_by=("s",)))
WHOLE = TableSchema("whole", "", COLUMNS)


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path, LocalEngine())


def write(warehouse: Warehouse, *texts: str, schema: TableSchema = SCHEMA, run: str = "r") -> int:
    rows = pa.table({"s": list(texts), "v": range(len(texts))})
    return warehouse.write(rows, schema, writer=Writer(run, "s", 1)).version


def log(warehouse: Warehouse, version: int) -> Path:
    return warehouse.path("broken") / "_delta_log" / f"{version:020d}.json"


def broken_by_a_stranger(warehouse: Warehouse) -> None:
    """What delta-rs itself commits without a word: an empty text in a partition column that holds no null."""
    rows = pa.table(
        [["", "x"], [1, 2]], schema=pa.schema([pa.field("s", pa.string(), False), pa.field("v", pa.int64(), False)])
    )
    with pytest.raises(ValueError, match="unmasked nulls"):
        write_deltalake(str(warehouse.path("broken")), rows, mode="overwrite")


def edited(change):
    def damage(file: Path) -> None:
        file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")

    return damage


def without(action: str):
    return edited(lambda lines: [line for line in lines if f'"{action}"' not in line[:20]])


DAMAGES = {
    "an empty file": lambda file: file.write_text(""),
    "half a line": lambda file: file.write_text(file.read_text()[: len(file.read_text()) // 2]),
    "no JSON": edited(lambda lines: ["nonsense", *lines]),
    "a list": edited(lambda lines: ["[3]", *lines]),
    "text for an action": edited(lambda lines: ['{"add": "x"}', *lines]),
    "not UTF-8": lambda file: file.write_bytes(b"\xff\xfe" + file.read_bytes()),
    "nested deep": edited(lambda lines: ["[" * 10_000, *lines]),
    "no protocol": without("protocol"),
    "no metadata": without("metaData"),
    "no schema": edited(lambda lines: [line.replace('"schemaString":"', '"schemaString":"x') for line in lines]),
    "a size of the wrong type": edited(lambda lines: [line.replace('"size":', '"size":"x","s":') for line in lines]),
    "a folder in its place": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_broken_log_is_a_sentence_with_its_reason_and_spares_other_tables(warehouse, damage):
    write(warehouse, "a", schema=WHOLE)
    write(warehouse, "a")
    damage(log(warehouse, 0))
    listed = {entry.name: entry for entry in maintenance.list_tables(warehouse, ())}
    assert listed["whole"].description.rows == 1
    assert maintenance.describe(warehouse, "whole").rows == 1
    assert "log cannot be read" in listed["broken"].trouble
    uses = {
        "read": lambda: warehouse.read("broken", version=None),
        "describe": lambda: maintenance.describe(warehouse, "broken"),
        "write": lambda: write(warehouse, "b", run="r2"),
        "plan": lambda: warehouse.refuse_damaged("broken", 0),
    }
    for name, use in uses.items():
        with pytest.raises(
            DamagedTable, match="(?s)log cannot be read.*: .{8}.*stagebook tables restore broken"
        ) as caught:
            use()
        assert "its versions are" not in str(caught.value), name


def test_a_table_that_a_stranger_broke_is_restored_to_the_version_before(warehouse):
    assert write(warehouse, "a", "b") == 0
    broken_by_a_stranger(warehouse)
    with pytest.raises(DamagedTable, match="log cannot be read"):
        warehouse.read("broken", version=None)
    result = maintenance.restore(warehouse, "broken", 0)
    assert (result.version, result.before) == (0, 1)
    assert sorted(warehouse.read("broken", version=None)["v"]) == [0, 1]
    assert [file.name for file in warehouse.path("broken").glob("_set_aside/*/*")] == [log(warehouse, 1).name]
    assert write(warehouse, "c", run="r2") == 1
    assert [entry.trouble for entry in maintenance.list_tables(warehouse, ())] == [""]


def test_a_commit_that_nothing_can_open_is_told_with_the_way_back(warehouse, monkeypatch):
    """Were a value to pass the rules that breaks the log, the write would say so, and not succeed."""
    monkeypatch.setattr(rules, "_folder_rule", lambda name: rules.Rule(name, (name,), rules_never()))
    write(warehouse, "a")
    with pytest.raises(DamagedTable, match="version 1 was committed(?s:.*)restore broken --version 0"):
        write(warehouse, "", "x", run="r2")
    maintenance.restore(warehouse, "broken", 0)
    assert list(warehouse.read("broken", version=None)["s"]) == ["a"]


def rules_never():
    import narwhals as nw

    return nw.col("v") < 0


def test_a_restore_is_a_new_version_with_the_old_rows_and_columns(warehouse):
    write(warehouse, "a", "b")
    wider = TableSchema("broken", "", (*COLUMNS, Column("w", Kind.INT64, "", nullable=True)))
    warehouse.write(pa.table({"s": ["c"], "v": [7], "w": [1]}), wider, writer=Writer("r2", "s", 1))
    result = maintenance.restore(warehouse, "broken", 0)
    assert (result.restored, result.version, result.before) == (0, 2, 1)
    assert warehouse.read("broken", version=None).columns.tolist() == ["s", "v"]
    assert maintenance.describe(warehouse, "broken").layout.partition_by == ("s",)
    assert warehouse.engine.metadata(warehouse.path("broken"), 2)["stagebook.restored"] == 0
    again = maintenance.restore(warehouse, "broken", 2)
    assert (again.version, again.before) == (2, 2)


def test_a_restore_needs_a_version_that_opens_and_a_table_of_ours(warehouse, tmp_path):
    write(warehouse, "a")
    with pytest.raises(UnknownTable, match="no version 7"):
        maintenance.restore(warehouse, "broken", 7)
    log(warehouse, 0).write_text("x")
    with pytest.raises(DamagedTable, match="log cannot be read"):
        maintenance.restore(warehouse, "broken", 0)
    assert not (warehouse.path("broken") / "_set_aside").exists()
    external = Warehouse(tmp_path / "own", LocalEngine(), {"broken": warehouse.path("broken")})
    with pytest.raises(ReadOnlyTable, match="external"):
        maintenance.restore(external, "broken", 0)


def test_a_log_without_its_first_versions_names_those_that_exist(warehouse):
    for number in range(3):
        write(warehouse, str(number), run=f"r{number}")
    log(warehouse, 1).unlink()
    with pytest.raises(StagebookError, match="broken|no version"):
        warehouse.read("broken", version=None)
    with pytest.raises(UnknownTable, match="has no version 1"):
        warehouse.read("broken", version=1)

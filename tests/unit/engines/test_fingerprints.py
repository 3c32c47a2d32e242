"""Digests of rows in any order, commits without rows, and commits that must follow a version: on every engine."""

from dataclasses import replace

import pyarrow as pa
import pytest

from stagebook.engines.base import CONTENT, PARTS, RUN_ID, STAGE, WriteOrder
from stagebook.engines.local import LocalEngine
from stagebook.engines.polars import PolarsEngine
from stagebook.errors import WriteConflict
from stagebook.model.tables import Column, Kind, TableSchema

SCHEMA = TableSchema(
    "t", "some rows", (Column("a", Kind.INT64, "a number"), Column("b", Kind.INT64, "one more", None, True))
)
ROWS = [(1, 1), (1, None), (2, 7), (2, 7), (3, 0)]


def frame(engine, rows=ROWS):
    return engine.frame(pa.table({"a": [a for a, _ in rows], "b": pa.array([b for _, b in rows], pa.int64())}))


def digest(engine, rows):
    return engine.fingerprints(frame(engine, rows), None)[None]


def order(run="r1", **changes):
    metadata = {RUN_ID: run, STAGE: "s", CONTENT: run, **changes.pop("metadata", {})}
    return WriteOrder(**{"schema": SCHEMA, "app_id": f"{run}/s/t", "metadata": metadata, **changes})


def write(engine, path, **changes):
    return engine.write(path, engine.conform(frame(engine), SCHEMA), order(**changes))


def test_the_order_of_rows_does_not_count(engine):
    assert digest(engine, ROWS) == digest(engine, ROWS[::-1])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([(1, 1), (1, None), (2, 7), (2, 7), (3, 1)], id="a value is another"),
        pytest.param([(1, 1), (1, None), (2, 7), (2, 7), (3, None)], id="a zero is missing"),
        pytest.param([(1, 1), (None, 1), (2, 7), (2, 7), (3, 0)], id="a value stands in the next column"),
        pytest.param([(1, 1), (1, None), (2, 7), (3, 0)], id="a row comes once less"),
        pytest.param([(1, 1), (1, None), (7, 2), (2, 7), (3, 0)], id="two values are swapped"),
        pytest.param([(1, 0), (1, None), (2, 7), (2, 7), (3, 1)], id="two rows have swapped a value"),
        pytest.param([], id="there are no rows"),
    ],
)
def test_every_other_change_counts(engine, rows):
    assert digest(engine, ROWS) != digest(engine, rows)


def test_each_value_of_a_column_has_its_own_fingerprint(engine):
    before = engine.fingerprints(frame(engine), "a")
    after = engine.fingerprints(frame(engine, [*ROWS[:2], (2, 8), *ROWS[3:], (4, 4)]), "a")
    assert sorted(before) == [1, 2, 3]
    assert {part for part in after if after[part] != before.get(part)} == {2, 4}
    assert engine.fingerprints(frame(engine, []), "a") == {}


def test_a_fingerprint_tells_which_engine_computed_it(engine):
    name, rows, _ = digest(engine, ROWS).split(":")
    assert name.partition("-")[0] in ("polars", "spark")
    assert rows == "5"


def test_the_engines_of_one_machine_have_the_same_fingerprints():
    assert digest(LocalEngine(), ROWS) == digest(PolarsEngine(), ROWS)


def test_a_column_may_have_any_name(engine):
    odd = engine.frame(pa.table({"part": [1, 1], "a`b": ["x", "y"]}))
    assert list(engine.fingerprints(odd, "part")) == [1]
    assert sorted(engine.fingerprints(odd, "a`b")) == ["x", "y"]


def test_a_mark_is_a_version_without_rows_or_files(engine, tmp_path):
    from deltalake import DeltaTable

    written = write(engine, tmp_path / "t")
    files = DeltaTable(tmp_path / "t").file_uris()
    marked = engine.mark(tmp_path / "t", order("r2"))
    assert (marked.version, marked.rows, marked.run_id) == (written.version + 1, 5, "r2")
    assert DeltaTable(tmp_path / "t").file_uris() == files
    assert engine.committed(tmp_path / "t", "r2/s/t") == replace(marked, repeated=True)


def test_a_commit_follows_the_version_that_it_is_told_to(engine, tmp_path):
    path = tmp_path / "t"
    first = write(engine, path, after=-1)
    for late in (lambda: write(engine, path, run="r2", after=-1), lambda: engine.mark(path, order("r2", after=-1))):
        with pytest.raises(WriteConflict, match="run 'r1' committed version"):
            late()
    assert write(engine, path, run="r3", after=first.version).version == first.version + 1


def test_only_commits_that_change_rows_or_tell_the_parts_are_content(engine, tmp_path):
    from deltalake import DeltaTable

    path = tmp_path / "t"
    assert engine.content(path) is None
    written = write(engine, path)
    engine.mark(path, order("r2"))
    DeltaTable(path).optimize.compact()
    assert engine.content(path) == written.version
    told = engine.mark(path, order("r3", metadata={PARTS: {"by": "a"}}))
    assert engine.content(path) == told.version
    assert engine.metadata(path, told.version)[PARTS] == {"by": "a"}


def test_a_commit_whose_log_is_gone_may_have_changed_rows(engine, tmp_path):
    path = tmp_path / "t"
    write(engine, path)
    marked = engine.mark(path, order("r2"))
    (path / f"_delta_log/{marked.version:020d}.json").write_text("")
    assert engine.content(path) == marked.version
    assert engine.metadata(path, marked.version) == {}

"""Commits without rows, and commits that must follow a version: on every engine."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from stagebook.delta.engine import CONTENT, PARTITIONS, RUN_ID, STAGE, WriteOrder
from stagebook.errors import WriteConflict
from stagebook.model.tables import Column, Kind, TableSchema

SCHEMA = TableSchema(
    "t", "some rows", (Column("a", Kind.INT64, "a number"), Column("b", Kind.INT64, "a number or null", None, True))
)
ROWS = pa.table({"a": [1, 1, 2, 2, 3], "b": [1, None, 7, 7, 0]})


def order(run="r1", **changes):
    metadata = {RUN_ID: run, STAGE: "s", CONTENT: run, **changes.pop("metadata", {})}
    return WriteOrder(**{"schema": SCHEMA, "app_id": f"{run}/s/t", "metadata": metadata, **changes})


def write(engine, path, **changes):
    return engine.write(path, engine.conform(engine.from_local(ROWS), SCHEMA), order(**changes))


@pytest.fixture(scope="module")
def written():
    """Tables by engine, with the commit that made each; filled when they are first needed."""
    return {}


@pytest.fixture
def table(engine, tmp_path, tmp_path_factory, written):
    """A table of one commit of the run `r1`: a copy, since Spark takes a second to write one."""
    if engine.name not in written:
        path = tmp_path_factory.mktemp(engine.name) / "t"
        written[engine.name] = path, write(engine, path, after=-1)
    path, commit = written[engine.name]
    shutil.copytree(path, tmp_path / "t")
    return tmp_path / "t", commit


def test_commit_metadata_creates_a_version_without_rows_or_files(engine, table):
    path, created = table
    files = DeltaTable(path).file_uris()
    commit = engine.commit_metadata(path, order("r2"))
    assert (commit.version, commit.rows, commit.run_id) == (created.version + 1, 5, "r2")
    assert DeltaTable(path).file_uris() == files
    assert engine.committed(path, "r2/s/t") == replace(commit, repeated=True)


def test_a_commit_must_follow_the_given_version(engine, table):
    path, created = table
    for late_commit in (
        lambda: write(engine, path, run="r2", after=-1),
        lambda: engine.commit_metadata(path, order("r2", after=-1)),
    ):
        with pytest.raises(WriteConflict, match="run 'r1' committed version"):
            late_commit()
    assert write(engine, path, run="r3", after=created.version).version == created.version + 1


def test_only_commits_that_change_rows_or_record_partitions_are_content(engine, table, tmp_path):
    assert engine.latest_content_version(tmp_path / "no table") is None
    path, created = table
    engine.commit_metadata(path, order("r2"))
    DeltaTable(path).optimize.compact()
    assert engine.latest_content_version(path) == created.version
    recorded = engine.commit_metadata(path, order("r3", metadata={PARTITIONS: {"by": "a"}}))
    assert engine.latest_content_version(path) == recorded.version
    assert engine.metadata(path, recorded.version)[PARTITIONS] == {"by": "a"}


def test_a_commit_without_a_log_file_may_have_changed_rows(engine, table):
    path, _ = table
    commit = engine.commit_metadata(path, order("r2"))
    (path / f"_delta_log/{commit.version:020d}.json").write_text("")
    assert engine.latest_content_version(path) == commit.version
    assert engine.metadata(path, commit.version) == {}

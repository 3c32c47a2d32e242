"""Which files a vacuum removes, as a table of cases: facts in, plan out, no file touched."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stagebook.errors import DamagedTable
from stagebook.model.maintenance import FileTotals, RetainedByRun, RetainedVersion
from stagebook.tables.vacuum_plan import FileOnDisk, TableFiles, plan_vacuum

CUTOFF = datetime(2026, 1, 8, tzinfo=UTC)
OLD, YOUNG = CUTOFF - timedelta(hours=1), CUTOFF + timedelta(hours=1)
SIZES = {"a": 1, "b": 10, "c": 100, "d": 1000}


def table(by_version, *, recent=(), young=(), on_disk="abcd") -> TableFiles:
    """A table of files `a` to `d`; `by_version` says which of them a version consists of, the last one is the newest."""
    files = {name: FileOnDisk(SIZES[name], YOUNG if name in young else OLD) for name in on_disk}
    versions = {version: set(names) for version, names in by_version.items()}
    newest = max(versions)
    return TableFiles(Path("/tables/t"), files, versions, newest, {newest, *recent})


def needs(run, version, reason="read by s") -> RetainedVersion:
    return RetainedVersion("t", version, run, reason)


THREE_VERSIONS = {0: "ab", 1: "bc", 2: "d"}

CASES = [
    ("the newest version stays", table(THREE_VERSIONS), [], "abc", {}),
    ("a recent version stays", table(THREE_VERSIONS, recent=[1]), [], "a", {}),
    ("all versions are recent", table(THREE_VERSIONS, recent=[0, 1]), [], "", {}),
    ("a retained version stays", table(THREE_VERSIONS), [needs("r", 0)], "c", {}),
    ("versions of several runs stay", table(THREE_VERSIONS), [needs("r", 0), needs("q", 1)], "", {}),
    ("young files stay", table(THREE_VERSIONS, young="ac"), [], "b", {}),
    ("files that no version names are removed", table({0: "d"}), [], "abc", {}),
    ("a version that the log has forgotten is lost", table({5: "d"}), [needs("r", 0)], "abc", {0: "r"}),
    ("a version without one of its files is lost", table({0: "ab", 1: "d"}, on_disk="acd"), [needs("r", 0)], "c",
     {0: "r"}),
    ("the remaining files of a lost version stay", table({0: "ab", 1: "d"}, on_disk="ad"), [needs("r", 0)], "",
     {0: "r"}),
    ("a recent version that lost files is no error", table({0: "ab", 1: "d"}, recent=[0], on_disk="ad"), [], "", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "retained", "removed", "lost"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_file_is_removed_only_if_it_is_old_and_no_recent_or_retained_version_needs_it(files, retained, removed, lost):
    plan = plan_vacuum(files, retained, cutoff=CUTOFF)
    assert plan.files == {name: SIZES[name] for name in removed}
    assert list(plan.files) == sorted(plan.files)
    remaining = [SIZES[name] for name in files.on_disk if name not in removed]
    assert plan.remaining == FileTotals(len(remaining), sum(remaining))
    assert (plan.lost, plan.applied, plan.folder, plan.size_bytes) == (
        lost, False, Path("/tables/t"), sum(SIZES[name] for name in removed),
    )  # fmt: skip


def test_a_file_modified_at_the_cutoff_stays():
    on_disk = {"a": FileOnDisk(1, CUTOFF), "b": FileOnDisk(1, CUTOFF - timedelta(microseconds=1))}
    files = TableFiles(Path("/tables/t"), on_disk, {0: set()}, newest=0, recent={0})
    assert list(plan_vacuum(files, [], cutoff=CUTOFF).files) == ["b"]


def test_each_run_is_listed_with_its_versions_and_the_files_that_only_runs_retain():
    files = table({0: "ab", 1: "bc", 2: "cd"})
    retained = [
        needs("r", 0, "pinned at its start"),
        needs("q", 1, "read by s"),
        needs("r", 1, "written by s"),
        needs("p", 2, "committed by s"),
    ]
    assert plan_vacuum(files, retained, cutoff=CUTOFF).retained == [
        RetainedByRun("p", {2: "committed by s"}, FileTotals(0, 0)),
        RetainedByRun("q", {1: "read by s"}, FileTotals(1, 10)),
        RetainedByRun("r", {0: "pinned at its start", 1: "written by s"}, FileTotals(2, 11)),
    ]


def test_nothing_is_planned_for_a_table_whose_newest_version_has_lost_files():
    files = table({0: "a", 1: "bcd"}, on_disk="ac")
    with pytest.raises(DamagedTable, match="/tables/t: the table has lost 2 of its data files, for example b"):
        plan_vacuum(files, [], cutoff=CUTOFF)


@pytest.mark.parametrize("elsewhere", ["/other/table/x.parquet", "s3://bucket/x.parquet"])
def test_files_that_a_shallow_clone_has_elsewhere_are_not_missing(elsewhere):
    files = TableFiles(Path("/tables/t"), {"a": FileOnDisk(1, OLD)}, {0: {elsewhere}}, newest=0, recent={0})
    plan = plan_vacuum(files, [needs("r", 0)], cutoff=CUTOFF)
    assert (list(plan.files), plan.lost) == (["a"], {})


def test_a_table_without_its_newest_version_is_never_planned():
    files = TableFiles(Path("/tables/t"), {"a": FileOnDisk(1, OLD)}, {}, newest=0, recent={0})
    with pytest.raises(KeyError, match="0"):
        plan_vacuum(files, [], cutoff=CUTOFF)

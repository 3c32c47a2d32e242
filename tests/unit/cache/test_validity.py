"""Whether the outputs of an earlier result still are as it left them."""

import pytest

from stagebook.cache import validity
from stagebook.model.pipeline import Paths, Pipeline, Stage, Tracking
from stagebook.model.record import RunRecord, StageRecord, StageStatus


class Tables:
    """`identities` of each table's versions; `lost` cannot be read any more."""

    def __init__(self, lost=(), **identities):
        self.lost, self.identities = lost, identities

    def latest(self, name):
        return len(self.identities[name]) - 1 if name in self.identities else None

    def identity(self, name, version):
        return self.identities[name][version]

    def is_complete(self, name, version):
        return (name, version) not in self.lost and version < len(self.identities[name])


GOOD = Tables(inner=["a", "b"], outer=["c"])


@pytest.fixture
def pipeline(tmp_path):
    stages = {
        "make": Stage("make", tmp_path / "make.py", writes=("inner",)),
        "serve": Stage("serve", tmp_path / "serve.py", ("make",), reads=("inner",), writes=("outer",)),
    }
    return Pipeline("p", stages, {}, Paths(*[tmp_path] * 4), Tracking("sqlite:////none.db", "e", "m"))


def invalid_reason(pipeline, stage="make", tables=GOOD, files=None, aliases=None, **changes):
    outputs = {"make": {"inner": {"version": 0}}, "serve": {"outer": {"version": 0}}}[stage]
    reuse = {"outputs": {"inner": "a", "outer": "c"}, "files": {}, "registry": None, **changes.pop("reuse", {})}
    result = StageRecord(stage, "n", [], StageStatus.SUCCEEDED, outputs=outputs, reuse=reuse, **changes)
    record = RunRecord("r", "p", "t", stages={stage: result})
    changed_files = validity.file_changes(reuse["files"], files or {})
    return validity.invalid_reason(
        pipeline.stages[stage], record, pipeline, tables, lambda *_: aliases or {}, changed_files
    )


@pytest.mark.parametrize(
    ("stage", "tables", "reason"),
    [
        ("make", GOOD, None),
        ("make", Tables(outer=["c"]), "table `inner` has no version 0 any more"),
        ("make", Tables(lost=[("inner", 0)], inner=["a", "b"]), "table `inner` has no version 0 any more"),
        ("make", Tables(inner=["x", "b"]), "table `inner` 0 was made anew"),
        ("serve", GOOD, None),
        ("serve", Tables(outer=["c", "c"]), None),
        ("serve", Tables(outer=["c", "d"]), "table `outer` 0 → 1"),
    ],
)
def test_an_older_version_will_do_for_the_pipeline_and_the_newest_must_for_the_world(pipeline, stage, tables, reason):
    assert invalid_reason(pipeline, stage, tables) == reason


@pytest.mark.parametrize(
    ("before", "current", "reason"),
    [
        ({"a.csv": "1"}, {"a.csv": "1"}, None),
        ({"a.csv": "1"}, {"a.csv": "2"}, "file `a.csv` changed"),
        ({"a.csv": "1"}, {}, "file `a.csv` is gone"),
        ({}, {"a.csv": "1"}, "file `a.csv` is new"),
    ],
)
def test_files_that_the_code_names_are_compared_by_content(pipeline, before, current, reason):
    assert invalid_reason(pipeline, reuse={"files": before}, files=current) == reason


def test_a_file_that_a_scrap_refers_to_must_be_there(pipeline, tmp_path):
    scraps = {"model": "models/r/model.skops"}
    assert invalid_reason(pipeline, scraps=scraps) == "file `models/r/model.skops` is gone"
    path = tmp_path / "volumes/models/r/model.skops"
    path.parent.mkdir(parents=True)
    path.touch()
    assert invalid_reason(pipeline, scraps=scraps) is None


def test_the_registry_must_say_what_it_was_made_to_say(pipeline):
    use = {"uri": "sqlite:////none.db", "model": "m", "reads": {"champion": "1"}, "sets": {}}
    assert invalid_reason(pipeline, aliases={"champion": "1"}, reuse={"registry": use}) is None
    assert invalid_reason(pipeline, aliases={"champion": "3"}, reuse={"registry": use}) == "`champion` of model m 1 → 3"
    assert invalid_reason(pipeline, reuse={"registry": {**use, "model": "old"}}) == "model old → m, or another registry"

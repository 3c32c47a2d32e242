"""A damaged file of a run is named with its place, is never taken for something else, and is repaired as far as it goes."""

import json
import random
import shutil

import pytest
from fixtures.journals import DAMAGE, DAMAGE_OF_LINES, finished_run, flip, without_checksums

from stagebook.cache import index
from stagebook.errors import ConfigError, DamagedRun
from stagebook.model.record import RunStatus
from stagebook.runner.repair import repair_index, repair_run
from stagebook.runs import folders, journal
from stagebook.runs.folders import PipelineHistory, to_json
from stagebook.runs.rebuild import events_of
from stagebook.runs.recorder import RunRecorder


@pytest.fixture
def old(tmp_path):
    return finished_run(tmp_path / "runs", "old")


def clock():
    from datetime import UTC, datetime

    return datetime(2026, 1, 2, tzinfo=UTC)


def checked(folder):
    """What `stagebook runs` reads of a run."""
    record = folder.load()
    if record is not None:
        folder.check_derived(record)
    return record


@pytest.mark.parametrize("is_old", [False, True], ids=["with checksums", "of an earlier version"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named_with_file_and_line_and_other_runs_are_read(old, damage, is_old):
    if is_old:
        without_checksums(old)
    good = finished_run(old.path.parent, "good")
    damage(old)
    with pytest.raises(
        DamagedRun, match=r"^/.*/old/(events\.jsonl(:\d+)?|run\.json|mlflow\.json): this (line|file) of run 'old'"
    ) as raised:
        checked(old)
    assert "stagebook runs repair old" in str(raised.value)
    assert "good" in [run.run_id for run, _ in folders.readable(old.path.parent)]
    assert "good" in [record.run_id for record in PipelineHistory(old.path.parent, "demo")]
    assert checked(good).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("bits", [50, pytest.param(5000, marks=pytest.mark.campaign)])
def test_a_flipped_bit_is_noticed_wherever_it_is(old, bits):
    content, before = old.events.read_bytes(), old.load()
    generator = random.Random(17)
    for bit in generator.sample(range(len(content) * 8), min(bits, len(content) * 8)):
        old.events.write_bytes(flip(content, bit))
        try:
            record = old.load()
        except DamagedRun:
            continue
        assert record != before
        assert record is None or record.status is not RunStatus.SUCCEEDED, bit


@pytest.mark.parametrize("cuts", [50, pytest.param(5000, marks=pytest.mark.campaign)])
def test_a_truncated_journal_is_one_of_a_run_that_died(old, cuts):
    content = old.events.read_bytes()
    generator = random.Random(18)
    for end in generator.sample(range(len(content) - 1), min(cuts, len(content) - 1)):
        old.events.write_bytes(content[:end])
        record = old.load()
        assert record is None or record.status is RunStatus.RUNNING, end
        with RunRecorder(old, clock) as recorder:
            assert recorder._record == record


def test_a_last_line_that_lacks_only_its_end_is_whole_and_ended_by_the_next_writer(old):
    content, before = old.events.read_bytes(), old.load()
    old.events.write_bytes(content[:-1])
    assert old.load() == before
    with RunRecorder(old, clock):
        pass
    assert old.events.read_bytes() == content


def test_a_journal_of_an_earlier_version_is_read_and_continued(old):
    before = old.load()
    without_checksums(old)
    assert old.load() == before
    with RunRecorder(old, clock) as recorder:
        recorder.emit("run_resumed", stages={}, kept=["prep", "fit"])
        assert old.load() == recorder.record
    last = json.loads(old.events.read_text().splitlines()[-1])
    assert (last["line"], len(last["crc32"])) == (12, 8)


@pytest.mark.parametrize("text", ["\ud800", "\x00\x1b[31m", '"}, "crc32": "00000000"}', "\u2028\r\n"])
def test_any_text_comes_back_from_the_journal(tmp_path, text):
    path = tmp_path / "r" / "events.jsonl"
    with journal.Journal(path) as book:
        book.append({"at": "x", "event": "e", "text": text}, {"event": "f", "more": {"a": text, "crc32": "00000000"}})
    assert journal.read(path) == [
        {"at": "x", "event": "e", "text": text}, {"event": "f", "more": {"a": text, "crc32": "00000000"}},
    ]  # fmt: skip


def test_a_journal_written_by_a_newer_version_is_named_and_left_alone(old):
    with journal.Journal(old.events) as book:
        book.append({"at": "2026-01-02T00:00:00Z", "event": "stage_painted"})
    with pytest.raises(DamagedRun, match=r"events\.jsonl:12: .*no event 'stage_painted'; a newer version may have"):
        old.load()


def test_the_last_run_is_not_silently_an_older_one_where_the_newest_is_damaged(old):
    finished_run(old.path.parent, "zz")
    (old.path.parent / "zz/events.jsonl").write_text("null\n")
    with pytest.raises(DamagedRun, match="zz/events.jsonl:1"):
        folders.find(old.path.parent, None, pipeline="demo")
    assert folders.find(old.path.parent, "old").run_id == "old"
    with pytest.raises(ConfigError, match="there is no run 'odl'.*Did you mean 'old'"):
        folders.named(old.path.parent, "odl")


# Repair


def test_a_record_that_is_not_damaged_is_left_as_it_is(old):
    before = {
        path.name: path.read_bytes() for path in old.path.iterdir() if path.name.startswith(("ev", "run.j", "ml"))
    }
    assert repair_run(old, clock).lines == []
    assert {name: (old.path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("is_old", [False, True], ids=["with checksums", "of an earlier version"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_repair_leaves_a_run_that_can_be_read_and_a_copy_of_what_was_there(old, damage, is_old):
    if is_old:
        without_checksums(old)
    whole = old.load()
    damage(old)
    outcome = repair_run(old, clock)
    assert outcome.exit_code == 0, outcome.lines
    assert outcome.lines
    record = checked(old)
    assert record.run_id == "old"
    assert record.status in (RunStatus.SUCCEEDED, RunStatus.INTERRUPTED)
    assert json.loads(old.record.read_text()) == json.loads(json.dumps(to_json(record)))
    finished = {name for name, stage in record.stages.items() if stage.status.done}
    assert all(record.stages[name].outputs == whole.stages[name].outputs for name in finished)
    assert all(line.startswith("old  ") for line in outcome.lines)
    assert repair_run(old, clock).lines == [], "a second time there is nothing to do"


def test_what_is_lost_is_told_and_the_run_is_closed_so_that_it_can_be_resumed(old):
    DAMAGE_OF_LINES["a line cut in the middle"](old)
    damaged = old.events.read_bytes()
    assert repair_run(old, clock).lines == [
        "old  the journal was damaged (it is no JSON: JSONDecodeError: Unterminated string starting at: line 1 column 36 "
        "(char 35)); a copy is events.jsonl.damaged",
        "old  the journal is written anew from its whole lines: 10 events, 1 are lost",
        "old  it is closed as interrupted; what is known to be finished is kept when it is resumed",
        "old  run.json is written anew from the journal",
    ]
    assert (old.path / "events.jsonl.damaged").read_bytes() == damaged
    record = old.load()
    assert {name: stage.status.done for name, stage in record.stages.items()} == {"prep": False, "fit": True}


def test_swapped_lines_are_put_back_where_they_were_and_nothing_is_lost(old):
    whole = old.load()
    DAMAGE_OF_LINES["two lines swapped"](old)
    repair_run(old, clock)
    assert old.load() == whole


def test_a_lost_first_line_comes_back_from_the_record(old):
    whole = old.load()
    DAMAGE_OF_LINES["the first line gone"](old)
    repair_run(old, clock)
    assert old.load().parameters == whole.parameters
    assert {name: stage.outputs for name, stage in old.load().stages.items()} == {
        name: stage.outputs for name, stage in whole.stages.items()
    }


def test_the_events_made_from_a_record_lead_to_that_record(old):
    from stagebook.runs.events import fold

    recorded = json.loads(old.record.read_text())
    assert json.loads(json.dumps(to_json(fold(events_of(recorded))))) == recorded


def test_a_run_of_which_nothing_is_left_cannot_be_repaired_and_is_left_alone(old):
    old.events.write_bytes(b"\0" * 500 + b"\n")
    old.record.write_text("no JSON")
    outcome = repair_run(old, clock)
    assert outcome.exit_code == 1
    assert "cannot be repaired" in outcome.lines[-1] and "delete its folder" in outcome.lines[-1]
    assert old.events.read_bytes() == b"\0" * 500 + b"\n"


def test_a_run_that_another_process_holds_is_not_repaired(old):
    old.events.write_bytes(b"null\n")
    with old.held():
        outcome = repair_run(folders.RunFolder(old.path), clock)
    assert (outcome.exit_code, outcome.lines) == (75, ["old  another process holds it: nothing was done"])


@pytest.mark.parametrize("damage", ["lost", "cut", "a list", "a folder"])
def test_the_index_of_results_is_rebuilt_from_the_records(old, damage):
    runs, key = old.path.parent, "a" * 64
    index.remember(runs, key, index.CachedResult("old"))
    (file,) = (runs / index.FOLDER).rglob("*.json")
    match damage:
        case "lost":
            shutil.rmtree(runs / index.FOLDER)
        case "cut":
            file.write_text('{"run')
        case "a list":
            file.write_text("[3]")
        case "a folder":
            file.unlink()
            file.mkdir()
    assert index.recall(runs, key) is None
    assert repair_index(runs) == ["index of results: 1 of its entries were lost and are written anew"]
    assert index.recall(runs, key) == index.CachedResult("old")
    assert repair_index(runs) == []

"""Of a cell's outputs the beginning and the end are kept, and it is said how much is not."""

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.executor import output_limit
from stagebook.executor.output_limit import OutputLimit


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(output_limit, "HEAD_CHARACTERS", 10)
    monkeypatch.setattr(output_limit, "TAIL_CHARACTERS", 10)
    monkeypatch.setattr(output_limit, "SHOWN_BYTES", 100)


def stream(text, name="stdout"):
    return {"msg_type": "stream", "content": {"name": name, "text": text}}


def figure(**data):
    return {"msg_type": "display_data", "content": {"data": data, "metadata": {}}}


def cell_of(*messages):
    """A cell with the outputs of these messages."""
    limit, cell = OutputLimit(), nbformat.v4.new_code_cell()
    for message in filter(None, map(limit.admit, messages)):
        cell.outputs.append(nbformat.v4.output_from_msg({"header": {"msg_type": message["msg_type"]}, **message}))
    limit.end(cell)
    return cell


def text_of(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.mark.parametrize("pieces", [["0123456789"], ["01234", "56789", "abcdefghij"], ["0123456789abcdefghij"]])
def test_text_that_fits_is_kept_as_it_is(pieces):
    assert text_of(cell_of(*map(stream, pieces))) == "".join(pieces)


@pytest.mark.parametrize("length", [1, 3, 7, 1000])
def test_of_longer_text_the_beginning_and_the_end_are_kept_and_the_rest_is_counted(length):
    whole = "".join(f"{number:05}" for number in range(500))
    pieces = [whole[start : start + length] for start in range(0, len(whole), length)]
    told = text_of(cell_of(*map(stream, pieces)))
    assert told.startswith(whole[:10] + "\n… 2,480 characters left out: of a cell's text the first 10 and the last 10")
    assert told.endswith("…\n" + whole[-10:])


def test_the_end_keeps_which_stream_it_was():
    cell = cell_of(stream("x" * 50), stream("warn", "stderr"), stream("ing", "stderr"), stream("end"))
    assert [(output.name, output.text[-7:]) for output in cell.outputs][-2:] == [
        ("stderr", "warning"),
        ("stdout", "end"),
    ]


def test_errors_and_scraps_are_always_kept_and_what_is_too_large_is_named():
    error = {"msg_type": "error", "content": {"ename": "E", "evalue": "x" * 500, "traceback": []}}
    scrap = figure(**{"application/scrapbook.scrap.json+json": {"name": "a", "data": "x" * 500}})
    cell = cell_of(error, scrap, figure(**{"image/png": "x" * 90}), figure(**{"image/png": "x" * 90}))
    kinds = [dict(output.get("data", {"error": output.get("evalue")})) for output in cell.outputs]
    assert kinds[0]["error"] == "x" * 500 and "application/scrapbook.scrap.json+json" in kinds[1]
    assert kinds[2:] == [
        {"image/png": "x" * 90},
        {"text/plain": "… an output of 90 B left out: of what a cell shows 100 B are kept …"},
    ]


def test_what_is_cleared_takes_no_room():
    cleared = {"msg_type": "clear_output", "content": {"wait": False}}
    limit = OutputLimit()
    for _ in range(10):
        assert limit.admit(stream("0123456789")) is not None
        limit.admit(stream("more"))
        limit.admit(cleared)


@given(st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["stdout", "stderr"])), max_size=30))
def test_never_more_is_kept_than_allowed_and_nothing_is_invented(pieces):
    whole = "".join(text for text, _ in pieces)
    told = text_of(cell_of(*(stream(text, name) for text, name in pieces)))
    if len(whole) <= 20:
        assert told == whole
    else:
        assert told.startswith(whole[:10]) and told.endswith(whole[-10:])
        assert len(told) < 250

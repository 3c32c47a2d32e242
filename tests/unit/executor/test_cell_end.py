"""How a cell ended, and with it the attempt: judged by the kernel's reply."""

import pytest

from stagebook.errors import StageEnd
from stagebook.executor.cell_end import CellEnd, cell_end, outcome_of
from stagebook.model.record import AttemptStatus as A

OK = {"status": "ok", "payload": []}
SHOWN = {"output_type": "error", "ename": "KeyError", "evalue": "'shown'", "traceback": []}
ARROW = "----> \x1b[32m2\x1b[39m \x1b[38;5;28;01massert\x1b[39;00m rows > \x1b[32m0\x1b[39m"


def error(kind, message="", *, payload=(), traceback=()):
    return {"status": "error", "ename": kind, "evalue": message, "payload": payload, "traceback": list(traceback)}


def asks_exit(keepkernel=False, status="ok"):
    return {**error("KeyError"), "status": status, "payload": [{"source": "ask_exit", "keepkernel": keepkernel}]}


def stderr(text):
    return {"output_type": "stream", "name": "stderr", "text": text}


@pytest.mark.parametrize(
    ("reply", "outputs", "expected"),
    [
        (OK, [], CellEnd("completed")),
        (OK, [SHOWN], CellEnd("completed")),
        (error("ValueError", "no rows"), [], CellEnd("failed", "ValueError", "no rows")),
        (error("ValueError", "no rows"), [SHOWN], CellEnd("failed", "ValueError", "no rows")),
        (error("UsageError", "no such magic"), [], CellEnd("failed", "UsageError", "no such magic")),
        (error("NoneType", "None"), [SHOWN], CellEnd("failed", "KeyError", "'shown'")),
        ({"status": "aborted"}, [], CellEnd("failed", "CellAborted", "the kernel answered 'aborted'")),
        (None, [], CellEnd("failed", "NoReply", "the kernel did not say how the cell ended")),
        (None, [SHOWN], CellEnd("failed", "KeyError", "'shown'")),
        (asks_exit(), [], CellEnd("exited", call="exit()")),
        (asks_exit(None), [], CellEnd("exited", call="exit()")),
        (asks_exit(True), [], CellEnd("exited", call="exit()")),
        (asks_exit(0), [], CellEnd("exited", call="exit()")),
        (asks_exit(3), [], CellEnd("exited", call="exit()", exit_status=3)),
        (asks_exit("no data"), [], CellEnd("exited", message="no data", call="exit()", exit_status=1)),
        (asks_exit(status="error"), [], CellEnd("failed", "KeyError", "no message")),
        (error("SystemExit"), [], CellEnd("exited", call="sys.exit()")),
        (error("SystemExit", "None"), [], CellEnd("exited", call="sys.exit()")),
        (error("SystemExit", "0"), [], CellEnd("exited", call="sys.exit()")),
        (error("SystemExit", "True"), [], CellEnd("exited", call="sys.exit()", exit_status=1)),
        (error("SystemExit", "-1"), [], CellEnd("exited", call="sys.exit()", exit_status=-1)),
        (error("SystemExit", "no data"), [], CellEnd("exited", message="no data", call="sys.exit()", exit_status=1)),
        (
            error("SystemExit", "2"),
            [stderr("usage: x\nx: error: -q?\nUserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n")],
            CellEnd("exited", message="the last line on stderr: x: error: -q?", call="sys.exit()", exit_status=2),
        ),
        (
            error("StageEnd", "nothing today", traceback=[StageEnd.shown("nothing today")]),
            [],
            CellEnd("stage_end", message="nothing today"),
        ),
        (error("StageEnd", "mine", traceback=["a class of the user"]), [], CellEnd("failed", "StageEnd", "mine")),
        (error("NotebookExit", "1"), [], CellEnd("failed", "NotebookExit", "1")),
        (error("KeyboardInterrupt"), [], CellEnd("failed", "KeyboardInterrupt", "an interrupt (SIGINT) that did not come from the run")),
        (error("AssertionError", traceback=[ARROW]), [], CellEnd("failed", "AssertionError", "no message; raised by `assert rows > 0`")),
        (
            error("TimeoutError", " "),
            [stderr("connecting\ngave up\n\n")],
            CellEnd("failed", "TimeoutError", "no message; the last line on stderr: gave up"),
        ),
    ],
)  # fmt: skip
def test_the_reply_decides_how_a_cell_ended(reply, outputs, expected):
    assert cell_end(reply, outputs) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error("ValueError", "expected"), CellEnd("completed")),
        (asks_exit(status="error"), CellEnd("exited", call="exit()")),
        (error("SystemExit", "1"), CellEnd("exited", call="sys.exit()", exit_status=1)),
    ],
)
def test_a_cell_that_may_raise_goes_on_unless_its_kernel_ends(reply, expected):
    assert cell_end(reply, [SHOWN], allows_error=True) == expected


def test_an_exit_as_on_databricks_is_one_only_with_the_shim():
    assert cell_end(error("NotebookExit", "1"), [], has_dbutils=True) == CellEnd("notebook_exit", message="1")


EXIT = CellEnd("exited", call="exit()")


@pytest.mark.parametrize(
    ("end", "cells_after", "may_exit", "expected"),
    [
        (CellEnd("completed"), 0, False, None),
        (CellEnd("failed", "KeyError", "'x'"), 1, True, (A.FAILED, "KeyError", "'x'", None)),
        (CellEnd("stage_end", message="no rows"), 1, False, (A.SUCCEEDED, None, None, "no rows")),
        (CellEnd("stage_end", message="no rows"), 0, False, (A.SUCCEEDED, None, None, "no rows")),
        (CellEnd("notebook_exit", message="1"), 1, False, (A.SUCCEEDED, None, None, None)),
        (EXIT, 0, False, (A.SUCCEEDED, None, None, None)),
        (EXIT, 0, True, (A.SUCCEEDED, None, None, None)),
        (EXIT, 1, True, (A.SUCCEEDED, None, None, "exit() in cell 2")),
        (EXIT, 1, False, (A.FAILED, "EarlyExit", "exit() ended the notebook: 1 cell after it did not run.", None)),
        (EXIT, 2, False, (A.FAILED, "EarlyExit", "exit() ended the notebook: 2 cells after it did not run.", None)),
        (CellEnd("exited", call="exit()", exit_status=3), 0, True, (A.FAILED, "SystemExit", "exit() with exit status 3", None)),
        (
            CellEnd("exited", message="no data", call="sys.exit()", exit_status=1), 1, True,
            (A.FAILED, "SystemExit", "sys.exit() with exit status 1: no data", None),
        ),
    ],
)  # fmt: skip
def test_an_end_of_a_cell_is_the_end_of_the_attempt_unless_it_is_completed(end, cells_after, may_exit, expected):
    outcome = outcome_of(end, stage="train", cell=2, cells_after=cells_after, may_exit=may_exit)
    if outcome is None:
        assert expected is None
        return
    error = outcome.error or {"type": None, "message": None}
    first_line = error["message"] and error["message"].splitlines()[0]
    assert (outcome.status, error["type"], first_line, outcome.ended_early) == expected


def test_an_early_exit_says_both_ways_to_mean_it():
    outcome = outcome_of(EXIT, stage="train", cell=2, cells_after=1, may_exit=False)
    assert 'stage.end("why")' in outcome.error["message"]
    assert "stages.train.early_exit: success" in outcome.error["message"]

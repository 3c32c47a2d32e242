"""How a cell ended, and with it the attempt: pure decisions over the kernel's reply to the cell.

The reply decides, never the outputs: a notebook may show an error that it has handled, or raise one in a cell that is
tagged for it. Outputs only lend their words where a reply has none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from stagebook.dbutils import NotebookExit
from stagebook.errors import StageEnd
from stagebook.executor.job import Outcome
from stagebook.formatting import counted, first_line, without_ansi
from stagebook.model.record import AttemptStatus

if TYPE_CHECKING:
    from nbformat import NotebookNode

EARLY_EXIT = "EarlyExit"
"""Type of the error of a notebook that ended before its last cell without saying that it may."""

ALLOWS_ERROR = "raises-exception"
"""Tag of a cell that may raise an error, after which the notebook goes on."""

_SENTENCES = {"KeyboardInterrupt": "an interrupt (SIGINT) that did not come from the run"}
_EXIT_WARNING = "To exit: use 'exit', 'quit', or Ctrl-D."
_ARROW = re.compile(r"^-+> *\d+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class CellEnd:
    """How a cell ended.

    `completed`: the next cell follows. `failed`: with an error, of `kind` and `message`. `exited`: it ended the kernel
    by `call`, with `exit_status`; `message` says more, if there is more. `stage_end`: `stage.end` ended the stage,
    `message` is the reason. `notebook_exit`: `dbutils.notebook.exit` ended the notebook, `message` is its value.
    """

    how: Literal["completed", "failed", "exited", "stage_end", "notebook_exit"]
    kind: str = ""
    message: str = ""
    call: str = ""
    exit_status: int = 0

    def show_in(self, cell: "NotebookNode") -> None:
        """Say below the cell that the notebook ended here, in place of the error by which it did."""
        match self.how:
            case "stage_end":
                words = StageEnd.shown(self.message)
            case "notebook_exit":
                words = f"Notebook exited: {self.message}"
            case _:
                words = f"The notebook ends here: {self.call}"
        shown = {"output_type": "stream", "name": "stdout", "text": f"{words}\n"}
        outputs = [output for output in cell.outputs if output.output_type != "error"]
        cell.outputs = [*outputs, type(cell)(shown)]


COMPLETED = CellEnd("completed")


def cell_end(
    reply: Mapping[str, Any] | None,
    outputs: Sequence[Mapping[str, Any]],
    *,
    allows_error: bool = False,
    has_dbutils: bool = False,
) -> CellEnd:
    """How a cell ended.

    Args:
        reply: the content of the kernel's `execute_reply`; None where the kernel is idle again and has sent none.
        allows_error: the cell may raise an error.
        has_dbutils: the kit has put the dbutils shim into the notebook, so that its `NotebookExit` is an exit.
    """
    if reply is None:
        kind, message = _shown_error(outputs) or ("NoReply", "the kernel did not say how the cell ended")
        return CellEnd("failed", kind, message)
    exit_asked = next((asked for asked in reply.get("payload") or () if asked.get("source") == "ask_exit"), None)
    if reply["status"] == "ok":
        return COMPLETED if exit_asked is None else _exit_by_payload(exit_asked)
    kind, message = str(reply.get("ename", "")), str(reply.get("evalue", ""))
    if kind == SystemExit.__name__:
        return _exit_by_error(message, last_stderr_line(outputs))
    if kind == StageEnd.__name__ and (reply.get("traceback") or [StageEnd.shown(message)]) == [StageEnd.shown(message)]:
        return CellEnd("stage_end", message=message)
    if kind == NotebookExit.__name__ and has_dbutils:
        return CellEnd("notebook_exit", message=message)
    if allows_error:
        return COMPLETED if exit_asked is None else _exit_by_payload(exit_asked)
    if kind in ("", "NoneType"):  # an error while the cell's value was shown, or a cell that was not run at all
        kind, message = _shown_error(outputs) or ("CellAborted", f"the kernel answered '{reply['status']}'")
    return CellEnd("failed", kind, message if message.strip() else _without_message(kind, reply, outputs))


def outcome_of(
    end: CellEnd, *, cell: int | None, cells_after: int, stage: str = "…", may_exit: bool = False
) -> Outcome | None:
    """How the attempt ended with this cell; None if the next cell follows.

    Args:
        cells_after: how many cells with code follow.
        may_exit: an exit with status 0 ends the stage early and successfully.
    """
    match end.how:
        case "completed":
            return None
        case "failed":
            return Outcome.failed(AttemptStatus.FAILED, end.kind, end.message, cell)
        case "stage_end":
            return Outcome(AttemptStatus.SUCCEEDED, ended_early=first_line(end.message) or "no reason given")
        case "exited" if end.exit_status:
            message = f"{end.call} with exit status {end.exit_status}" + (f": {end.message}" if end.message else "")
            return Outcome.failed(AttemptStatus.FAILED, SystemExit.__name__, message, cell)
        case "exited" if cells_after and not may_exit:
            return Outcome.failed(AttemptStatus.FAILED, EARLY_EXIT, _early_exit(end.call, stage, cells_after), cell)
        case "exited" if cells_after:
            return Outcome(AttemptStatus.SUCCEEDED, ended_early=f"{end.call} in cell {cell}")
    return Outcome(AttemptStatus.SUCCEEDED)


def _early_exit(call: str, stage: str, cells_after: int) -> str:
    return (
        f"{call} ended the notebook: {counted(cells_after, 'cell')} after it did not run.\n"
        '  To end a stage early on purpose: stage.end("why") in the notebook (from stagebook import stage),\n'
        f"  or in the parameter file: stages.{stage}.early_exit: success"
    )


def _exit_by_payload(asked: Mapping[str, Any]) -> CellEnd:
    """`exit()` and its like, which do not raise; to IPython their argument says whether the kernel is kept alive."""
    status, call = asked.get("keepkernel"), "exit()"
    if isinstance(status, bool) or not status:
        return CellEnd("exited", call=call)
    if isinstance(status, int):
        return CellEnd("exited", call=call, exit_status=status)
    return CellEnd("exited", message=str(status), call=call, exit_status=1)


def _exit_by_error(value: str, stderr_line: str) -> CellEnd:
    """`sys.exit(value)`: nothing and 0 are a success, a text is the reason of a failure."""
    call = "sys.exit()"
    if value in ("", "None", "0", "False"):
        return CellEnd("exited", call=call)
    if value == "True" or re.fullmatch(r"-?\d+", value):
        said = f"the last line on stderr: {stderr_line}" if stderr_line else ""
        return CellEnd("exited", message=said, call=call, exit_status=1 if value == "True" else int(value))
    return CellEnd("exited", message=value, call=call, exit_status=1)


def _shown_error(outputs: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Type and message of the last error that the cell has shown."""
    errors = [output for output in outputs if output["output_type"] == "error"]
    return (errors[-1]["ename"], errors[-1]["evalue"]) if errors else None


def _without_message(kind: str, reply: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> str:
    """Words for an error that has none of its own: the line that raised it, and the last line on stderr."""
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    raised = _ARROW.findall(without_ansi("\n".join(reply.get("traceback") or ())))
    words = [f"raised by `{raised[-1].strip()}`"] if raised else []
    if last := last_stderr_line(outputs):
        words.append(f"the last line on stderr: {last}")
    return f"no message; {'; '.join(words)}" if words else "no message"


def last_stderr_line(outputs: Sequence[Mapping[str, Any]]) -> str:
    """The last line with something in it that the cell has written to stderr; not IPython's own, of `sys.exit`."""
    written = "".join(
        output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == "stderr"
    )
    lines = [line.strip() for line in without_ansi(written[-20_000:]).splitlines()]
    return next((line for line in reversed(lines) if line and _EXIT_WARNING not in line), "")

"""Notices of how a run ended, through apprise. They never change the outcome, never raise, never tell a secret.

Where to is a secret and stands in the environment: `STAGEBOOK_NOTIFY_URLS`, separated by blanks or commas.
Many services carry a token where others have a host, so of an address only the scheme is ever shown.
"""

import logging
import re
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from stagebook.model.record import RunRecord, RunStatus, StageRecord, StageStatus

VARIABLE = "STAGEBOOK_NOTIFY_URLS"
MAX_LINES = 20
MAX_LINE = 500

Kind = Literal["success", "failure", "gate_refused", "interrupted"]

_HEADLINE: dict[Kind, str] = {
    "success": "succeeded",
    "failure": "failed",
    "gate_refused": "the gate refused the model",
    "interrupted": "interrupted",
}
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BETWEEN = re.compile(r"\s+|,+(?=[A-Za-z][A-Za-z0-9+.-]*://)")  # a comma may also stand within an address
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,15}(?=://)")
_STATUS = re.compile(r"error=(\d{3})\b")

_heard: ContextVar[list[str] | None] = ContextVar("_heard", default=None)
"""What the libraries log while one notice is sent; None elsewhere."""


@dataclass(frozen=True)
class Notice:
    """What is told: plain text, the kind decides the icon."""

    kind: Kind
    title: str
    body: str


def plan(
    record: RunRecord, config: Mapping[str, Any], *, report: object = None, resume_command: str | None = None
) -> Notice | None:
    """The notice for a finished run, or None where its kind is not asked for.

    Args:
        config: the `notifications` of the parameter file; `on` names the kinds.
        report: path of the run report, named in the body.
        resume_command: named in the body of a failure or an interruption; None: built from the record.
    """
    kind = _kind(record)
    if kind is None or kind not in config.get("on", ()):
        return None
    failed = [stage for stage in record.stages.values() if stage.status is StageStatus.FAILED]
    title = f"{record.pipeline}: {_HEADLINE[kind]}"
    if kind == "failure" and failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        title += f" in stage {_where(failed[0])}{more}"
    lines = [f"run {record.run_id}, exit status {record.exit_code}", *map(_failure, failed[:MAX_LINES])]
    match kind:
        case "success":
            lines.append(_counts(record))
        case "gate_refused":
            lines += _refusals(record)
        case _:
            lines.append(f"resume with: {resume_command or _resume(record)}")
    if report is not None:
        lines.append(f"report: {report}")
    return Notice(kind, _line(title), "\n".join(map(_line, lines)))


def urls(environ: Mapping[str, str]) -> list[str]:
    """The addresses in the environment, in apprise's notation."""
    found = (address.strip(",") for address in _BETWEEN.split(environ.get(VARIABLE, "")))
    return [address for address in found if address]


def send(notice: Notice, addresses: Sequence[str], *, timeout: float) -> list[str]:
    """Send a notice to every address at once; what went wrong comes back in words without secrets.

    Args:
        timeout: seconds for all addresses together; who has not answered by then is given up.
    """
    deadline = time.monotonic() + timeout
    _keep_quiet()
    outcomes: dict[int, str | None] = {}
    threads = [
        threading.Thread(target=_send_one, args=(notice, address, place, outcomes), daemon=True)
        for place, address in enumerate(addresses)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    whys = [outcomes.get(place, f"no answer in {timeout:g} s") for place in range(len(addresses))]
    return [
        f"notice {place} of {len(addresses)} ({masked(address)}): {why}"
        for place, (address, why) in enumerate(zip(addresses, whys, strict=True), start=1)
        if why is not None
    ]


def masked(address: str) -> str:
    """Of an address what is no secret: its scheme."""
    scheme = _SCHEME.match(address)
    return f"{scheme[0]}://…" if scheme else "…"


def _send_one(notice: Notice, address: str, place: int, outcomes: dict[int, str | None]) -> None:
    """Send to one address and note why it failed, or None. Runs in a thread of its own."""
    heard: list[str] = []
    _heard.set(heard)
    try:
        from apprise import Apprise, NotifyFormat, NotifyType

        icon = {"success": NotifyType.SUCCESS, "failure": NotifyType.FAILURE}.get(notice.kind, NotifyType.WARNING)
        sender = Apprise()
        if not sender.add(address):
            outcomes[place] = "this is not an address that apprise knows"
        elif sender.notify(title=notice.title, body=notice.body, notify_type=icon, body_format=NotifyFormat.TEXT):
            outcomes[place] = None
        else:
            outcomes[place] = _why(heard)
    except Exception as error:  # a plugin may raise anything; the run has ended all the same
        outcomes[place] = f"{type(error).__name__} while sending"


def _why(heard: Sequence[str]) -> str:
    """A reason in our own words, because the library's may quote the address."""
    text = "\n".join(heard)
    if status := _STATUS.search(text):
        return f"it was not accepted (HTTP status {status[1]})"
    return "it could not be reached" if "onnection error" in text else "it was not accepted"


class _Quiet(logging.Filter):
    """Keeps what is logged while a notice is sent out of every log: the libraries quote addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        heard = _heard.get()
        if heard is None:
            return True
        heard.append(record.getMessage())
        return False


_QUIET = _Quiet()


def _keep_quiet() -> None:
    for name in ("apprise", "urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_QUIET)


def _kind(record: RunRecord) -> Kind | None:
    match record.status, record.exit_code:
        case RunStatus.SUCCEEDED, _:
            return "success"
        case RunStatus.FAILED, 4:
            return "gate_refused"
        case RunStatus.FAILED, _:
            return "failure"
        case RunStatus.INTERRUPTED, _:
            return "interrupted"
    return None


def _failure(stage: StageRecord) -> str:
    error = _error(stage)
    said = f"{error['type']}: {_first_line(error.get('message'))}" if error.get("type") else _first_line(stage.why)
    return f"stage {stage.name} failed{_at(stage)}: {said}"


def _refusals(record: RunRecord) -> list[str]:
    rules = [rule for rule in (record.gate or {}).get("rules") or () if isinstance(rule, Mapping)]
    refused = [rule for rule in rules if not rule.get("passed")]
    return [f"{rule.get('rule')}: {rule.get('why')}" for rule in refused[:MAX_LINES]]


def _counts(record: RunRecord) -> str:
    states = [stage.status for stage in record.stages.values()]
    return ", ".join(f"{states.count(state)} {state.value}" for state in StageStatus if state in states) + " stages"


def _resume(record: RunRecord) -> str:
    folder = record.request.get("runs_dir")
    return shlex.join(["stagebook", "run", *(["--runs-dir", folder] if folder else []), "--resume", record.run_id])


def _where(stage: StageRecord) -> str:
    cell = _error(stage).get("cell")
    return f"{stage.name}, cell {cell}" if cell else stage.name


def _at(stage: StageRecord) -> str:
    cell = _error(stage).get("cell")
    return f" in cell {cell}" if cell else ""


def _error(stage: StageRecord) -> dict[str, Any]:
    error = stage.attempts[-1].error if stage.attempts else None
    return error if isinstance(error, dict) else {}


def _first_line(text: object) -> str:
    lines = str(text or "").strip().splitlines()
    return lines[0] if lines else ""


def _line(text: str) -> str:
    """One line of plain text: a subject or a chat message takes no control characters."""
    plain = "".join(char if char.isprintable() else " " for char in _ANSI.sub("", text))
    return plain if len(plain) <= MAX_LINE else f"{plain[:MAX_LINE]}…"

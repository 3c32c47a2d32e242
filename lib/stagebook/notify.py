"""Send notices of how a run ended, through apprise. A notice never changes the outcome, raises or reveals a secret.

The addresses are secret and come from the environment: `STAGEBOOK_NOTIFY_URLS`, separated by blanks or commas.
Many services have a token where others have a host, so only the scheme of an address is ever shown.
"""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from stagebook.config.request import RunRequest
from stagebook.formatting import first_line, without_ansi
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
_SEPARATOR = re.compile(r"\s+|,+(?=[A-Za-z][A-Za-z0-9+.-]*://)")  # an address may contain a comma
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,15}(?=://)")
_STATUS = re.compile(r"error=(\d{3})\b")

_captured_logs: ContextVar[list[str] | None] = ContextVar("_captured_logs", default=None)
"""What the libraries log while one notice is sent; None while none is."""


@dataclass(frozen=True)
class Notice:
    """A message in plain text; its kind decides the icon."""

    kind: Kind
    title: str
    body: str


def notice_for(
    record: RunRecord, config: Mapping[str, Any], *, report: object = None, resume_command: str | None = None
) -> Notice | None:
    """The notice for a finished run, or None if notices of its kind are not configured.

    Args:
        config: the `notifications` of the parameter file; `on` lists the kinds.
        report: path of the run report, for the body.
        resume_command: for the body of a failure or an interruption (default: built from the record).
    """
    kind = _kind(record)
    if kind is None or kind not in config.get("on", ()):
        return None
    failed = [stage for stage in record.stages.values() if stage.status is StageStatus.FAILED]
    title = f"{record.pipeline}: {_HEADLINE[kind]}"
    if kind == "failure" and failed:
        further = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        title += f" in stage {_failure_location(failed[0])}{further}"
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
    addresses = (address.strip(",") for address in _SEPARATOR.split(environ.get(VARIABLE, "")))
    return [address for address in addresses if address]


def send(notice: Notice, addresses: Sequence[str], *, timeout: float) -> list[str]:
    """Send a notice to all addresses at the same time and return the problems, described without secrets.

    Args:
        timeout: seconds for all addresses together; one that has not answered by then counts as a problem.
    """
    deadline = time.monotonic() + timeout
    _capture_library_logs()
    outcomes: dict[int, str | None] = {}
    threads = [
        threading.Thread(target=_send_to_address, args=(notice, address, index, outcomes), daemon=True)
        for index, address in enumerate(addresses)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    problems = [outcomes.get(index, f"no answer in {timeout:g} s") for index in range(len(addresses))]
    return [
        f"notice {number} of {len(addresses)} ({masked(address)}): {problem}"
        for number, (address, problem) in enumerate(zip(addresses, problems, strict=True), start=1)
        if problem is not None
    ]


def masked(address: str) -> str:
    """The part of an address that is not secret: its scheme."""
    scheme = _SCHEME.match(address)
    return f"{scheme[0]}://…" if scheme else "…"


def _send_to_address(notice: Notice, address: str, index: int, outcomes: dict[int, str | None]) -> None:
    """Send to one address and put the problem, or None, into `outcomes`. Runs in a thread of its own."""
    logs: list[str] = []
    _captured_logs.set(logs)
    try:
        from apprise import Apprise, NotifyFormat, NotifyType

        icon = {"success": NotifyType.SUCCESS, "failure": NotifyType.FAILURE}.get(notice.kind, NotifyType.WARNING)
        sender = Apprise()
        if not sender.add(address):
            outcomes[index] = "this is not an address that apprise knows"
        elif sender.notify(title=notice.title, body=notice.body, notify_type=icon, body_format=NotifyFormat.TEXT):
            outcomes[index] = None
        else:
            outcomes[index] = _failure_reason(logs)
    except Exception as error:  # a plugin may raise anything, and must not change the outcome of the run
        outcomes[index] = f"{type(error).__name__} while sending"


def _failure_reason(logs: Sequence[str]) -> str:
    """The reason in our own words, because the library's message may quote the address."""
    text = "\n".join(logs)
    if status := _STATUS.search(text):
        return f"it was not accepted (HTTP status {status[1]})"
    return "it could not be reached" if "onnection error" in text else "it was not accepted"


class _CaptureFilter(logging.Filter):
    """Capture what is logged while a notice is sent, and keep it out of every log: the libraries quote addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        logs = _captured_logs.get()
        if logs is None:
            return True
        logs.append(record.getMessage())
        return False


_CAPTURE_FILTER = _CaptureFilter()


def _capture_library_logs() -> None:
    for name in ("apprise", "urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_CAPTURE_FILTER)


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
    reason = (
        f"{error['type']}: {first_line(error.get('message') or '')}" if error.get("type") else first_line(stage.why)
    )
    cell = f" in cell {error['cell']}" if error.get("cell") else ""
    return f"stage {stage.name} failed{cell}: {reason}"


def _refusals(record: RunRecord) -> list[str]:
    rules = [rule for rule in (record.gate or {}).get("rules") or () if isinstance(rule, Mapping)]
    failed = [rule for rule in rules if not rule.get("passed")]
    return [f"{rule.get('rule')}: {rule.get('why')}" for rule in failed[:MAX_LINES]]


def _counts(record: RunRecord) -> str:
    states = [stage.status for stage in record.stages.values()]
    return ", ".join(f"{states.count(state)} {state.value}" for state in StageStatus if state in states) + " stages"


def _resume(record: RunRecord) -> str:
    return RunRequest.from_json(record.request).resume_command("stagebook run", record.run_id)


def _failure_location(stage: StageRecord) -> str:
    cell = _error(stage).get("cell")
    return f"{stage.name}, cell {cell}" if cell else stage.name


def _error(stage: StageRecord) -> dict[str, Any]:
    error = stage.attempts[-1].error if stage.attempts else None
    return error if isinstance(error, dict) else {}


def _line(text: str) -> str:
    """One line of plain text, at most `MAX_LINE` characters: a subject takes no control characters."""
    plain = "".join(char if char.isprintable() else " " for char in without_ansi(text))
    return plain if len(plain) <= MAX_LINE else f"{plain[:MAX_LINE]}…"

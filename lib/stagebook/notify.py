"""Notices of how a run ended, through apprise. They never change the outcome and never raise.

Where to is a secret and stands in the environment: `STAGEBOOK_NOTIFY_URLS`, separated by blanks.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stagebook.model.record import RunRecord, RunStatus, StageStatus

VARIABLE = "STAGEBOOK_NOTIFY_URLS"
Kind = Literal["success", "failure", "gate_refused", "interrupted"]


@dataclass(frozen=True)
class Notice:
    """What is told: plain text, the kind decides the icon."""

    kind: Kind
    title: str
    body: str


def plan(record: RunRecord, config: Mapping[str, Any]) -> Notice | None:
    """The notice for a finished run, or None where its kind is not asked for.

    Args:
        config: the `notifications` of the parameter file; `on` names the kinds.
    """
    kind = _kind(record)
    if kind is None or kind not in config.get("on", ()):
        return None
    return Notice(kind, f"{record.pipeline}: {_HEADLINE[kind]}", "\n".join(_lines(record, kind)))


_HEADLINE: dict[Kind, str] = {
    "success": "succeeded",
    "failure": "failed",
    "gate_refused": "the gate refused the model",
    "interrupted": "interrupted",
}


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


def _lines(record: RunRecord, kind: Kind) -> list[str]:
    lines = [f"run {record.run_id}, exit status {record.exit_code}"]
    for name, stage in record.stages.items():
        if stage.status is StageStatus.FAILED:
            error = (stage.attempts[-1].error if stage.attempts else None) or {}
            at = f" in cell {error['cell']}" if error.get("cell") else ""
            lines.append(f"stage {name} failed{at}: {stage.why}")
    if kind == "gate_refused" and record.gate:
        lines += [f"{rule['rule']}: {rule['why']}" for rule in record.gate["rules"] if not rule["passed"]]
    if kind in ("failure", "interrupted"):
        lines.append(f"resume with: stagebook run --resume {record.run_id}")
    return lines


def urls(environ: Mapping[str, str]) -> list[str]:
    """The addresses in the environment, in apprise's notation."""
    return environ.get(VARIABLE, "").split()


def send(notice: Notice, addresses: Sequence[str], *, timeout: float) -> list[str]:
    """Send a notice to every address at once; what went wrong comes back in words.

    Args:
        timeout: seconds after which an address that has not answered is given up.
    """
    problems: dict[str, str] = dict.fromkeys(addresses, f"no answer in {timeout:g} s")
    threads = [
        threading.Thread(target=_send_one, args=(notice, address, problems), daemon=True) for address in addresses
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
    return [f"notice to {masked(address)}: {why}" for address, why in list(problems.items())]


def _send_one(notice: Notice, address: str, problems: dict[str, str]) -> None:
    """Send to one address, and strike it from the problems if that went well."""
    from apprise import Apprise, NotifyType

    icon = {"success": NotifyType.SUCCESS, "failure": NotifyType.FAILURE}.get(notice.kind, NotifyType.WARNING)
    try:
        sender = Apprise()
        if not sender.add(address):
            problems[address] = "this is not an address that apprise knows"
        elif sender.notify(title=notice.title, body=notice.body, notify_type=icon):
            del problems[address]
        else:
            problems[address] = "it was not accepted"
    except Exception as error:  # a plugin may raise anything; the run has ended all the same
        problems[address] = masked(f"{type(error).__name__}: {error}")


_SECRET = re.compile(r"(\w+://)([^/\s@]*@)?([^/\s?]*)([^\s]*)")


def masked(text: str) -> str:
    """The text with user, password, path and query of every URL left out."""
    return _SECRET.sub(lambda m: f"{m[1]}{'…@' if m[2] else ''}{_host(m[3], known=bool(m[2]))}", text)


def _host(host: str, *, known: bool) -> str:
    """Many services carry a token where a host stands: it is shown only if it looks like a host."""
    return host if known or re.fullmatch(r"[\w.-]+\.\w{2,}(:\d+)?|localhost(:\d+)?|[\d.]+(:\d+)?", host) else "…"

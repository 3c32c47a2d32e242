"""Spark for the attempts of a run: whether it is needed, where it is, and whether it made an attempt fail."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stagebook.executor.job import Outcome
from stagebook.formatting import first_line
from stagebook.model.pipeline import Pipeline, SparkSettings
from stagebook.model.record import AttemptStatus

if TYPE_CHECKING:
    from stagebook.spark.server import Server

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class SparkEndpoint:
    """What a kernel needs to reach Spark; `pid` is the server's on this machine, None elsewhere."""

    settings: SparkSettings
    environment: dict[str, str]
    pid: int | None = None


class RunStopped(Exception):
    """The run was stopped before Spark was there."""


def require_java(pipeline: Pipeline, stages: Iterable[str]) -> None:
    """Refuse a run whose stages ask for a Spark server of this machine, where none can start.

    Raises:
        JavaMissing: see `java.home`.
    """
    if _needs_server(pipeline, stages):
        from stagebook.spark import java

        java.home()


def start_in_background(pipeline: Pipeline, stages: Iterable[str]) -> None:
    """Start the server of this machine in the background, if a stage asks for it; that stage reports a failure."""
    if _needs_server(pipeline, stages):
        _start(pipeline.spark)


def endpoint(settings: SparkSettings, stop: threading.Event) -> SparkEndpoint:
    """Where the next attempt computes; the server of this machine is started if need be.

    Raises:
        JavaMissing, SparkUnavailable: see `server.ensure`.
        RunStopped: `stop` was set meanwhile.
    """
    if not settings.needs_server:
        return SparkEndpoint(settings, {})
    from stagebook.spark import session

    starting = _start(settings)
    while not wait([starting], _POLL_SECONDS).done:
        if stop.is_set():
            raise RunStopped
    server = starting.result()
    return SparkEndpoint(replace(settings, remote=server.remote), {session.TOKEN: server.token}, server.pid)


def attribute_to_spark(outcome: Outcome, settings: SparkSettings, endpoint: SparkEndpoint) -> Outcome:
    """The outcome; where the server ended meanwhile, that is its error, which may be retried."""
    from stagebook.spark import server

    if outcome.status is not AttemptStatus.FAILED or endpoint.pid is None:
        return outcome
    reason = server.end_reason(settings, endpoint.pid)
    if reason is None:
        return outcome
    error = outcome.error or {}
    line = first_line(error.get("message", ""))
    message = f"the Spark server ended while the stage ran: {reason} (the cell: {error.get('type')}: {line})"
    return replace(outcome, error={**error, "type": "SparkDied", "message": message})


def _needs_server(pipeline: Pipeline, stages: Iterable[str]) -> bool:
    """Whether one of these stages names Spark as its engine, on a server of this machine; `auto` does not count."""
    engines = {pipeline.stages[name].engine or pipeline.engine for name in stages}
    return "spark" in engines and pipeline.spark.needs_server


def _start(settings: SparkSettings) -> "Future[Server]":
    """Find or start the server in a thread that delays neither a signal nor the program's end."""
    from stagebook.spark import server

    future: Future[Server] = Future()

    def ensure() -> None:
        try:
            future.set_result(server.ensure(settings))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=ensure, name="spark", daemon=True).start()
    return future

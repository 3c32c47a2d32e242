"""Spark for the attempts of a run: whether it is needed, where it is, and whether it is to blame when one fails."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stagebook.execute.job import Outcome
from stagebook.model.pipeline import Pipeline, SparkSettings
from stagebook.model.record import AttemptStatus

if TYPE_CHECKING:
    from stagebook.engines.spark.server import Server

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class SparkPlace:
    """What a kernel needs to reach Spark; `pid` is the server's on this machine, None elsewhere."""

    settings: SparkSettings
    environment: dict[str, str]
    pid: int | None = None


class Stopped(Exception):
    """The run was stopped before Spark was there."""


def check(pipeline: Pipeline, stages: Iterable[str]) -> None:
    """Refuse a run whose stages ask for a Spark server of this machine, where none can start.

    Raises:
        JavaMissing: see `java.home`.
    """
    if _wanted(pipeline, stages):
        from stagebook.engines.spark import java

        java.home()


def prepare(pipeline: Pipeline, stages: Iterable[str]) -> None:
    """Start the server of this machine beside all else, if a stage asks for it; a failure is told by that stage."""
    if _wanted(pipeline, stages):
        _starting(pipeline.spark)


def place(settings: SparkSettings, stop: threading.Event) -> SparkPlace:
    """Where the next attempt computes; the server of this machine is started if need be.

    Raises:
        JavaMissing, SparkUnavailable: see `server.ensure`.
        Stopped: `stop` was set meanwhile.
    """
    if not settings.needs_server:
        return SparkPlace(settings, {})
    from stagebook.engines.spark import session

    starting = _starting(settings)
    while not wait([starting], _POLL_SECONDS).done:
        if stop.is_set():
            raise Stopped
    found = starting.result()
    return SparkPlace(replace(settings, remote=found.remote), {session.TOKEN: found.token}, found.pid)


def blamed(outcome: Outcome, settings: SparkSettings, place: SparkPlace) -> Outcome:
    """The outcome; where it failed because the server ended meanwhile, that is the error, and it may be retried."""
    from stagebook.engines.spark import server

    if outcome.status is not AttemptStatus.FAILED or place.pid is None:
        return outcome
    why = server.ended(settings, place.pid)
    if why is None:
        return outcome
    error = outcome.error or {}
    first = str(error.get("message", "")).partition("\n")[0]
    message = f"the Spark server ended while the stage ran: {why} (the cell: {error.get('type')}: {first})"
    return replace(outcome, error={**error, "type": "SparkDied", "message": message})


def _wanted(pipeline: Pipeline, stages: Iterable[str]) -> bool:
    """Whether one of these stages asks for a server of this machine by name; `auto` asks for nothing."""
    engines = {pipeline.stages[name].engine or pipeline.engine for name in stages}
    return "spark" in engines and pipeline.spark.needs_server


def _starting(settings: SparkSettings) -> "Future[Server]":
    """The server, found or started in a thread that holds nobody up: neither a signal nor the program's end."""
    from stagebook.engines.spark import server

    future: Future[Server] = Future()

    def ensure() -> None:
        try:
            future.set_result(server.ensure(settings))
        except BaseException as fault:
            future.set_exception(fault)

    threading.Thread(target=ensure, name="spark", daemon=True).start()
    return future

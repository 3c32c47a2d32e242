"""Spark for the attempts of a run: where it is, and whether it is to blame when one fails."""

from dataclasses import dataclass, replace

from stagebook.execute.job import Outcome
from stagebook.model.pipeline import SparkSettings
from stagebook.model.record import AttemptStatus


@dataclass(frozen=True)
class SparkPlace:
    """What a kernel needs to reach Spark; `pid` is the server's on this machine, None elsewhere."""

    settings: SparkSettings
    environment: dict[str, str]
    pid: int | None = None


def place(settings: SparkSettings) -> SparkPlace:
    """Where the next attempt computes; the server of this machine is started if need be.

    Raises:
        JavaMissing, SparkUnavailable: see `server.ensure`.
    """
    from stagebook.engines.spark import server, session

    if not settings.needs_server:
        return SparkPlace(settings, {})
    found = server.ensure(settings)
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

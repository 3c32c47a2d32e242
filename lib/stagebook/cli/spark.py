"""`stagebook spark`: the Spark server of this machine, which stages start by themselves and share."""

import json as jsonlib
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from stagebook.engines.spark.server import Server
    from stagebook.model.pipeline import SparkSettings

app = App(name="spark", help="The Spark server of this machine: start it, see it, stop it.")
Files = Annotated[tuple[str, ...], Parameter(negative=())]


@app.command
def start(*, params: Files = ()) -> int:
    """Start the server, unless it runs, and wait until it answers; stages start it by themselves.

    Exit status: 0 it runs, 1 it does not start, 2 there is no Java 17 or 21, or Spark is elsewhere.

    Parameters
    ----------
    params:
        Parameter file that says how large it is and how long it waits (default: dev.yaml).
    """
    from stagebook.engines.spark import server
    from stagebook.errors import ConfigError

    settings = _settings(params)
    if not settings.needs_server:
        raise ConfigError(f"spark.remote is {settings.remote}: there is no server of this machine to start.")
    print(_to_text(server.ensure(settings)))
    return 0


@app.command
def stop(*, params: Files = ()) -> int:
    """Stop your servers on this machine; what computes on them fails and may be retried.

    Parameters
    ----------
    params:
        Parameter file: stop only its server (default: all that are yours).
    """
    from stagebook.engines.spark import server

    stopped = server.stop(_settings(params) if params else None)
    print("\n".join(f"stopped process {one.pid}" for one in stopped) or "no Spark server runs")
    return 0


@app.command
def status(*, params: Files = (), json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Show your servers on this machine: process, size, address, log.

    Exit status: 0 one runs, 1 none does.

    Parameters
    ----------
    params:
        Parameter file: show only its server (default: all that are yours).
    json:
        Print a list of JSON objects.
    """
    from stagebook.engines.spark import server

    found = [one for one in [server.running(_settings(params))] if one] if params else list(server.everyone())
    if json:
        print(jsonlib.dumps([one.describe() for one in found], indent=2))
    else:
        print("\n".join(map(_to_text, found)) or "no Spark server runs; a stage with the engine spark starts it")
    return 0 if found else 1


def _settings(params: tuple[str, ...]) -> "SparkSettings":
    from stagebook.cli.places import pipeline

    return pipeline(params, None, None).spark


def _to_text(server: "Server") -> str:
    facts = server.describe()
    return "\n".join(
        (
            f"pid      {facts['pid']}",
            f"master   {facts['master']}",
            f"memory   {facts['driver_memory_bytes'] / 1024**3:.1f} GiB",
            f"address  {facts['address']} (on this machine only, with a token)",
            f"idle     ends by itself after {facts['idle_minutes']:g} min without a client",
            f"log      {facts['log']}",
        )
    )

"""`stagebook spark`: the Spark server of this machine, which stages start by themselves and share."""

import json as jsonlib
from typing import TYPE_CHECKING

from cyclopts import App

from stagebook.cli.options import JsonFlag, ParamsOptions

if TYPE_CHECKING:
    from stagebook.spark.server import Server

app = App(name="spark", help="The Spark server of this machine: start it, see it, stop it.")


@app.command
def start(*, options: ParamsOptions = ParamsOptions()) -> int:
    """Start the server, unless it runs, and wait until it answers; stages start it by themselves.

    Exit status: 0 it runs, 1 it does not start, 2 there is no Java 17 or 21, or Spark is elsewhere.
    """
    from stagebook.errors import ConfigError
    from stagebook.spark import server

    settings = options.load().spark
    if not settings.needs_server:
        raise ConfigError(f"spark.remote is {settings.remote}: there is no server of this machine to start.")
    print(_to_text(server.ensure(settings)))
    return 0


@app.command
def stop(*, options: ParamsOptions = ParamsOptions()) -> int:
    """Stop your servers on this machine; what computes on them fails and may be retried."""
    from stagebook.spark import server

    stopped = server.stop(options.load().spark if options.params else None)
    print("\n".join(f"stopped process {ended.pid}" for ended in stopped) or "no Spark server runs")
    return 0


@app.command
def status(*, options: ParamsOptions = ParamsOptions(), json: JsonFlag = False) -> int:
    """Show your servers on this machine: process, size, address, log.

    Exit status: 0 one runs, 1 none does.

    Parameters
    ----------
    json:
        Print a list of JSON objects.
    """
    from stagebook.spark import server

    servers = server.running_servers(options.load().spark if options.params else None)
    if json:
        print(jsonlib.dumps([running.describe() for running in servers], indent=2))
    else:
        print("\n".join(map(_to_text, servers)) or "no Spark server runs; a stage with the engine spark starts it")
    return 0 if servers else 1


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

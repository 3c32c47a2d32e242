"""`stagebook kernels`: the fork servers of this machine, which runs start by themselves and share."""

import json as jsonlib
from typing import Annotated, Any

from cyclopts import App, Parameter

app = App(name="kernels", help="The fork servers of this machine, from which kernels are forked: see them, stop them.")


@app.command
def status(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Show your fork servers: process, memory, what they have imported.

    Exit status: 0 one runs, 1 none does.

    Parameters
    ----------
    json:
        Print a list of JSON objects.
    """
    from stagebook.executor.kernels import fork_server

    servers = fork_server.running_servers()
    if json:
        print(jsonlib.dumps(servers, indent=2))
    else:
        print("\n\n".join(map(_to_text, servers)) or "no fork server runs; `stagebook run` starts one")
    return 0 if servers else 1


@app.command
def stop() -> int:
    """Stop your fork servers; attempts under way go on, later ones start a new server or start afresh."""
    from stagebook.executor.kernels import fork_server

    print("\n".join(f"stopped process {pid}" for pid in fork_server.stop()) or "no fork server runs")
    return 0


def _to_text(facts: dict[str, Any]) -> str:
    if "python" not in facts:
        return f"pid      {facts['pid']}\nproblem  {facts['problem']}"
    lines = [
        f"pid      {facts['pid']}",
        f"python   {facts['python']}",
        f"memory   {facts['rss_bytes'] / 1024**2:.0f} MiB",
        f"modules  {facts['imported']} imported, {facts['to_import']} to come",
        f"forked   {len(facts['workers'])} processes: attempts, prestarted kernels, background workers",
        f"idle     ends by itself after {facts['idle_minutes']:g} min without an attempt",
        f"log      {facts['log']}",
    ]
    lines += [f"skipped  {name}: {reason}" for name, reason in facts["skipped"].items()]
    return "\n".join(lines + ([f"problem  {facts['problem']}"] if facts["problem"] else []))

"""`stagebook host`: the kernel hosts of this machine, which runs start by themselves and share."""

import json as jsonlib
from typing import Annotated, Any

from cyclopts import App, Parameter

app = App(name="host", help="The kernel hosts of this machine, from which kernels are forked: see them, stop them.")


@app.command
def status(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Show your kernel hosts: process, memory, what they have imported.

    Exit status: 0 one runs, 1 none does.

    Parameters
    ----------
    json:
        Print a list of JSON objects.
    """
    from stagebook.execute.host import client

    found = client.everyone()
    if json:
        print(jsonlib.dumps(found, indent=2))
    else:
        print("\n\n".join(map(_to_text, found)) or "no kernel host runs; `stagebook run` starts one")
    return 0 if found else 1


@app.command
def stop() -> int:
    """Stop your kernel hosts; attempts that run go on, later ones start afresh or start a new host."""
    from stagebook.execute.host import client

    print("\n".join(f"stopped process {pid}" for pid in client.stop()) or "no kernel host runs")
    return 0


def _to_text(facts: dict[str, Any]) -> str:
    if "python" not in facts:
        return f"pid      {facts['pid']}\nrefuses  {facts['refuses']}"
    lines = [
        f"pid      {facts['pid']}",
        f"python   {facts['python']}",
        f"memory   {facts['rss_bytes'] / 1024**2:.0f} MiB",
        f"modules  {facts['imported']} imported, {facts['to_import']} to come",
        f"forked   {len(facts['workers'])} processes run: attempts, kernels that wait for theirs, clerks",
        f"idle     ends by itself after {facts['idle_minutes']:g} min without an attempt",
        f"log      {facts['log']}",
    ]
    lines += [f"skipped  {name}: {why}" for name, why in facts["skipped"].items()]
    return "\n".join(lines + ([f"refuses  {facts['refuses']}"] if facts["refuses"] else []))

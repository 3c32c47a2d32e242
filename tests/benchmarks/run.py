"""The benchmarks, side by side in one run, as ratios: `uv run python tests/benchmarks/run.py [NAME …] [--quick]`."""

import json as jsonlib
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import incremental
import joins
import kernels
import pruned_reads
import regret
import sessions
import stages
import tools
from cyclopts import App, Parameter
from rich.console import Console
from side_by_side import Line

ALL = {
    "reads": pruned_reads,
    "engines": regret,
    "sessions": sessions,
    "joins": joins,
    "features": incremental,
    "kernels": kernels,
    "stages": stages,
    "tools": tools,
}
app = App(help=__doc__)


@app.default
def benchmark(
    *names: str,
    quick: Annotated[bool, Parameter(negative=())] = False,
    folder: Path | None = None,
    json: Path | None = None,
) -> None:
    """Run benchmarks and print a line for each variant; nothing else should run on the machine.

    Parameters
    ----------
    names:
        Which: reads, engines, sessions, joins, features, kernels, stages, tools (default: all, about an hour on two
        cores).
    quick:
        Small sizes, to see that they run.
    folder:
        Where tables are kept for the next time (default: a temporary folder).
    json:
        Also write the lines to this file.
    """
    unknown = set(names) - set(ALL)
    if unknown:
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    printed: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="stagebook-benchmarks-") as temporary:
        for name in names or ALL:
            for line in ALL[name].run(folder or Path(temporary), quick=quick):
                printed.append(line)
                Console(width=160, highlight=False).print(_to_text(line))
    if json is not None:
        json.write_text(jsonlib.dumps([asdict(line) for line in printed], indent=2) + "\n", encoding="utf-8")


def _to_text(line: Line) -> str:
    details = ", ".join(f"{key} {value}" for key, value in line.details.items())
    return f"{line.benchmark:14} {line.case:44} {line.variant:24} {line.seconds:9.3f} s {line.ratio:6.2f}  {details}"


if __name__ == "__main__":
    app()

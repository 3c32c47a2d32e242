"""`stagebook batch`: the configurations of a sweep, each an ordinary run, and one comparison of them."""

import json as jsonlib
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from stagebook.cli import cores


def batch(
    *,
    sweep: str | None = None,
    params: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    parameter: Annotated[tuple[str, ...], Parameter(name="-p", negative=())] = (),
    dry_run: Annotated[bool, Parameter(name=("--dry-run", "-n"), negative=())] = False,
    resume: str | None = None,
    jobs: Annotated[int, Parameter(name=("--jobs", "-j"), validator=Number(gte=1))] = 1,
    reuse: Annotated[bool, Parameter(name="--reuse", negative="--no-reuse")] = True,
    retries: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    max_cost: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    engine: Literal["auto", "pandas", "polars", "spark"] | None = None,
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=())] = False,
) -> int:
    """Run the configurations of a sweep and compare them; stages that they share run once.

    Exit status: 0 all were judged, 1 one failed or was not started, 2 usage or configuration, 3 one was over budget,
    4 the gate refused all, 75 another process holds this batch, 130 interrupted, 143 terminated.

    Parameters
    ----------
    sweep:
        Sweep file: a path, or a name in params/sweeps/.
    params:
        Parameter file: a path, or a name in params/ (repeatable, later wins; default: dev.yaml).
    parameter:
        One parameter for all configurations, name=value; what the sweep sets wins (repeatable).
    dry_run:
        Print the configurations, and how often each stage would run at most; start nothing.
    resume:
        Go on with this batch; configurations that were judged are not run again.
    jobs:
        Configurations that may run at once.
    reuse:
        Take results of earlier runs and of other configurations; --no-reuse runs every stage in each.
    retries:
        Retries of every stage, instead of max_retries.
    max_cost:
        US dollars that each run may cost, instead of budget.max_usd_per_run.
    engine:
        What computes on tables, instead of tables.engine.
    runs_dir:
        Folder of the run records, and of the batch's.
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print the comparison as JSON on stdout, everything else on stderr.
    quiet:
        No progress, only the comparison.
    """
    from stagebook.batch.prepare import BatchRequest, prepare
    from stagebook.batch.sweeping import run_batch
    from stagebook.params.load import Flags
    from stagebook.report import comparison
    from stagebook.run.display import Silent
    from stagebook.run.pipeline import Surface
    from stagebook.run.request import RunRequest

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    cores.share(jobs)
    limit = None if max_cost is None else Decimal(str(max_cost))
    flags = Flags(parameter, retries, engine, runs_dir, warehouse, limit)
    run = RunRequest(params or ("dev.yaml",), flags, reuse=reuse, urgent_from=float("inf"))
    request = BatchRequest(sweep, run, jobs, resume)
    surface = Surface(Silent(), warn=lambda text: say(f"stagebook: {text}"))
    if dry_run:
        print(prepare(request, surface).to_text())
        return 0
    result = run_batch(request, surface, (lambda text: None) if quiet else say)
    folder = f"comparison      {result.folder / 'comparison.html'}"
    print(f"{comparison.to_text(result.comparison)}\n{folder}", file=sys.stderr if json else sys.stdout)
    if json:
        print(jsonlib.dumps(comparison.to_json(result.comparison), indent=2, ensure_ascii=False))
    return result.exit_code

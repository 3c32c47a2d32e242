"""`stagebook run`: flags in, exit status out."""

import json as jsonlib
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from stagebook.cli import cores

Names = Annotated[tuple[str, ...], Parameter(negative=())]


def run(
    *,
    params: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    parameter: Annotated[tuple[str, ...], Parameter(name="-p", negative=())] = (),
    dry_run: Annotated[bool, Parameter(name=("--dry-run", "-n"), negative=())] = False,
    first: Annotated[tuple[str, ...], Parameter(name="--from", negative=())] = (),
    last: Annotated[tuple[str, ...], Parameter(name="--to", negative=())] = (),
    only: Annotated[tuple[str, ...], Parameter(name="--only", negative=(), allow_leading_hyphen=False)] = (),
    force: Annotated[list[str] | None, Parameter(name=("--force", "-f"), negative=(), consume_multiple=True)] = None,
    reuse: Annotated[bool, Parameter(name="--reuse", negative="--no-reuse")] = True,
    resume: Annotated[list[str] | None, Parameter(name="--resume", negative=(), consume_multiple=True)] = None,
    jobs: Annotated[int, Parameter(name=("--jobs", "-j"), validator=Number(gte=1))] = 1,
    keep_going: Annotated[bool, Parameter(name=("--keep-going", "-k"), negative=())] = False,
    retries: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    max_cost: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    engine: Literal["auto", "pandas", "polars", "spark"] | None = None,
    run_id: str | None = None,
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    progress: Annotated[bool, Parameter(name="--progress", negative="--no-progress")] = True,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=())] = False,
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative=())] = False,
) -> int:
    """Run the stages of a pipeline in dependency order.

    Exit status: 0 done, 1 a stage failed, 2 usage or configuration, 3 over budget, 4 the gate refused the model,
    75 another process holds this run, 130 interrupted, 143 terminated.

    Parameters
    ----------
    params:
        Parameter file: a path, or a name in params/ (repeatable, later wins).
    parameter:
        One parameter, name=value in YAML, for all stages or as stage.name=value (repeatable).
    dry_run:
        Print the plan and why; start nothing.
    first:
        Run these stages and everything downstream (comma-separated).
    last:
        Run these stages and everything upstream (comma-separated).
    only:
        Run only these stages; +b with all upstream, b+ with all downstream (comma-separated).
    force:
        Run these stages again, with all downstream, although they have a result; without names, all.
    reuse:
        Take results of earlier runs for stages that nothing has changed for; --no-reuse runs them all.
    resume:
        Go on with this run, or with the last one; finished stages are not run again.
    jobs:
        Stages that may run at once.
    keep_going:
        After a failure, let independent branches go on.
    retries:
        Retries of every stage, instead of max_retries.
    max_cost:
        US dollars that the run may cost, instead of budget.max_usd_per_run; what would exceed it is not started.
    engine:
        What computes on tables, instead of tables.engine.
    run_id:
        The id of the new run, instead of one made from the time.
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print the record (with --dry-run: the plan) on stdout, everything else on stderr.
    progress:
        Live progress on a terminal; --no-progress gives plain lines.
    quiet:
        No progress, only the result.
    verbose:
        Also a line for each cell.
    """
    from stagebook.cli import program
    from stagebook.params.load import Flags
    from stagebook.run.display import choose
    from stagebook.run.pipeline import Surface, plan_only, run_pipeline
    from stagebook.run.request import RunRequest
    from stagebook.storage.runs import to_json

    cores.share(jobs)
    limit = None if max_cost is None else Decimal(str(max_cost))
    request = RunRequest(
        params=params,
        flags=Flags(parameter, retries, engine, runs_dir, warehouse, limit),
        first=split(first),
        last=split(last),
        only=split(only),
        force=None if force is None else split(tuple(force)),
        resume=_one(resume),
        run_id=run_id,
        jobs=jobs,
        keep_going=keep_going,
        reuse=reuse,
    )
    surface = Surface(
        display=choose(quiet=quiet or dry_run, verbose=verbose, plain=not progress or json),
        warn=lambda text: print(f"stagebook: {text}", file=sys.stderr),
        program=program(),
    )
    if dry_run:
        preview = plan_only(request, surface)
        plan, forecasts = preview.plan, preview.forecasts
        print(jsonlib.dumps(plan.to_json(forecasts), indent=2) if json else plan.to_text(forecasts))
        if preview.refusal:
            surface.warn(str(preview.refusal))
            return preview.refusal.exit_code
        return 0
    result = run_pipeline(request, surface)
    print(result.summary, file=sys.stderr if json else sys.stdout)
    if json:
        print(jsonlib.dumps(to_json(result.record), indent=2, ensure_ascii=False, default=str))
    return result.record.exit_code or 0


def split(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that were given one by one or comma-separated, one by one."""
    return tuple(part for name in names for part in name.split(",") if part)


def _one(resume: list[str] | None) -> str | None:
    """The run to resume: its id, empty for the last one, None where a new run is wanted."""
    from stagebook.errors import ConfigError

    if resume and len(resume) > 1:
        raise ConfigError(f"--resume takes one run, not {len(resume)}: {', '.join(resume)}")
    return None if resume is None else "".join(resume)

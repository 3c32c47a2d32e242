"""`stagebook run`: flags in, exit status out."""

import json as jsonlib
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from stagebook.cli import threads
from stagebook.cli.options import JsonFlag, RunOptions, Selection, split_names, warn


def run(
    *,
    options: RunOptions = RunOptions(),
    selection: Selection = Selection(),
    dry_run: Annotated[bool, Parameter(name=("--dry-run", "-n"), negative=(), show_default=False)] = False,
    force: Annotated[list[str] | None, Parameter(name=("--force", "-f"), negative=(), consume_multiple=True)] = None,
    resume: Annotated[list[str] | None, Parameter(name="--resume", negative=(), consume_multiple=True)] = None,
    keep_going: Annotated[bool, Parameter(name=("--keep-going", "-k"), negative=(), show_default=False)] = False,
    run_id: str | None = None,
    json: JsonFlag = False,
    progress: Annotated[bool, Parameter(name="--progress", negative="--no-progress", show_default=False)] = True,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=(), show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative=(), show_default=False)] = False,
) -> int:
    """Run the stages of a pipeline in dependency order.

    Exit status: 0 done, 1 a stage failed, 2 usage or configuration, 3 over budget, 4 the gate refused the model,
    75 another process holds this run, 129 hung up (the terminal was closed), 130 interrupted, 143 terminated.

    Parameters
    ----------
    dry_run:
        Print the plan and why; start nothing.
    force:
        Run these stages again, with all downstream, although they have a result; without names, all.
    resume:
        Go on with this run, or with the last one; finished stages are not run again. Options that are not given anew
        are those that it was started with.
    keep_going:
        After a failure, let independent branches go on.
    run_id:
        The id of the new run, instead of one made from the time.
    json:
        Print the record (with --dry-run: the plan) on stdout, everything else on stderr.
    progress:
        Live progress on a terminal; --no-progress gives plain lines.
    quiet:
        No progress, only the result.
    verbose:
        Also a line for each cell; with --dry-run every reason.
    """
    from stagebook.cli import kit_name, program_name
    from stagebook.runner.environment import RunEnvironment
    from stagebook.runner.pipeline import run_pipeline
    from stagebook.runner.prepare import plan_only
    from stagebook.runner.progress import choose
    from stagebook.runs.folders import to_json

    threads.share(options.job_count)
    asked = options.request(selection)
    request = replace(
        asked,
        force=None if force is None else split_names(tuple(force)),
        resume=_run_to_resume(resume),
        run_id=run_id,
        keep_going=keep_going,
        given=(asked.given or frozenset()) | ({"keep_going"} if keep_going else set()),
    )
    environment = RunEnvironment(
        progress=choose(quiet=quiet or dry_run, verbose=verbose, plain=not progress or json),
        warn=warn,
        program=program_name(),
        kit=kit_name(),
    )
    if dry_run:
        preview = plan_only(request, environment)
        plan, forecasts = preview.plan, preview.forecasts
        print(
            jsonlib.dumps(plan.to_json(forecasts), indent=2) if json else plan.to_text(forecasts, all_reasons=verbose)
        )
        if preview.refusal:
            warn(str(preview.refusal))
            return preview.refusal.exit_code
        return 0
    finished = run_pipeline(request, environment)
    with suppress(OSError):  # nobody may read it any more; the run has its record, and its exit status
        print(finished.summary, file=sys.stderr if json else sys.stdout, flush=True)
        if json:
            print(jsonlib.dumps(to_json(finished.record), indent=2, ensure_ascii=False, default=str), flush=True)
    return finished.record.exit_code or 0


def _run_to_resume(resume: list[str] | None) -> str | None:
    """The run to resume: its id, empty for the last one, None where a new run is asked for."""
    from stagebook.errors import ConfigError

    if resume and len(resume) > 1:
        raise ConfigError(f"--resume takes one run, not {len(resume)}: {', '.join(resume)}")
    return None if resume is None else "".join(resume)

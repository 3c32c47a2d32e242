"""`stagebook sweep`: the configurations of a sweep, each an ordinary run, and one comparison of them."""

import json as jsonlib
import sys
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from stagebook.cli import threads
from stagebook.cli.options import JsonFlag, RunOptions, quiet_environment


def sweep(
    sweep: Annotated[str | None, Parameter(name="--sweep")] = None,
    *,
    options: RunOptions = RunOptions(),
    dry_run: Annotated[bool, Parameter(name=("--dry-run", "-n"), negative=(), show_default=False)] = False,
    resume: str | None = None,
    json: JsonFlag = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=(), show_default=False)] = False,
) -> int:
    """Run the configurations of a sweep and compare them; stages that they share run once.

    Exit status: 0 all were judged, 1 one failed or was not started, 2 usage or configuration, 3 one was over budget,
    4 the gate refused all, 75 another process holds this sweep run, 130 interrupted, 143 terminated.

    Parameters
    ----------
    sweep:
        Sweep file: a path, or a name in params/sweeps/.
    dry_run:
        Print the configurations, and how often each stage would run at most; start nothing.
    resume:
        Go on with this sweep run; configurations that were judged are not run again.
    json:
        Print the comparison as JSON on stdout, everything else on stderr.
    quiet:
        No progress, only the comparison.
    """
    from stagebook.report import sweep_comparison
    from stagebook.sweeps.prepare import SweepRequest, prepare
    from stagebook.sweeps.run import run_sweep

    def show(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr)

    threads.share(options.job_count)
    run = replace(options.request(), jobs=1, urgent_from=float("inf"))
    request, environment = SweepRequest(sweep, run, options.job_count, resume), quiet_environment()
    if dry_run:
        print(prepare(request, environment).to_text())
        return 0
    result = run_sweep(request, environment, show)
    page = f"comparison      {result.folder / 'comparison.html'}"
    print(f"{sweep_comparison.to_text(result.comparison)}\n{page}", file=sys.stderr if json else sys.stdout)
    if json:
        print(jsonlib.dumps(sweep_comparison.to_json(result.comparison), indent=2, ensure_ascii=False))
    return result.exit_code

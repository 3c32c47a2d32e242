"""The worker process: executes one attempt and ends with everything that it started.

Protocol: a line on stdin is the job; a line before it may announce the attempt, whose kernel is then prestarted. End of
file on stdin means stop (the runner asks for it, or is gone). Lines on stdout are JSON: `{"cell": …}` as cells start,
at last `{"outcome": …}`.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stagebook.executor.job import CellProgress, Job, Outcome, UpcomingAttempt
from stagebook.executor.kernels import lifecycle
from stagebook.executor.kernels.prestarted import PrestartedKernel, prestarted_kernel

if TYPE_CHECKING:
    from stagebook.executor.kernels.prespawned import PrespawnedKernel
    from stagebook.executor.papermill_engine import AttemptExecution

INTERRUPT_GRACE_SECONDS = 1.5


def main(prespawned: "PrespawnedKernel | None" = None) -> int:
    """Run the job on stdin, in the prespawned kernel if there is one; 0 whenever an outcome was reported."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries go to the log, not between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides when to stop
    lifecycle.adopt_orphans()
    line, prestarted = sys.stdin.readline(), None
    with contextlib.ExitStack() as stack:
        if prespawned is not None and (upcoming := UpcomingAttempt.from_line(line)):
            prestarted = prestarted_kernel(upcoming, prespawned, stack)
            line = sys.stdin.readline()
        if not line:
            return 0  # the runner ended before it had a job, or has none
        if prestarted is not None and (problem := prestarted.problem):
            sys.stderr.write(f"kernel: cold, {problem}\n")
            prestarted = None
        outcome = execute(Job.from_line(line), answers, prespawned, prestarted)
    lifecycle.end_descendants(grace_seconds=2.0)
    _answer(answers, {"outcome": {**outcome.to_json(), **_usage()}})
    return 0


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the runner is gone; the notebook is saved all the same
        answers.write(json.dumps(message, default=str) + "\n")
        answers.flush()


def _usage() -> dict[str, Any]:
    """Peak memory of the largest process and CPU of all, kernel and its waited-for children."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "peak_rss_bytes": lifecycle.peak_rss_bytes(),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
    }


def execute(
    job: Job,
    answers: TextIO,
    prespawned: "PrespawnedKernel | None" = None,
    prestarted: PrestartedKernel | None = None,
) -> Outcome:
    """Execute the notebook; failures come back as outcomes, never as exceptions.

    papermill prepares the notebook; its check of the result is not asked, since that judges by outputs.
    """
    from stagebook.executor import injection, papermill_engine
    from stagebook.executor.scraps import scraps
    from stagebook.notebooks.read import load

    def report(progress: CellProgress) -> None:
        _answer(answers, {"cell": asdict(progress)})

    execution = papermill_engine.AttemptExecution(
        output=Path(job.output),
        folder=job.folder,
        environment={**os.environ, **job.environment},
        label=job.label,
        report=report,
        is_databricks=job.is_databricks,
        may_exit=job.may_exit,
        prespawned=prespawned,
        prestarted=prestarted,
        access_report=job.access_report,
        timeout_seconds=job.timeout_seconds,
    )
    threading.Thread(target=_watch_stdin, args=(execution,), daemon=True).start()
    try:
        notebook = load(Path(job.notebook))
        if job.kernel_name is not None:
            notebook.metadata.kernelspec.name = job.kernel_name
        if job.is_databricks:
            notebook.cells.insert(0, papermill_engine.databricks_setup_cell())
        prepared, kernel_name = injection.prepare(notebook, job.parameters), notebook.metadata.kernelspec.name
        papermill_engine.StageEngine.execute_notebook(prepared, kernel_name, execution=execution)
    except Exception as error:
        execution.outcome = execution.broken(error, execution.running)
    assert execution.outcome is not None, "the notebook has ended, or something was raised"
    glued = {} if execution.notebook is None else scraps(execution.notebook)
    return replace(execution.outcome, scraps=glued)


def _watch_stdin(execution: "AttemptExecution") -> None:
    """On end of file, interrupt the cell; a kernel that does not stop is killed a moment later."""
    sys.stdin.read()
    execution.stopping = True
    _signal(execution, signal.SIGINT)
    time.sleep(INTERRUPT_GRACE_SECONDS)
    while True:  # a kernel that is just being started is killed in a later turn
        _signal(execution, signal.SIGKILL)
        time.sleep(0.2)


def _signal(execution: "AttemptExecution", number: signal.Signals) -> None:
    if execution.process_id is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(execution.process_id, number)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the stdin reader may still be blocked

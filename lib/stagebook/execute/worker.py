"""The worker process: executes one attempt and ends with everything that it started.

Protocol: a line on stdin is the job; one before it may tell what is known of a job that is to come, whose kernel
is then started ahead. End of file on stdin means stop (the runner asks for it, or is gone). Lines on stdout are JSON:
`{"cell": …}` as cells start, at last `{"outcome": …}`.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stagebook.execute import kernel
from stagebook.execute.job import CellProgress, Coming, Job, Outcome
from stagebook.execute.ready import ReadyKernel, ready_kernel
from stagebook.model.record import AttemptStatus

if TYPE_CHECKING:
    from stagebook.execute.host.embryo import Embryo

INTERRUPT_GRACE_SECONDS = 1.5


def main(embryo: "Embryo | None" = None) -> int:
    """Run the job on stdin, in the forked kernel if there is one; 0 whenever an outcome was reported."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries go to the log, not between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides when to stop
    kernel.adopt_orphans()
    line, ready = sys.stdin.readline(), None
    with contextlib.ExitStack() as stack:
        if embryo is not None and (coming := Coming.from_line(line)):
            ready = ready_kernel(coming, embryo, stack)
            line = sys.stdin.readline()
        if not line:
            return 0  # the runner has gone before it had a job, or has none
        if ready is not None and (why := ready.unfit):
            sys.stderr.write(f"kernel: cold, {why}\n")
            ready = None
        outcome = execute(Job.from_line(line), answers, embryo, ready)
    kernel.end_descendants(grace=2.0)
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
        "peak_rss_bytes": kernel.peak_rss_bytes(),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
    }


def execute(job: Job, answers: TextIO, embryo: "Embryo | None" = None, ready: ReadyKernel | None = None) -> Outcome:
    """Execute the notebook; failures come back as outcomes, never as exceptions."""
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    from stagebook.execute import engine
    from stagebook.execute.scraps import scraps
    from stagebook.notebook.read import load

    def report(progress: CellProgress) -> None:
        _answer(answers, {"cell": asdict(progress)})

    session = engine.Session(
        output=Path(job.output),
        folder=job.folder,
        environment={**os.environ, **job.environment},
        label=job.label,
        report=report,
        embryo=embryo,
        ready=ready,
        deadline=None if job.timeout_seconds is None else time.monotonic() + job.timeout_seconds,
    )
    threading.Thread(target=_watch_stdin, args=(session,), daemon=True).start()
    papermill_engines.register(engine.ENGINE_NAME, engine.StageEngine)
    status, error = AttemptStatus.SUCCEEDED, None
    try:
        notebook = load(Path(job.notebook))
        if job.guest:
            notebook.cells.insert(0, engine.welcome())
        execute_notebook(
            notebook,
            None,
            parameters=job.parameters,
            engine_name=engine.ENGINE_NAME,
            kernel_name=notebook.metadata.kernelspec.name,
            language=notebook.metadata.kernelspec.get("language", "python"),
            progress_bar=False,
            session=session,
        )
        if not session.finished:
            status = AttemptStatus.FAILED
            message = "the cell called sys.exit(0); the cells after it never ran"
            error = {"type": "EarlyExit", "message": message, "cell": session.running}
    except PapermillExecutionError as failure:
        status = AttemptStatus.INTERRUPTED if session.stopping else AttemptStatus.FAILED
        error = {"type": failure.ename, "message": failure.evalue, "cell": session.running}
    except Exception as failure:
        kind, message = session.broken or engine.describe(session, failure)
        status = _STATUS_OF.get(kind, AttemptStatus.FAILED)
        error = {"type": kind, "message": message, "cell": session.running}
    found = scraps(session.notebook) if session.notebook is not None else {}
    return Outcome(status, error, found)


_STATUS_OF = {
    "Interrupted": AttemptStatus.INTERRUPTED,
    "Timeout": AttemptStatus.TIMEOUT,
    "KernelDied": AttemptStatus.KERNEL_DIED,
    "OutOfMemory": AttemptStatus.KERNEL_DIED,
}


def _watch_stdin(session: Any) -> None:
    """On end of file, interrupt the cell; what does not yield is killed a moment later."""
    sys.stdin.read()
    session.stopping = True
    _signal(session, signal.SIGINT)
    time.sleep(INTERRUPT_GRACE_SECONDS)
    while True:  # a kernel that was just being started is met at the next turn
        _signal(session, signal.SIGKILL)
        time.sleep(0.2)


def _signal(session: Any, number: signal.Signals) -> None:
    if session.process_id is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(session.process_id, number)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the stdin reader may still be blocked

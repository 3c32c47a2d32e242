"""The command line: one module a command group, imported when it is called; `options` declares shared flags once."""

import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from cyclopts import App

from stagebook.errors import StagebookError, Unwritable
from stagebook.formatting import printable

_UV_RUN = "UV_RUN_RECURSION_DEPTH"
"""The environment variable by which `uv run` is recognised."""

COMMANDS = {
    "run": ("run:run", "Run the stages of a pipeline in dependency order."),
    "accept": (
        "accept:accept",
        "Take the newest results of these stages for current, so that the next run does not run them again.",
    ),
    "runs": ("runs:app", "List the runs; close those whose runner was killed; repair damaged records."),
    "sync": ("sync:sync", "Send to MLflow what it lacks of a run; nothing is sent twice."),
    "sweep": ("sweep:sweep", "Run the configurations of a sweep and compare them; stages that they share run once."),
    "queue": ("queue:app", "Runs and sweeps that start when they may: within hours, by priority, before a deadline."),
    "tables": ("tables:app", "The tables of a pipeline: what they are, what reads touch, maintenance of their files."),
    "models": ("models:app", "Registered model versions: list them, roll the champion back."),
    "cost": (
        "cost:cost",
        "Show what runs cost, estimated, from the system tables; runs that are missing there are written first.",
    ),
    "advise": (
        "advise:advise",
        "Show what would make the pipeline cheaper: sizes that would have been enough, and rules worth checking.",
    ),
    "databricks": ("databricks:app", "Export the pipeline as a Databricks job, import a job, check a bundle."),
    "spark": ("spark:app", "The Spark server of this machine: start it, see it, stop it."),
    "kernels": ("kernels:app", "The fork servers of this machine, from which kernels are forked: see them, stop them."),
    "calibrate": (
        "calibrate:calibrate",
        "Measure each kind of work on each engine over sizes, and keep the result for this machine.",
    ),
}
"""Command → where it is, and its first sentence: shown where commands are listed, so that none is imported for that."""


def build_app(described: Collection[str]) -> App:
    """The command line. Of the `described` commands all help is shown, for which they are imported."""
    app = App(
        name="stagebook",
        help="Notebook stages in dependency order: reproducible, tracked, with truthful failures.",
        version=lambda: version("stagebook"),
        result_action="return_value",
    )
    for name, (target, summary) in COMMANDS.items():
        options = {} if name in described else {"help": summary}
        app.command(f"stagebook.cli.{target}", name=name, **options)
    return app


def call(words: list[str]) -> int:
    """Run one command; gives its exit status.

    Raises:
        StagebookError: what a user can cause, with its words and its exit status.
    """
    return build_app(words[:1])(words) or 0


def main(words: list[str] | None = None) -> None:
    """Run one command and exit with its status; an error that a user can cause ends in words."""
    threading.excepthook = _report_in_a_line
    try:
        status = call(sys.argv[1:] if words is None else words)
    except StagebookError as error:
        from stagebook.formatting import FINDINGS_TEXT, excerpt

        print(f"stagebook: {excerpt(error, FINDINGS_TEXT)}", file=sys.stderr)
        status = error.exit_code
    except OSError as fault:  # a full disk, a folder that cannot be written: nobody's program is at fault
        print(f"stagebook: {_without_traceback(fault)}", file=sys.stderr)
        status = Unwritable.exit_code
    except KeyboardInterrupt as stopped:
        status = 128 + getattr(stopped, "number", signal.SIGINT)
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _without_traceback(fault: OSError) -> str:
    if fault.filename and Unwritable.is_why(fault):
        return str(Unwritable.of(Path(fault.filename), fault))
    return f"{type(fault).__name__}: {fault}"


def _report_in_a_line(args: threading.ExceptHookArgs) -> None:
    """What a thread beside the main one died of."""
    name = args.thread.name if args.thread else "thread"
    print(f"stagebook: {name} ended early: {args.exc_type.__name__}: {printable(args.exc_value)}", file=sys.stderr)


def kit_name() -> str:
    """How the kit's commands can be called from here, for commands that the user is told to type."""
    if _UV_RUN in os.environ:
        return "uv run stagebook"
    on_path = shutil.which("stagebook")
    is_own = on_path is not None and Path(on_path).parent == Path(sys.executable).parent
    return "stagebook" if is_own else f"{sys.executable} -m stagebook.cli"


def program_name() -> str:
    """How `run` can be called from here: by the script that was called, if it was one."""
    called = Path(sys.argv[0])
    if called.suffix != ".py" or called.name == "__main__.py":
        return f"{kit_name()} run"
    script = os.path.relpath(called)
    script = script if os.sep in script else f"{os.curdir}{os.sep}{script}"
    name = shlex.quote(script) if os.access(called, os.X_OK) else f"python {shlex.quote(script)}"
    return f"uv run {name}" if _UV_RUN in os.environ else name

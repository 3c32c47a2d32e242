"""The command line: `stagebook run`, `runs`, `models`, … Commands are imported when called."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

from cyclopts import App

from stagebook.errors import StagebookError

app = App(
    name="stagebook",
    help="Notebook stages in dependency order: reproducible, tracked, with truthful failures.",
    version=lambda: version("stagebook"),
    result_action="return_value",
)
app.command("stagebook.cli.run:run", name="run")
app.command("stagebook.cli.batch:batch", name="batch")
app.command("stagebook.cli.queue:app", name="queue")
app.command("stagebook.cli.accept:accept", name="accept")
app.command("stagebook.cli.runs:runs", name="runs")
app.command("stagebook.cli.runs:track", name="track")
app.command("stagebook.cli.reap:reap", name="reap")
app.command("stagebook.cli.models:app", name="models")
app.command("stagebook.cli.cost:cost", name="cost")
app.command("stagebook.cli.advise:advise", name="advise")
app.command("stagebook.cli.calibrate:calibrate", name="calibrate")
app.command("stagebook.cli.spark:app", name="spark")
app.command("stagebook.cli.tables:app", name="tables")
app.command("stagebook.cli.export:app", name="export")
app.command("stagebook.cli.importing:app", name="import")
app.command("stagebook.cli.host:app", name="host")


def main(words: list[str] | None = None) -> None:
    """Run one command and exit with its status; an error that a user can cause ends in words."""
    try:
        status = app(words)
    except StagebookError as error:
        print(f"stagebook: {error}", file=sys.stderr)
        status = error.exit_code
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    sys.exit(status or 0)


def program() -> str:
    """How this program was called, for commands that the user is told to type."""
    called = Path(sys.argv[0])
    name = os.path.relpath(called) if called.suffix == ".py" else f"{called.name} run"
    return f"uv run {name}" if "UV_RUN_RECURSION_DEPTH" in os.environ else name

"""`stagebook runs`: what has run, closing what a killed runner left open, and repairing damaged records."""

from typing import TYPE_CHECKING

from cyclopts import App

from stagebook.cli.options import ProjectOptions, quiet_environment, warn

if TYPE_CHECKING:
    from stagebook.runs.folders import RunFolder

app = App(name="runs", help="List the runs; close those whose runner was killed; repair damaged records.")


@app.default
def list_runs(*, options: ProjectOptions = ProjectOptions(), last: int = 20) -> int:
    """List the runs: id, status, exit status, stages done, report. Of damaged ones it is said what is wrong, and where.

    Parameters
    ----------
    last:
        How many, counted from the newest.
    """
    from rich.console import Console
    from rich.table import Table

    from stagebook.errors import DamagedRun
    from stagebook.formatting import printable
    from stagebook.runs.folders import existing

    table = Table("run", "pipeline", "status", "exit", "stages", "report", box=None)
    damages: list[DamagedRun] = []
    for folder in existing(options.load().paths.runs)[-last:]:
        try:
            if (row := _row(folder)) is not None:
                table.add_row(*map(printable, row))
        except DamagedRun as damage:
            damages.append(damage)
            readable = folder.load_part()
            table.add_row(folder.run_id, printable(readable.pipeline if readable else ""), "damaged")
    Console().print(table, markup=False)
    for damage in damages:
        warn(str(damage))
    return 0


def _row(folder: "RunFolder") -> tuple[str, ...] | None:
    """The row of a run; None where nothing was started."""
    record = folder.load()
    if record is None:
        return None
    folder.check_derived(record)
    done = sum(stage.status.done for stage in record.stages.values())
    status = "died" if record.status.value == "running" and not folder.is_held else record.status.value
    code = "" if record.exit_code is None else str(record.exit_code)
    report = str(folder.report) if folder.report.exists() else ""
    return record.run_id, record.pipeline, status, code, f"{done}/{len(record.stages)}", report


@app.command
def reap(*, options: ProjectOptions = ProjectOptions()) -> int:
    """Close the runs whose runner was killed: record, report, MLflow and system tables say so. They can be resumed."""
    from stagebook.runner.reap import reap as close_killed_runs

    closed = close_killed_runs(options.load(), quiet_environment())
    for run_id in closed:
        print(f"{run_id}  closed as interrupted: its runner was killed")
    if not closed:
        print("no run was left open")
    return 0


@app.command
def repair(run: str | None = None, /, *, options: ProjectOptions = ProjectOptions()) -> int:
    """Rebuild what can be rebuilt of damaged records, and say what was done; a copy of what was there is kept.

    The record follows from the journal, a journal that cannot be used from the record, the index of results from both.
    A run of which events are lost is closed as interrupted: what is known to be finished is kept when it is resumed.

    Exit status: 0 nothing is damaged any more, 1 something cannot be rebuilt, 75 another process holds the run.

    Parameters
    ----------
    run:
        The run id (default: all runs).
    """
    from datetime import UTC, datetime

    from stagebook.runner.repair import repair_index, repair_run
    from stagebook.runs.folders import existing, named

    runs = options.load().paths.runs
    chosen = [named(runs, run)] if run else existing(runs)
    outcomes = [repair_run(folder, lambda: datetime.now(UTC)) for folder in chosen]
    lines = [line for outcome in outcomes for line in outcome.lines] + repair_index(runs)
    print("\n".join(lines) or "nothing is damaged")
    return max((outcome.exit_code for outcome in outcomes), default=0)

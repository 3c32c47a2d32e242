"""`stagebook runs`: what has run, and closing what a killed runner left open."""

from cyclopts import App

from stagebook.cli.options import ProjectOptions, quiet_environment

app = App(name="runs", help="List the runs; close those whose runner was killed.")


@app.default
def list_runs(*, options: ProjectOptions = ProjectOptions(), last: int = 20) -> int:
    """List the runs: id, status, exit status, stages done, report.

    Parameters
    ----------
    last:
        How many, counted from the newest.
    """
    from rich.console import Console
    from rich.table import Table

    from stagebook.runs.folders import existing

    table = Table("run", "pipeline", "status", "exit", "stages", "report", box=None)
    for folder in existing(options.load().paths.runs)[-last:]:
        record = folder.load()
        if record is None:
            continue
        done = sum(stage.status.done for stage in record.stages.values())
        status = "died" if record.status.value == "running" and not folder.is_held else record.status.value
        code = "" if record.exit_code is None else str(record.exit_code)
        report = str(folder.report) if folder.report.exists() else ""
        table.add_row(record.run_id, record.pipeline, status, code, f"{done}/{len(record.stages)}", report)
    Console().print(table)
    return 0


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

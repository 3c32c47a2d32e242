"""`stagebook advise`: what would make a pipeline cheaper, by the measurements of its runs."""

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.cli.options import DEFAULT_PARAMS, ProjectOptions
from stagebook.cli.output import Format, print_rows

if TYPE_CHECKING:
    from stagebook.costs.advice.advise import AdviceReport
    from stagebook.costs.advice.subject import Advice, AdviceSubject, TableFacts
    from stagebook.model.pipeline import Pipeline

MAX_RUNS = 100
"""How many journals are read at most."""

COLUMNS = {
    "rule": "rule",
    "about": "target",
    "found": "finding",
    "key": "key",
    "to": "new_value",
    "usd_per_run": "usd_per_run",
}
"""Output column → field of `Advice`."""


def advise(*, apply: Path | None = None, output: Format = "table", options: ProjectOptions = ProjectOptions()) -> int:
    """Show what would make the pipeline cheaper: sizes that would have been enough, and rules worth checking.

    Parameters
    ----------
    apply:
        Parameter file to write, with all changes that are certain; it extends the one of --params.
    output:
        How to print the advice.
    """
    from stagebook.costs.advice.advise import advise as compute_advice

    pipeline = options.load()
    report = compute_advice(_subject(pipeline))
    if output == "table":
        print("\n".join([*_advice_lines(report), *_summary(pipeline, report)]))
    else:
        rows = [{column: getattr(advice, name) for column, name in COLUMNS.items()} for advice in report.advice]
        print_rows(list(COLUMNS), rows, output)
        print("\n".join(_summary(pipeline, report)), file=sys.stderr)
    if apply is not None:
        _apply(apply, options.params or (DEFAULT_PARAMS,), pipeline, report)
    return 0


def _subject(pipeline: "Pipeline") -> "AdviceSubject":
    from itertools import islice

    from stagebook.costs.advice.subject import AdviceSubject
    from stagebook.runs.folders import PipelineHistory

    ended = (record for record in PipelineHistory(pipeline.paths.runs, pipeline.name) if record.finished_at)
    return AdviceSubject(pipeline, list(islice(ended, MAX_RUNS))[::-1], _table_facts(pipeline))


def _table_facts(pipeline: "Pipeline") -> "list[TableFacts]":
    from stagebook.costs.advice.subject import TableFacts
    from stagebook.tables import maintenance
    from stagebook.tables.warehouse import Warehouse

    listings = maintenance.list_tables(Warehouse.local(pipeline.paths), pipeline.stages.values())
    described = [(listing.name, listing.description) for listing in listings if listing.description]
    return [
        TableFacts(name, description, maintenance.small_partitions_warning(description.partitions))
        for name, description in described
    ]


def _advice_lines(report: "AdviceReport") -> list[str]:
    lines = []
    for advice in report.advice:
        title = f"{advice.target}: {advice.rule.replace('_', ' ')}{_saving(advice)}"
        lines += [title, *_wrapped(advice.finding), f"    {advice.key}: {advice.new_value}", ""]
    return lines


def _saving(advice: "Advice") -> str:
    from stagebook.formatting import usd

    return "" if advice.usd_per_run is None else f", {usd(advice.usd_per_run)} a run"


def _summary(pipeline: "Pipeline", report: "AdviceReport") -> list[str]:
    """The lines about all advice together: what is not judged, the cost of a run, and what the figures rest on."""
    from stagebook.costs.prediction import runs_in_words
    from stagebook.formatting import usd

    lines = [f"{name}: its size is not judged, {reason}." for name, reason in report.unjudged.items()]
    if not report.runs:
        return [*lines, f"No run of '{pipeline.name}' has ended yet in {pipeline.paths.runs}: nothing was measured."]
    cost = f"{runs_in_words(report.runs)} of '{pipeline.name}' would cost {usd(report.usd_now)} each as the file is"
    if report.overlay:
        cost += f", {usd(report.usd_with_overlay)} with what --apply writes"
    elif not report.advice:
        cost += "; nothing to advise"
    return [*lines, f"{cost}.", *textwrap.wrap(report.basis, 100)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="  ")


def _apply(out: Path, names: tuple[str, ...], pipeline: "Pipeline", report: "AdviceReport") -> None:
    """Write the overlay, and load it as a run would.

    Raises:
        ConfigError: `out` is one of the files that it changes, or is outside of the project.
    """
    from stagebook.atomic import write_text
    from stagebook.config.flags import Flags
    from stagebook.config.load import load, project_root
    from stagebook.config.merge import find_file, read_layers
    from stagebook.costs.advice.advise import nested
    from stagebook.databricks.yaml_text import dump
    from stagebook.errors import ConfigError

    if not report.overlay:
        print("there is nothing to apply: no file was written", file=sys.stderr)
        return
    root, path = pipeline.paths.root, out.absolute()
    _, files = read_layers(names, Path.cwd())
    if path.resolve() in files:
        raise ConfigError(f"--apply: '{out}' is one of the files that it would change. Name another one.")
    if project_root(path.resolve()) != root:
        raise ConfigError(
            f"--apply: paths in a parameter file count from the folder around it, and {out} is not in the project's.\n"
            f"  Write it to {root / 'params' / out.name}"
        )
    extends_file = len(names) == 1
    file = find_file(names[0], Path.cwd())
    extends = {"extends": Path(os.path.relpath(file, path.parent.resolve())).as_posix()} if extends_file else {}
    comment = f"Certain advice of `stagebook advise` from {report.runs} runs; it prints the reason for each line."
    write_text(path, dump(extends | nested(report.overlay), comment))
    load((str(path),) if extends_file else (*names, str(path)), Flags(), os.environ, Path.cwd())
    params = (str(out),) if extends_file else (*names, str(out))
    print(f"wrote {out}: --params {' --params '.join(params)}", file=sys.stderr)

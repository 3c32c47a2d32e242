"""`stagebook advise`: what would make a pipeline cheaper, by what was measured of its runs."""

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from stagebook.cost.advice import Advised
    from stagebook.cost.rules import Advice, Seen, Subject
    from stagebook.model.pipeline import Pipeline

RUNS = 100
"""So many journals are read, at most."""

COLUMNS = ["rule", "about", "found", "key", "to", "usd_per_run"]


def advise(
    *,
    params: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    apply: Path | None = None,
    output: Annotated[Literal["table", "csv", "json"], Parameter(name="--format")] = "table",
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> int:
    """Tell what would make the pipeline cheaper: sizes that would have been enough, and rules worth checking.

    Parameters
    ----------
    params:
        Parameter file of the pipeline (default: dev.yaml).
    apply:
        Parameter file to write, with all that is sure; it extends the one of --params.
    output:
        How to print the advice.
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    """
    from stagebook.cli.output import print_rows
    from stagebook.cli.places import pipeline
    from stagebook.cost.advice import advise as decide

    names = params or ("dev.yaml",)
    found = pipeline(names, warehouse, runs_dir)
    advised = decide(_subject(found))
    if output == "table":
        print("\n".join(_told(found, advised)))
    else:
        rows = [{name: getattr(one, name) for name in COLUMNS} for one in advised.advice]
        print_rows(COLUMNS, rows, output)
        print("\n".join(_around(found, advised)), file=sys.stderr)
    if apply is not None:
        _apply(apply, names, found, advised)
    return 0


def _subject(found: "Pipeline") -> "Subject":
    from itertools import islice

    from stagebook.cost.rules import Subject
    from stagebook.storage.runs import History

    ended = (record for record in History(found.places.runs, found.name) if record.finished_at)
    return Subject(found, list(islice(ended, RUNS))[::-1], _seen(found))


def _seen(found: "Pipeline") -> "list[Seen]":
    from stagebook.cost.rules import Seen
    from stagebook.tables import care
    from stagebook.tables.warehouse import Warehouse

    warehouse = Warehouse.local(found.places)
    told = care.listed(warehouse, found.stages.values())
    return [
        Seen(one.name, one.description, care.too_small(one.description.partitions)) for one in told if one.description
    ]


def _told(found: "Pipeline", advised: "Advised") -> list[str]:
    lines = []
    for one in advised.advice:
        lines += [f"{one.about}: {one.rule.replace('_', ' ')}{_saving(one)}", *_wrapped(one.found)]
        lines += [f"    {one.key}: {one.to}", ""]
    return [*lines, *_around(found, advised)]


def _saving(one: "Advice") -> str:
    from stagebook.report.words import usd

    return "" if one.usd_per_run is None else f", {usd(one.usd_per_run)} a run"


def _around(found: "Pipeline", advised: "Advised") -> list[str]:
    """What is to be known of all advice together."""
    from stagebook.cost.history import runs_in_words
    from stagebook.report.words import usd

    lines = [f"{name}: its size is not judged, {why}." for name, why in advised.unjudged.items()]
    if not advised.runs:
        return [*lines, f"No run of '{found.name}' has ended yet in {found.places.runs}: nothing was measured."]
    said = f"{runs_in_words(advised.runs)} of '{found.name}' would cost {usd(advised.usd_now)} each as the file is"
    if advised.keys:
        said += f", {usd(advised.usd_then)} with what --apply writes"
    elif not advised.advice:
        said += "; nothing to advise"
    return [*lines, f"{said}.", *textwrap.wrap(advised.basis, 100)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="  ")


def _apply(out: Path, names: tuple[str, ...], found: "Pipeline", advised: "Advised") -> None:
    """Write the overlay, and load it as a run would.

    Raises:
        ConfigError: it is one of the files that it changes, or its place would move the project's paths.
    """
    from stagebook.cost.advice import overlay
    from stagebook.errors import ConfigError
    from stagebook.jobs.yaml_text import dump
    from stagebook.params.load import Flags, load, project_root
    from stagebook.params.merge import find, read_layers
    from stagebook.storage.atomic import write_text

    if not advised.keys:
        print("there is nothing to apply: no file was written", file=sys.stderr)
        return
    root, path = found.places.root, out.absolute()
    _, used = read_layers(names, Path.cwd())
    if path.resolve() in used:
        raise ConfigError(f"--apply: '{out}' is one of the files that it would change. Name another one.")
    if project_root(path.resolve()) != root:
        raise ConfigError(
            f"--apply: paths in a parameter file count from the folder around it, and {out} is not in the project's.\n"
            f"  Write it to {root / 'params' / out.name}"
        )
    alone = len(names) == 1
    base = find(names[0], Path.cwd())
    extends = {"extends": Path(os.path.relpath(base, path.parent.resolve())).as_posix()} if alone else {}
    comment = f"What `stagebook advise` found sure in {advised.runs} runs; each line's reason: call it again."
    write_text(path, dump(extends | overlay(advised.keys), comment))
    together = (str(path),) if alone else (*names, str(path))
    load(together, Flags(), os.environ, Path.cwd())
    print(f"wrote {out}: --params {' --params '.join((str(out),) if alone else (*names, str(out)))}", file=sys.stderr)

"""Prints rows as a table, as CSV or as JSON."""

import csv
import json as jsonlib
import sys
from decimal import Decimal
from typing import Annotated, Any, Literal

from cyclopts import Parameter

Format = Annotated[Literal["table", "csv", "json"], Parameter(name="--format")]


def print_rows(names: list[str], values: list[dict[str, Any]], output: Format) -> None:
    """Print rows as a `table`, `csv` or `json`.

    Args:
        names: the columns, in the order of each row's values.
    """
    rows = [{name: _rounded(value) for name, value in row.items()} for row in values]
    match output:
        case "json":
            print(jsonlib.dumps([_numbers(row) for row in rows], indent=2, ensure_ascii=False, default=str))
        case "csv":
            writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        case "table":
            from rich.console import Console
            from rich.table import Table

            table = Table(box=None)
            for index, name in enumerate(names):  # text without blanks is never broken into lines
                cells = [str(list(row.values())[index]) for row in rows]
                table.add_column(name, no_wrap=not any(" " in cell for cell in cells))
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row.values()))
            Console().print(table)


def _rounded(value: Any) -> Any:
    """Money rounded to a millionth, as in the bill; other values unchanged."""
    from stagebook.costs.bill import MICRO

    return value.quantize(MICRO) if isinstance(value, Decimal) else value


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}

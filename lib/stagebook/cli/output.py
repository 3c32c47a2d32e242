"""Answers that are rows: as a table, as CSV or as JSON."""

import csv
import json as jsonlib
import sys
from decimal import Decimal
from typing import Any


def print_rows(names: list[str], values: list[dict[str, Any]], output: str) -> None:
    """Print rows as a `table`, `csv` or `json`.

    Args:
        names: the columns, in the order of each row's values.
    """
    rows = [{name: _plain(value) for name, value in row.items()} for row in values]
    match output:
        case "json":
            print(jsonlib.dumps([_numbers(row) for row in rows], indent=2, ensure_ascii=False, default=str))
        case "csv":
            writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        case _:
            from rich.console import Console
            from rich.table import Table

            table = Table(box=None)
            for place, name in enumerate(names):  # what has no blanks is never broken
                cells = [str(list(row.values())[place]) for row in rows]
                table.add_column(name, no_wrap=not any(" " in cell for cell in cells))
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row.values()))
            Console().print(table)


def _plain(value: Any) -> Any:
    """Money to a millionth, as the bill has it; everything else as it is."""
    from stagebook.cost.bill import MICRO

    return value.quantize(MICRO) if isinstance(value, Decimal) else value


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}

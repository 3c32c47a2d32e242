"""What a check of rows found: those that fit, how many broke which rule, a few examples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stagebook.errors import SchemaViolation
from stagebook.model.tables import TableSchema
from stagebook.tables.rules import key_rule, rules

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Checked:
    """Rows that fit a schema, in the form that the engine writes, and what was left out for that.

    `dropped` counts rows by the rule that they break (a row may break several); `examples` are at most
    five of them, with the key and the columns at fault.
    """

    data: Any
    schema: TableSchema
    rows: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_rows: int = 0
    examples: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        told = f"{self.rows:,} rows fit table '{self.schema.name}'"
        if not self.dropped_rows:
            return told
        counts = "; ".join(f"{text}: {count:,}" for text, count in self.dropped.items())
        return f"{told}, {self.dropped_rows:,} dropped: {counts}"


def examples(
    frame: "pd.DataFrame", found: "Mapping[str, np.ndarray]", schema: TableSchema
) -> tuple[Mapping[str, Any], ...]:
    """A few bad rows, taken from each rule in turn."""
    at_fault = {rule.text: rule.columns for rule in rules(schema)} | {key_rule(schema): schema.key}
    rows: dict[int, set[str]] = {}
    for text, broken in found.items():
        for position in broken.nonzero()[0][:MAX_EXAMPLES]:
            rows.setdefault(int(position), set()).update(at_fault[text])
    per_rule = [list(broken.nonzero()[0][:MAX_EXAMPLES]) for broken in found.values()]
    turns = [int(group[i]) for i in range(MAX_EXAMPLES) for group in per_rule if i < len(group)]
    chosen = list(dict.fromkeys(turns))[:MAX_EXAMPLES]
    return tuple(
        {
            name: _value(frame[name].iloc[position])
            for name in schema.column_names
            if name in schema.key or name in rows[position]
        }
        for position in chosen
    )


def _value(value: Any) -> Any:
    import pandas as pd

    return None if value is pd.NA or value is pd.NaT else value


def _row(example: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in example.items())


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def too_many(checked: Checked) -> SchemaViolation:
    schema, total = checked.schema, checked.rows + checked.dropped_rows
    return SchemaViolation.of(
        schema.name,
        f"{checked.dropped_rows:,} of {total:,} rows break its schema; tolerated are {schema.max_bad_share:.2%}.",
        *(f"{text}: {count:,} rows" for text, count in checked.dropped.items()),
        "for example:",
        *(f"  {_row(example)}" for example in checked.examples),
        todo="Correct the data where it is made, or change the rule or max_bad_share in the table's schema.",
    )

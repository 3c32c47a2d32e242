"""A frame against its declared schema: columns, types without loss, rules on rows.

pandera does the checking. Its own reports list every failing cell (50 s for a frame of 340,000 bad
rows), so each rule is one vectorised check that answers yes or no and leaves its bad rows here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from typing import cast as cast_to

from stagebook.engines.arrow import arrow_type
from stagebook.errors import SchemaViolation
from stagebook.model.tables import Column, TableSchema
from stagebook.tables.casting import cast

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pandera.pandas as pandera
    import pyarrow as pa

MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Checked:
    """A table that fits its schema, and what was left out for that.

    `dropped` counts rows by the rule that they break (a row may break several); `examples` are at most
    five of them, with the key and the columns at fault.
    """

    table: "pa.Table"
    schema: TableSchema
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_rows: int = 0
    examples: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        told = f"{self.table.num_rows:,} rows fit table '{self.schema.name}'"
        if not self.dropped_rows:
            return told
        counts = "; ".join(f"{text}: {count:,}" for text, count in self.dropped.items())
        return f"{told}, {self.dropped_rows:,} dropped: {counts}"


@dataclass(frozen=True)
class Rule:
    """One statement about rows: its words, the columns it is about, and which rows break it."""

    text: str
    columns: tuple[str, ...]
    broken: Callable[["pd.DataFrame"], "np.ndarray"]


def check(table: "pa.Table", schema: TableSchema) -> Checked:
    """The rows of `table` that fit `schema`, cast and in its column order.

    Rows that break a rule are dropped while their share is at most `max_bad_share`; of rows with the same
    key the first is kept.

    Raises:
        SchemaViolation: columns missing or too many, a cast that would lose something, or too many bad rows.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from pandera.errors import SchemaErrors

    whole = cast(table, schema)
    frame = whole.to_pandas(types_mapper=pd.ArrowDtype)
    found: dict[str, np.ndarray] = {}
    try:
        pandera_schema(schema, found).validate(frame, lazy=True)
    except SchemaErrors as errors:
        if not found:
            raise SchemaViolation.of(schema.name, "pandera refuses the frame.", todo=str(errors)[:2000]) from None
    if not found:
        return Checked(whole, schema)
    bad = np.logical_or.reduce(list(found.values()))
    checked = Checked(
        table=whole.filter(pa.array(~bad)),
        schema=schema,
        dropped={text: int(rows.sum()) for text, rows in found.items()},
        dropped_rows=int(bad.sum()),
        examples=_examples(frame, found, schema),
    )
    if checked.dropped_rows > schema.max_bad_share * whole.num_rows:
        raise _too_many(checked, total=whole.num_rows)
    return checked


def pandera_schema(schema: TableSchema, found: "dict[str, np.ndarray] | None" = None) -> "pandera.DataFrameSchema":
    """The pandera schema of a table, for frames of Arrow dtypes.

    Args:
        found: receives, for each rule that is broken, a boolean array of the rows that break it.
    """
    import pandas as pd
    import pandera.pandas as pandera

    def check(rule: Rule) -> "pandera.Check":
        return pandera.Check(partial(_holds, rule, found), name=rule.text, error=rule.text, ignore_na=False)

    return pandera.DataFrameSchema(
        {c.name: pandera.Column(pd.ArrowDtype(arrow_type(c.kind)), nullable=True) for c in schema.columns},
        checks=[check(rule) for rule in rules(schema)],
        strict=True,
        ordered=True,
        name=schema.name,
        description=schema.description,
    )


def rules(schema: TableSchema) -> list[Rule]:
    """All rules on rows that a table's schema states."""
    stated = [rule for column in schema.columns for rule in _column_rules(column)]
    if schema.key:
        key = list(schema.key)
        text = f"key ({', '.join(key)}) is unique"
        stated.append(Rule(text, tuple(key), lambda frame: frame.duplicated(subset=key).to_numpy()))
    return stated


def _column_rules(column: Column) -> list[Rule]:
    name, stated = column.name, []

    def rule(text: str, broken: "Callable[[pd.Series], Any]") -> None:
        stated.append(Rule(f"{name} {text}", (name,), lambda frame: _mask(broken(cast_to("pd.Series", frame[name])))))

    if not column.nullable:
        rule("is not null", lambda values: values.isna())
    if column.minimum is not None:
        rule(f">= {column.minimum:g}", lambda values: values < column.minimum)
    if column.maximum is not None:
        rule(f"<= {column.maximum:g}", lambda values: values > column.maximum)
    if column.allowed is not None:
        allowed = list(column.allowed)
        rule(f"in {', '.join(allowed)}", lambda values: ~values.isin(allowed) & values.notna())
    return stated


def _holds(rule: Rule, found: "dict[str, np.ndarray] | None", frame: "pd.DataFrame") -> bool:
    broken = rule.broken(frame)
    if not broken.any():
        return True
    if found is not None:
        found[rule.text] = broken
    return False


def _mask(broken: "pd.Series") -> "np.ndarray":
    return broken.to_numpy(dtype=bool, na_value=False)


def _examples(
    frame: "pd.DataFrame", found: "Mapping[str, np.ndarray]", schema: TableSchema
) -> tuple[Mapping[str, Any], ...]:
    """A few bad rows, taken from each rule in turn."""
    at_fault = {rule.text: rule.columns for rule in rules(schema)}
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


def _too_many(checked: Checked, *, total: int) -> SchemaViolation:
    schema = checked.schema
    return SchemaViolation.of(
        schema.name,
        f"{checked.dropped_rows:,} of {total:,} rows break its schema; tolerated are {schema.max_bad_share:.2%}.",
        *(f"{text}: {count:,} rows" for text, count in checked.dropped.items()),
        "for example:",
        *(f"  {_row(example)}" for example in checked.examples),
        todo="Correct the data where it is made, or change the rule or max_bad_share in the table's schema.",
    )

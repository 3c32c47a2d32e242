"""A frame against its declared schema: columns, types without loss, rules on rows.

In memory pandera does the checking. Its own reports list every failing cell (50 s for a frame of 340,000
bad rows), so each rule is one vectorised check that answers yes or no and leaves its bad rows here. Where
the rows are elsewhere (Spark), the same rules are counted in one aggregate, since pandera would start a
job for each of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from stagebook.engines.arrow import arrow_type
from stagebook.engines.base import Engine
from stagebook.errors import SchemaViolation
from stagebook.model.tables import TableSchema
from stagebook.tables.rules import Rule, any_broken, key_rule, rules

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np
    import pandas as pd
    import pandera.pandas as pandera
    import pyarrow as pa

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


def check(engine: Engine, frame: Any, schema: TableSchema) -> Checked:
    """The rows of `frame` that fit `schema`, cast and in its column order.

    Rows that break a rule are dropped while their share is at most `max_bad_share`; of rows with the same
    key one is kept: the first, where rows have an order.

    Raises:
        SchemaViolation: columns missing or too many, a cast that would lose something, or too many bad rows.
    """
    import pyarrow as pa

    data = engine.conform(frame, schema)
    checked = _in_memory(data, schema) if isinstance(data, pa.Table) else _elsewhere(data, schema)
    if checked.dropped_rows > schema.max_bad_share * (checked.rows + checked.dropped_rows):
        raise _too_many(checked)
    return checked


def _in_memory(whole: "pa.Table", schema: TableSchema) -> Checked:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from pandera.errors import SchemaErrors

    frame = whole.to_pandas(types_mapper=pd.ArrowDtype)
    found: dict[str, np.ndarray] = {}
    try:
        pandera_schema(schema, found).validate(frame, lazy=True)
    except SchemaErrors as errors:
        if not found:
            raise SchemaViolation.of(schema.name, "pandera refuses the frame.", todo=str(errors)[:2000]) from None
    if not found:
        return Checked(whole, schema, rows=whole.num_rows)
    bad = np.logical_or.reduce(list(found.values()))
    return Checked(
        data=whole.filter(pa.array(~bad)),
        schema=schema,
        rows=int((~bad).sum()),
        dropped={text: int(rows.sum()) for text, rows in found.items()},
        dropped_rows=int(bad.sum()),
        examples=_examples(frame, found, schema),
    )


def pandera_schema(schema: TableSchema, found: "dict[str, np.ndarray] | None" = None) -> "pandera.DataFrameSchema":
    """The pandera schema of a table, for frames of Arrow dtypes.

    Args:
        found: receives, for each rule that is broken, a boolean array of the rows that break it.
    """
    import pandas as pd
    import pandera.pandas as pandera

    def check(text: str, broken: "Callable[[pd.DataFrame], np.ndarray]") -> "pandera.Check":
        return pandera.Check(partial(_holds, text, broken, found), name=text, error=text, ignore_na=False)

    checks = [check(rule.text, partial(_breaking, rule)) for rule in rules(schema)]
    if text := key_rule(schema):
        key = list(schema.key)
        checks.append(check(text, lambda frame: frame.duplicated(subset=key).to_numpy()))
    return pandera.DataFrameSchema(
        {c.name: pandera.Column(pd.ArrowDtype(arrow_type(c.kind)), nullable=True) for c in schema.columns},
        checks=checks,
        strict=True,
        ordered=True,
        name=schema.name,
        description=schema.description,
    )


def _holds(
    text: str,
    broken: "Callable[[pd.DataFrame], np.ndarray]",
    found: "dict[str, np.ndarray] | None",
    frame: "pd.DataFrame",
) -> bool:
    rows = broken(frame)
    if not rows.any():
        return True
    if found is not None:
        found[text] = rows
    return False


def _breaking(rule: Rule, frame: "pd.DataFrame") -> "np.ndarray":
    """A boolean array of the rows that break the rule."""
    import narwhals as nw

    return nw.from_native(frame, eager_only=True).select(broken=rule.broken)["broken"].to_numpy().astype(bool)


def _elsewhere(data: Any, schema: TableSchema) -> Checked:
    """Rules counted where the rows are: one aggregate, one more for the key, and more only if rows are bad."""
    import narwhals as nw

    frame: Any = nw.from_native(data)
    stated = rules(schema)
    sums = {f"rule_{number}": rule.broken.cast(nw.Int64()).sum() for number, rule in enumerate(stated)}
    told = _one_row(frame.select(nw.len().alias("rows"), **sums))
    rows = told["rows"]
    dropped = {rule.text: count for number, rule in enumerate(stated) if (count := told[f"rule_{number}"])}
    repeated = _repeated_rows(frame, schema) if rows else 0
    if (text := key_rule(schema)) and repeated:
        dropped[text] = repeated
    if not dropped:
        return Checked(data, schema, rows=rows)
    good = frame.filter(~any_broken(stated)) if stated else frame
    if repeated:
        good = good.unique(subset=list(schema.key), keep="any")
    left = _one_row(good.select(nw.len().alias("rows")))["rows"]
    return Checked(
        data=good.to_native(),
        schema=schema,
        rows=left,
        dropped=dropped,
        dropped_rows=rows - left,
        examples=_examples_elsewhere(frame, [rule for rule in stated if rule.text in dropped], schema),
    )


def _repeated_rows(frame: "nw.LazyFrame[Any]", schema: TableSchema) -> int:
    """How many rows have the key of another one, that one not counted."""
    import narwhals as nw

    if not schema.key:
        return 0
    sizes = frame.group_by(*schema.key).agg(nw.len().alias("rows"))
    return _one_row(sizes.select((nw.col("rows") - 1).sum().alias("more")))["more"] or 0


def _one_row(frame: "nw.LazyFrame[Any]") -> dict[str, Any]:
    """The single row of an aggregate."""
    return frame.collect("pyarrow").to_native().to_pylist()[0]


def _examples_elsewhere(
    frame: "nw.LazyFrame[Any]", broken: list[Rule], schema: TableSchema
) -> tuple[Mapping[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for rule in broken[:MAX_EXAMPLES]:
        columns = dict.fromkeys([*schema.key, *rule.columns])
        rows = frame.filter(rule.broken).select(*columns).head(MAX_EXAMPLES)
        found += rows.collect("pyarrow").to_native().to_pylist()
    return tuple(found[:MAX_EXAMPLES])


def _examples(
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


def _too_many(checked: Checked) -> SchemaViolation:
    schema, total = checked.schema, checked.rows + checked.dropped_rows
    return SchemaViolation.of(
        schema.name,
        f"{checked.dropped_rows:,} of {total:,} rows break its schema; tolerated are {schema.max_bad_share:.2%}.",
        *(f"{text}: {count:,} rows" for text, count in checked.dropped.items()),
        "for example:",
        *(f"  {_row(example)}" for example in checked.examples),
        todo="Correct the data where it is made, or change the rule or max_bad_share in the table's schema.",
    )

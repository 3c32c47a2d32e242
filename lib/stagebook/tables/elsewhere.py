"""Rules counted where the rows are, and the same words said about them as about rows in memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stagebook.engines.arrow import arrow_schema, arrow_type
from stagebook.model.tables import TableSchema
from stagebook.tables.checked import MAX_EXAMPLES, Checked, examples
from stagebook.tables.rules import Rule, any_broken, breaking, key_rule, rules

if TYPE_CHECKING:
    import narwhals as nw
    import pyarrow as pa


def checked(data: Any, schema: TableSchema) -> Checked:
    """Rules counted where the rows are: one aggregate, one more for the key, and more only if rows are bad."""
    import narwhals as nw

    frame: Any = nw.from_native(data)
    stated = rules(schema)
    broken = {f"rule_{number}": rule.broken for number, rule in enumerate(stated)}
    if stated:
        broken["any"] = any_broken(stated)
    counts = {name: rows.cast(nw.Int64()).sum() for name, rows in broken.items()}
    told = {name: count or 0 for name, count in _one_row(frame.select(nw.len().alias("rows"), **counts)).items()}
    dropped = {rule.text: count for number, rule in enumerate(stated) if (count := told[f"rule_{number}"])}
    good = frame.filter(~any_broken(stated)) if dropped else frame
    text, repeated = key_rule(schema), _repeated_keys(good, schema) if told["rows"] else 0
    if text and repeated:
        dropped[text] = repeated
        kept = good.unique(subset=list(schema.key), keep="any")
    else:
        kept = good
    bad = told.get("any", 0) + repeated
    return Checked(
        data=kept.to_native(),
        schema=schema,
        rows=told["rows"] - bad,
        dropped=dropped,
        dropped_rows=bad,
        examples=_examples_elsewhere(frame, good, dropped, schema) if dropped else (),
    )


def _sizes(frame: "nw.LazyFrame[Any]", schema: TableSchema) -> "nw.LazyFrame[Any]":
    """Each key with its number of `rows`."""
    import narwhals as nw

    return frame.group_by(*schema.key).agg(nw.len().alias("rows"))


def _repeated_keys(frame: "nw.LazyFrame[Any]", schema: TableSchema) -> int:
    """How many rows have the key of another one, that one not counted."""
    import narwhals as nw

    if not schema.key:
        return 0
    return _one_row(_sizes(frame, schema).select((nw.col("rows") - 1).sum().alias("more")))["more"] or 0


def _one_row(frame: "nw.LazyFrame[Any]") -> dict[str, Any]:
    """The single row of an aggregate."""
    return frame.collect("pyarrow").to_native().to_pylist()[0]


def _examples_elsewhere(
    frame: "nw.LazyFrame[Any]", good: "nw.LazyFrame[Any]", dropped: Mapping[str, int], schema: TableSchema
) -> tuple[Mapping[str, Any], ...]:
    """Examples of the same form: a few bad rows and repeated keys are brought here, in the order of the key."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    stated, text = [rule for rule in rules(schema) if rule.text in dropped], key_rule(schema)
    rows = _few_broken(frame, stated, schema)
    again = _few_repeated(good, schema) if text in dropped else rows.slice(0, 0)
    bad = rows.to_pandas(types_mapper=pd.ArrowDtype)
    apart = np.zeros(again.num_rows, dtype=bool)
    found = {rule.text: np.concatenate([breaking(rule, bad), apart]) for rule in stated}
    if text is not None and text in dropped:
        found[text] = np.concatenate([np.zeros(len(bad), dtype=bool), ~apart])
    both = pa.concat_tables([rows, again]).to_pandas(types_mapper=pd.ArrowDtype)
    return examples(both, found, schema)


def _few_broken(frame: "nw.LazyFrame[Any]", broken: list[Rule], schema: TableSchema) -> "pa.Table":
    """Some rows for each rule, none of them twice."""
    import narwhals as nw
    import pyarrow as pa

    nothing = pa.schema([field.with_nullable(True) for field in arrow_schema(schema)]).empty_table()
    if not broken:
        return nothing
    parts = [
        frame.filter(rule.broken, *(~earlier.broken for earlier in broken[:number])).head(MAX_EXAMPLES)
        for number, rule in enumerate(broken[:MAX_EXAMPLES])
    ]
    rows: pa.Table = nw.concat(parts).collect("pyarrow").to_native().cast(nothing.schema)
    return rows.sort_by([(column, "ascending") for column in schema.key]) if schema.key else rows


def _few_repeated(good: "nw.LazyFrame[Any]", schema: TableSchema) -> "pa.Table":
    """Keys that come again, as often as they do; all other columns are null."""
    import narwhals as nw
    import pyarrow as pa

    more = _sizes(good, schema).filter(nw.col("rows") > 1).sort(*schema.key).head(MAX_EXAMPLES)
    keys = more.collect("pyarrow").to_native().to_pylist()
    again = [row for row in keys for _ in range(min(row["rows"] - 1, MAX_EXAMPLES))][:MAX_EXAMPLES]
    columns = {c.name: pa.array([row.get(c.name) for row in again], arrow_type(c.kind)) for c in schema.columns}
    return pa.table(columns)

"""Counts the rules of a schema where the rows are, as in Spark, with the same outcome as for rows in memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stagebook.delta.arrow import arrow_schema, arrow_type
from stagebook.model.tables import TableSchema
from stagebook.tables.rules import (
    MAX_EXAMPLES,
    CheckedRows,
    Rule,
    any_broken,
    bad_row_examples,
    key_rule_text,
    row_rules,
    rows_breaking,
)

if TYPE_CHECKING:
    import narwhals as nw
    import pyarrow as pa


def check_remote(data: Any, schema: TableSchema) -> CheckedRows:
    """The rows of a lazy frame that fit a schema: one aggregate, one for the key, and more only if rows are bad."""
    import narwhals as nw

    frame: Any = nw.from_native(data)
    rules = row_rules(schema)
    broken = {f"rule_{number}": rule.broken for number, rule in enumerate(rules)}
    if rules:
        broken["any"] = any_broken(rules)
    sums = {name: expression.cast(nw.Int64()).sum() for name, expression in broken.items()}
    aggregate = _single_row(frame.select(nw.len().alias("rows"), **sums))
    counts = {name: count or 0 for name, count in aggregate.items()}
    dropped = {rule.text: count for number, rule in enumerate(rules) if (count := counts[f"rule_{number}"])}
    good = frame.filter(~any_broken(rules)) if dropped else frame
    key_text, repeated = key_rule_text(schema), _repeated_key_count(good, schema) if counts["rows"] else 0
    if key_text and repeated:
        dropped[key_text] = repeated
        fitting = good.unique(subset=list(schema.key), keep="any")
    else:
        fitting = good
    bad = counts.get("any", 0) + repeated
    return CheckedRows(
        data=fitting.to_native(),
        schema=schema,
        rows=counts["rows"] - bad,
        dropped_by_rule=dropped,
        dropped_rows=bad,
        examples=_fetch_examples(frame, good, dropped, schema) if dropped else (),
    )


def _rows_by_key(frame: "nw.LazyFrame[Any]", schema: TableSchema) -> "nw.LazyFrame[Any]":
    """Each key with its number of `rows`."""
    import narwhals as nw

    return frame.group_by(*schema.key).agg(nw.len().alias("rows"))


def _repeated_key_count(frame: "nw.LazyFrame[Any]", schema: TableSchema) -> int:
    """The number of rows beyond the first of each key."""
    import narwhals as nw

    if not schema.key:
        return 0
    surplus = (nw.col("rows") - 1).sum().alias("surplus")
    return _single_row(_rows_by_key(frame, schema).select(surplus))["surplus"] or 0


def _single_row(frame: "nw.LazyFrame[Any]") -> dict[str, Any]:
    """The only row of an aggregate."""
    return frame.collect("pyarrow").to_native().to_pylist()[0]


def _fetch_examples(
    frame: "nw.LazyFrame[Any]", good: "nw.LazyFrame[Any]", dropped: Mapping[str, int], schema: TableSchema
) -> tuple[Mapping[str, Any], ...]:
    """A few bad rows and repeated keys, fetched in the order of the key and shown as those in memory are."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    rules, key_text = [rule for rule in row_rules(schema) if rule.text in dropped], key_rule_text(schema)
    bad = _fetch_bad_rows(frame, rules, schema)
    repeated = _fetch_repeated_keys(good, schema) if key_text in dropped else bad.slice(0, 0)
    bad_frame = bad.to_pandas(types_mapper=pd.ArrowDtype)
    no_repeated = np.zeros(repeated.num_rows, dtype=bool)
    broken_by_rule = {rule.text: np.concatenate([rows_breaking(rule, bad_frame), no_repeated]) for rule in rules}
    if key_text is not None and key_text in dropped:
        broken_by_rule[key_text] = np.concatenate([np.zeros(bad.num_rows, dtype=bool), ~no_repeated])
    rows = pa.concat_tables([bad, repeated]).to_pandas(types_mapper=pd.ArrowDtype)
    return bad_row_examples(rows, broken_by_rule, schema)


def _fetch_bad_rows(frame: "nw.LazyFrame[Any]", rules: list[Rule], schema: TableSchema) -> "pa.Table":
    """Some rows for each broken rule, none of them twice."""
    import narwhals as nw
    import pyarrow as pa

    empty = pa.schema([field.with_nullable(True) for field in arrow_schema(schema)]).empty_table()
    if not rules:
        return empty
    samples = [
        frame.filter(rule.broken, *(~earlier.broken for earlier in rules[:number])).head(MAX_EXAMPLES)
        for number, rule in enumerate(rules[:MAX_EXAMPLES])
    ]
    rows: pa.Table = nw.concat(samples).collect("pyarrow").to_native().cast(empty.schema)
    return rows.sort_by([(column, "ascending") for column in schema.key]) if schema.key else rows


def _fetch_repeated_keys(good: "nw.LazyFrame[Any]", schema: TableSchema) -> "pa.Table":
    """Some keys of several rows, one row for each repetition; all other columns are null."""
    import narwhals as nw
    import pyarrow as pa

    several = _rows_by_key(good, schema).filter(nw.col("rows") > 1).sort(*schema.key).head(MAX_EXAMPLES)
    keys = several.collect("pyarrow").to_native().to_pylist()
    repetitions = [key for key in keys for _ in range(min(key["rows"] - 1, MAX_EXAMPLES))][:MAX_EXAMPLES]
    columns = {c.name: pa.array([key.get(c.name) for key in repetitions], arrow_type(c.kind)) for c in schema.columns}
    return pa.table(columns)

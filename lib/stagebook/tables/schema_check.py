"""Checks a frame against its declared schema: columns, types without loss, rules on rows.

In memory pandera does the checking. Its own reports list every failing cell (50 s for a frame of 340,000
bad rows), so each rule is one vectorised check that answers yes or no and stores its bad rows itself. Where
the rows are elsewhere (Spark), `remote_check` counts the same rules in one aggregate, since pandera would
start a job for each of them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from stagebook.delta.arrow import arrow_type
from stagebook.delta.engine import Engine
from stagebook.errors import SchemaViolation
from stagebook.model.tables import Coercion, TableSchema
from stagebook.tables.remote_check import check_remote
from stagebook.tables.rules import CheckedRows, bad_row_examples, key_rule_text, row_rules, rows_breaking

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pandera.pandas as pandera
    import pyarrow as pa


def check(engine: Engine, frame: Any, schema: TableSchema, coercion: Coercion | None = None) -> CheckedRows:
    """The rows of `frame` that fit `schema`, cast and in its column order.

    Rows that break a rule are dropped while their share is at most `max_bad_share`; of rows with the same
    key one stays: the first, where rows have an order.

    Args:
        coercion: how to convert what is no loss but a choice; None refuses it.
    Raises:
        SchemaViolation: columns missing or too many, a cast that would lose something, or too many bad rows.
    """
    import pyarrow as pa

    data = engine.conform(frame, schema, coercion)
    checked = _check_in_memory(data, schema) if isinstance(data, pa.Table) else check_remote(data, schema)
    checked.refuse_too_many_bad()
    return checked


def _check_in_memory(table: "pa.Table", schema: TableSchema) -> CheckedRows:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from pandera.errors import SchemaErrors

    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    broken_by_rule: dict[str, np.ndarray] = {}
    try:
        pandera_schema(schema, broken_by_rule).validate(frame, lazy=True)
    except SchemaErrors as errors:
        if not broken_by_rule:
            raise SchemaViolation.of(schema.name, "pandera refuses the frame.", todo=str(errors)[:2000]) from None
    if not broken_by_rule:
        return CheckedRows(table, schema, rows=table.num_rows)
    bad = np.logical_or.reduce(list(broken_by_rule.values()))
    return CheckedRows(
        data=table.filter(pa.array(~bad)),
        schema=schema,
        rows=int((~bad).sum()),
        dropped_by_rule={text: int(broken.sum()) for text, broken in broken_by_rule.items()},
        dropped_rows=int(bad.sum()),
        examples=bad_row_examples(frame, broken_by_rule, schema),
    )


def pandera_schema(
    schema: TableSchema, broken_by_rule: "dict[str, np.ndarray] | None" = None
) -> "pandera.DataFrameSchema":
    """The pandera schema of a table, for frames of Arrow dtypes.

    Args:
        broken_by_rule: receives, for each rule that is broken, a boolean array of the rows that break it.
    """
    import pandas as pd
    import pandera.pandas as pandera

    def pandera_check(text: str, rows_of: "Callable[[pd.DataFrame], np.ndarray]") -> "pandera.Check":
        return pandera.Check(partial(_holds, text, rows_of, broken_by_rule), name=text, error=text, ignore_na=False)

    checks = [pandera_check(rule.text, partial(rows_breaking, rule)) for rule in row_rules(schema)]
    if text := key_rule_text(schema):
        earlier = {} if broken_by_rule is None else broken_by_rule
        checks.append(pandera_check(text, partial(_rows_repeating_a_key, list(schema.key), earlier)))
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
    rows_of: "Callable[[pd.DataFrame], np.ndarray]",
    broken_by_rule: "dict[str, np.ndarray] | None",
    frame: "pd.DataFrame",
) -> bool:
    """Whether no row breaks a rule; the rows that do are stored."""
    broken = rows_of(frame)
    if not broken.any():
        return True
    if broken_by_rule is not None:
        broken_by_rule[text] = broken
    return False


def _rows_repeating_a_key(
    key: list[str], broken_by_rule: "Mapping[str, np.ndarray]", frame: "pd.DataFrame"
) -> "np.ndarray":
    """A boolean array of the rows whose key an earlier row has; rows that break another rule do not count."""
    import numpy as np

    repeated = ~np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *broken_by_rule.values()])
    repeated[repeated] = frame.loc[repeated, key].duplicated().to_numpy()
    return repeated

"""A frame against its declared schema: columns, types without loss, rules on rows.

In memory pandera does the checking. Its own reports list every failing cell (50 s for a frame of 340,000
bad rows), so each rule is one vectorised check that answers yes or no and leaves its bad rows here. Where
the rows are elsewhere (Spark), the same rules are counted in one aggregate, since pandera would start a
job for each of them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from stagebook.engines.arrow import arrow_type
from stagebook.engines.base import Engine
from stagebook.errors import SchemaViolation
from stagebook.model.tables import TableSchema
from stagebook.tables import elsewhere
from stagebook.tables.checked import Checked, examples, too_many
from stagebook.tables.rules import breaking, key_rule, rules

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pandera.pandas as pandera
    import pyarrow as pa


def check(engine: Engine, frame: Any, schema: TableSchema) -> Checked:
    """The rows of `frame` that fit `schema`, cast and in its column order.

    Rows that break a rule are dropped while their share is at most `max_bad_share`; of rows with the same
    key one is kept: the first, where rows have an order.

    Raises:
        SchemaViolation: columns missing or too many, a cast that would lose something, or too many bad rows.
    """
    import pyarrow as pa

    data = engine.conform(frame, schema)
    checked = _in_memory(data, schema) if isinstance(data, pa.Table) else elsewhere.checked(data, schema)
    if checked.dropped_rows > schema.max_bad_share * (checked.rows + checked.dropped_rows):
        raise too_many(checked)
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
        examples=examples(frame, found, schema),
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

    checks = [check(rule.text, partial(breaking, rule)) for rule in rules(schema)]
    if text := key_rule(schema):
        checks.append(check(text, partial(_repeated, list(schema.key), {} if found is None else found)))
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


def _repeated(key: list[str], found: "Mapping[str, np.ndarray]", frame: "pd.DataFrame") -> "np.ndarray":
    """A boolean array of the rows whose key an earlier row has; rows that break a rule already do not count."""
    import numpy as np

    fits = ~np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *found.values()])
    fits[fits] = frame.loc[fits, key].duplicated().to_numpy()
    return fits

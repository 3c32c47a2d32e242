"""Reading pinned tables, computing on frames, and committing new versions."""

import atexit
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stagebook.delta.engine import JoinHow
from stagebook.engines.open import open_engine
from stagebook.model.tables import Commit, StalePartitions, TableSchema
from stagebook.stage.current import current
from stagebook.tables.warehouse import Warehouse, Writer
from stagebook.typing import Conditions

if TYPE_CHECKING:
    import pandas as pd

    from stagebook.typing import Frame, LocalFrame


@functools.cache
def warehouse() -> Warehouse:
    """The tables of this process's run."""
    context = current().context
    engine = open_engine(context.engine, context.spark)
    atexit.register(engine.release)
    return Warehouse(context.tables, engine, context.external)


def read(name: str, *, columns: Sequence[str] | None = None, where: Conditions | None = None) -> "Frame":
    """A table as a frame of the stage's engine: pandas (Arrow dtypes), lazy polars or Spark; in no promised order.

    Under the runner it is the version that this run pinned, or that this stage has just written; in an
    interactive notebook the newest.

    Args:
        columns: only these, in this order; all others are not read from disk.
        where: conditions such as `[("month", "=", 12)]`, joined by *and* and pushed down to the files.
    Raises:
        UndeclaredTable: if the stage's `reads` does not name it.
        UnknownTable: if there is no such table or version.
    Example:
        >>> stage.read("flights", columns=["carrier", "distance_mi"], where=[("distance_mi", ">", 2000)]).shape
        (1, 2)
    """
    stage = current()
    if name not in stage.written:
        stage.refuse_undeclared(name, "reads")
    version = stage.context.inputs.get(name, stage.written.get(name))
    return warehouse().read(name, version=version, columns=columns, where=where)


def write(
    frame: "Frame | LocalFrame | Iterator[Frame | LocalFrame]",
    schema: TableSchema,
    *,
    replace: Conditions | None = None,
) -> Commit:
    """Commit a frame as the new content of its table, checked against the schema.

    One Delta commit that carries run id, stage and attempt. A retried or resumed stage that writes the
    same content again commits nothing and gets the first commit.

    Args:
        frame: a frame, or an iterator of frames that is written chunk by chunk in little memory.
        replace: replace only the rows that meet these conditions, and keep all others.
    Returns:
        The commit: `version`, `rows` and `size_bytes` of the table, rows `dropped_by_rule`.
    Raises:
        SchemaViolation: if more rows break a rule than the schema tolerates.
        UndeclaredTable: if the stage's `writes` does not name it.
    Example:
        >>> stage.write(pd.DataFrame({"code": ["JFK"], "name": ["John F. Kennedy"]}), AIRPORTS).rows
        1
    """
    return commit(frame, schema, replace=replace)


def commit(
    frame: "Frame | LocalFrame | Iterator[Frame | LocalFrame]",
    schema: TableSchema,
    *,
    replace: Conditions | None = None,
    stale: StalePartitions | None = None,
) -> Commit:
    """As `write`; with `stale`, the frame replaces these partitions and no other row."""
    stage = current()
    stage.refuse_undeclared(schema.name, "writes")
    context = stage.context
    writer = Writer(context.run_id, context.stage, context.attempt)
    committed = warehouse().write(frame, schema, writer=writer, replace=replace, stale=stale)
    if stage.managed:
        stage.written[schema.name] = committed.version
    return committed


def from_local(data: "LocalFrame") -> "Frame":
    """Data of this process (pandas, polars or Arrow) as a frame of the stage's engine; small data, on Spark.

    Example:
        >>> type(stage.from_local(pa.table({"x": [1, 2]}))).__name__
        'DataFrame'
    """
    return warehouse().engine.from_local(data)


def cache(frame: "Frame") -> "Frame":
    """The same frame, computed once however often it is used after this; released at the end of the stage.

    Example:
        >>> flights = stage.cache(stage.read("flights"))
    """
    return warehouse().engine.cache(frame)


def join(left: "Frame", right: "Frame", *, on: Sequence[str], how: JoinHow = "left") -> "Frame":
    """Two frames joined on equal columns; null keys meet nothing.

    On Spark a small right side is broadcast, and where few keys have most of the rows they are spread:
    for joins that are large on both sides, since the sizes are counted first.

    Example:
        >>> sorted(stage.join(stage.read("flights"), stage.read("airlines"), on=["carrier"]).columns)
        ['airline', 'carrier', 'distance_mi', 'origin']
    """
    return warehouse().engine.join(left, right, on=on, how=how)


def count(frame: "Frame") -> int:
    """The number of rows of a frame of any engine.

    Example:
        >>> stage.count(stage.read("flights"))
        3
    """
    return warehouse().engine.count(frame)


def to_pandas(frame: "Frame", *, limit: int | None = None) -> "pd.DataFrame":
    """A frame as pandas with Arrow dtypes in this process, by Arrow, if it is small enough.

    Args:
        limit: rows that are allowed; by default as many as take a quarter of the free memory.
    Raises:
        TooLarge: with what to do instead.
    Example:
        >>> int(stage.to_pandas(stage.read("flights"))["distance_mi"].max())
        2475
    """
    return warehouse().to_pandas(frame, limit=limit)


def head(frame: "Frame", rows: int = 5) -> "pd.DataFrame":
    """A few rows to look at, as pandas.

    Example:
        >>> len(stage.head(stage.read("flights"), 2))
        2
    """
    return warehouse().head(frame, rows)

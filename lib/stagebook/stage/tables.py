"""Reading pinned tables, computing on frames, and committing new versions."""

import atexit
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from stagebook.delta.engine import JoinHow
from stagebook.engines.open import open_engine
from stagebook.errors import BadFrame, did_you_mean
from stagebook.model.tables import Coercion, Commit, StalePartitions, TableSchema
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
    schema: TableSchema | str,
    *,
    replace: Conditions | None = None,
    evolve: bool = False,
    coerce: bool = False,
    zone: str | None = None,
) -> Commit:
    """Commit a frame as the new content of its table, checked against the schema.

    One Delta commit that carries run id, stage and attempt. A retried or resumed stage that writes the
    same content again commits nothing and gets the first commit.

    Args:
        frame: a frame, or an iterator of frames that is written chunk by chunk in little memory.
        schema: the table's schema. A name alone takes the types from the frame where there is no such table yet, and
            from then on accepts only frames of these.
        replace: replace only the rows that meet these conditions, and keep all others.
        evolve: with a name: add the frame's new columns to the table, and widen the types of the others.
        coerce: convert 0 and 1 to bool, durations to numbers in the column's unit, text that reads as a number, date
            or bool, UUIDs to text, float64 to float32; by default all these are refused.
        zone: with `coerce`, the zone of times that have none.
    Returns:
        The commit: `version`, `rows` and `size_bytes` of the table, rows `dropped_by_rule`.
    Raises:
        SchemaViolation: if more rows break a rule than the schema tolerates, or a column does not fit.
        BadFrame: if this is no frame, or columns of it hold values of several types.
        UndeclaredTable: if the stage's `writes` does not name it.
    Example:
        >>> stage.write(pd.DataFrame({"code": ["JFK"], "name": ["John F. Kennedy"]}), AIRPORTS).rows
        1
        >>> stage.write(pd.DataFrame({"carrier": ["UA"], "share": [0.2]}), "shares").version
        0
    """
    coercion = _coercion(schema, coerce=coerce, zone=zone)
    declared = _declared(frame, schema, evolve=evolve)
    return commit(frame, declared, replace=replace, coercion=coercion)


def _coercion(schema: TableSchema | str, *, coerce: bool, zone: str | None) -> Coercion | None:
    if zone is not None:
        name = schema if isinstance(schema, str) else schema.name
        if not coerce:
            raise BadFrame.of(f"table '{name}'", "`zone` is given without `coerce`", "Write with coerce=True as well.")
        if zone not in available_timezones():
            hint = did_you_mean(zone, sorted(available_timezones()))
            raise BadFrame.of(f"table '{name}'", f"there is no time zone '{zone}'", f"Name one such as UTC.{hint}")
    return Coercion(zone) if coerce else None


def _declared(frame: object, schema: TableSchema | str, *, evolve: bool) -> TableSchema:
    """The schema to write by.

    Raises:
        BadFrame: the arguments are in the other order, or of other types.
    """
    if isinstance(frame, str | TableSchema):
        name = frame if isinstance(frame, str) else frame.name
        raise BadFrame.of(
            f"table '{name}'", "frame and table are in the wrong order", "Call stage.write(frame, table)."
        )
    if isinstance(schema, TableSchema):
        if evolve:
            problem = "`evolve` widens a schema that no code declares, and this one is declared"
            raise BadFrame.of(
                f"table '{schema.name}'", problem, "Change the TableSchema, or write by the table's name."
            )
        return schema
    if not isinstance(schema, str):
        problem = f"a value of type {type(schema).__name__} does not name a table"
        raise BadFrame.of("stage.write", problem, 'Call stage.write(frame, SCHEMA) or stage.write(frame, "name").')
    if isinstance(frame, Iterator) and warehouse().latest(schema) is None:
        problem = "an iterator of frames does not tell the types of a new table"
        raise BadFrame.of(f"table '{schema}'", problem, "Declare a TableSchema and write by it.")
    current().refuse_undeclared(schema, "writes")
    return warehouse().schema_for(schema, frame, evolve=evolve)


def commit(
    frame: "Frame | LocalFrame | Iterator[Frame | LocalFrame]",
    schema: TableSchema,
    *,
    replace: Conditions | None = None,
    stale: StalePartitions | None = None,
    coercion: Coercion | None = None,
) -> Commit:
    """As `write`; with `stale`, the frame replaces these partitions and no other row."""
    stage = current()
    stage.refuse_undeclared(schema.name, "writes")
    context = stage.context
    writer = Writer(context.run_id, context.stage, context.attempt)
    committed = warehouse().write(frame, schema, writer=writer, replace=replace, stale=stale, coercion=coercion)
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

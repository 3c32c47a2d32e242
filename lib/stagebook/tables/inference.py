"""The schema of a table that no code declares: from its first frame, then from its log, widened on demand."""

from typing import TYPE_CHECKING

from stagebook.delta.arrow import kind_of
from stagebook.delta.casting import WIDER
from stagebook.errors import SchemaViolation
from stagebook.model.kinds import AnyKind, DecimalKind, ListKind, MapKind, StructKind
from stagebook.model.tables import Column, Layout, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

_DECLARE = "Convert the column, or declare a TableSchema with its type."


def inferred_schema(name: str, frame: "pa.Schema") -> TableSchema:
    """The schema of a table that is first written from a frame with these columns; all of them may be null.

    Raises:
        SchemaViolation: a column of nulls only, or of a type that a table cannot keep.
        BadSchema: names that a table cannot have.
    """
    return TableSchema(name, "", tuple(_inferred(name, field) for field in frame))


def _inferred(table: str, field: "pa.Field") -> Column:
    kind = kind_of(field.type)
    if str(field.type) == "null":
        problem = f"column '{field.name}' holds only nulls, which do not tell its type."
        raise SchemaViolation.of(table, problem, todo=_DECLARE)
    if kind is None:
        raise SchemaViolation.of(table, f"column '{field.name}' is {field.type}, which no table keeps.", todo=_DECLARE)
    return Column(field.name, kind, "", nullable=True)


def recorded_schema(name: str, columns: "pa.Schema", layout: Layout) -> TableSchema:
    """The schema that a table has according to its log: columns and layout, without key and rules.

    Raises:
        SchemaViolation: a type that is written only by the table's owner.
    """
    kinds = {field.name: kind_of(field.type) for field in columns}
    if foreign := [f"{name} ({columns.field(name).type})" for name, kind in kinds.items() if kind is None]:
        problem = f"it has columns that cannot be written: {', '.join(foreign)}."
        raise SchemaViolation.of(name, problem, todo="Its owner writes it; write to another table.")
    comments = {field.name: ((field.metadata or {}).get(b"comment") or b"").decode() for field in columns}
    recorded = tuple(
        Column(field.name, kind, comments[field.name], nullable=field.nullable)
        for field in columns
        if (kind := kinds[field.name]) is not None
    )
    return TableSchema(name, "", recorded, layout=layout)


def evolved_schema(recorded: TableSchema, frame: "pa.Schema") -> TableSchema:
    """The recorded schema with the frame's new columns, and with types that hold the values of both.

    Raises:
        SchemaViolation: types that have no common one, or columns that the frame lacks.
    """
    columns = []
    for column in recorded.columns:
        if column.name not in frame.names:
            columns.append(column)
            continue
        field = frame.field(column.name)
        kind = column.kind if str(field.type) == "null" else _common(column.kind, kind_of(field.type))
        if kind is None:
            problem = f"column '{column.name}' is {column.kind}, and no type holds it and the frame's {field.type}."
            raise SchemaViolation.of(recorded.name, problem, todo=_DECLARE)
        columns.append(Column(column.name, kind, column.description, nullable=column.nullable))
    added = [_inferred(recorded.name, field) for field in frame if field.name not in recorded.column_names]
    return TableSchema(recorded.name, recorded.description, (*columns, *added), layout=recorded.layout)


def _common(stored: AnyKind, offered: AnyKind | None) -> AnyKind | None:
    """The narrowest kind that holds all values of both; None where there is none."""
    if stored == offered or stored in WIDER.get(offered, ()):
        return stored
    if offered in WIDER.get(stored, ()):
        return offered
    match stored, offered:
        case DecimalKind(), DecimalKind():
            scale = max(stored.scale, offered.scale)
            whole = max(stored.precision - stored.scale, offered.precision - offered.scale)
            return DecimalKind(whole + scale, scale) if whole + scale <= 38 else None
        case ListKind(element), ListKind(other):
            return None if (common := _common(element, other)) is None else ListKind(common)
        case MapKind(key, value), MapKind(other_key, other) if key == other_key:
            return None if (common := _common(value, other)) is None else MapKind(key, common)
        case StructKind(), StructKind():
            return stored if stored == offered else None
        case _:
            return None

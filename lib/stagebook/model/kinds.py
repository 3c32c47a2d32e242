"""The types that a column can have: those of Delta that pandas, polars and Spark all keep without loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Kind(StrEnum):
    """The types without parts; `DecimalKind`, `ListKind`, `StructKind` and `MapKind` have parts.

    Example:
        >>> Kind("timestamp") is Kind.TIMESTAMP
        True
    """

    STRING = "string"
    BINARY = "binary"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOL = "bool"
    DATE = "date"
    TIMESTAMP = "timestamp"  # an instant, microseconds, UTC
    TIMESTAMP_NTZ = "timestamp_ntz"  # what a clock on a wall shows, microseconds, no zone


@dataclass(frozen=True)
class DecimalKind:
    """Exact decimal numbers of at most `precision` digits, `scale` of them after the point.

    Example:
        >>> str(DecimalKind(10, 2))
        'decimal(10,2)'
    """

    precision: int
    scale: int = 0

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True)
class ListKind:
    """Lists of one type, such as embeddings; they and their elements may be null.

    Example:
        >>> str(ListKind(Kind.FLOAT32))
        'list<float32>'
    """

    element: "AnyKind"

    def __str__(self) -> str:
        return f"list<{self.element}>"


@dataclass(frozen=True)
class StructKind:
    """Records with named fields, each of which may be null.

    Example:
        >>> str(StructKind((("city", Kind.STRING), ("people", Kind.INT64))))
        'struct<city:string,people:int64>'
    """

    fields: "tuple[tuple[str, AnyKind], ...]"

    def __str__(self) -> str:
        return f"struct<{','.join(f'{name}:{kind}' for name, kind in self.fields)}>"


@dataclass(frozen=True)
class MapKind:
    """Maps from keys, never null, to values that may be null.

    Example:
        >>> str(MapKind(Kind.STRING, Kind.INT64))
        'map<string,int64>'
    """

    key: "AnyKind"
    value: "AnyKind"

    def __str__(self) -> str:
        return f"map<{self.key},{self.value}>"


AnyKind: TypeAlias = Kind | DecimalKind | ListKind | StructKind | MapKind

INTEGERS = frozenset({Kind.INT8, Kind.INT16, Kind.INT32, Kind.INT64})
FLOATS = frozenset({Kind.FLOAT32, Kind.FLOAT64})
NESTED = (ListKind, StructKind, MapKind)

PARTITION_KINDS = INTEGERS | {Kind.STRING, Kind.BOOL, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMP_NTZ}
"""Types of columns that a table can be partitioned by: Delta keeps such values as text in the names of folders.
delta-rs loses binary values that way and fails with negative decimals; a float has no one text."""


def kind_problems(kind: object) -> Iterator[str]:
    """What keeps this from being the type of a column, each in a few words; nothing where it can be one."""
    match kind:
        case Kind():
            return
        case DecimalKind(precision, scale):
            if not (1 <= precision <= 38 and 0 <= scale <= precision):
                yield f"{kind} is no decimal type: precision is 1 to 38, scale 0 to the precision"
        case ListKind(element):
            yield from kind_problems(element)
        case StructKind(fields):
            names = [name for name, _ in fields]
            if not names or len({name.lower() for name in names}) < len(names):
                yield f"{kind} needs fields with different names; upper and lower case count as the same"
            for _, field_kind in fields:
                yield from kind_problems(field_kind)
        case MapKind(key, value):
            if isinstance(key, NESTED):
                yield f"{kind}: the keys of a map cannot be lists, structs or maps"
            yield from kind_problems(key)
            yield from kind_problems(value)
        case _:
            names = ", ".join(f"Kind.{name.name}" for name in Kind)
            yield f"{kind!r} is no type of a column; there are {names}, DecimalKind, ListKind, StructKind and MapKind"

"""What a table's schema states about rows, as narwhals expressions: one definition for frames of any engine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagebook.model.tables import Column, TableSchema

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Rule:
    """One statement about rows: its words, the columns it is about, and which rows break it (never null)."""

    text: str
    columns: tuple[str, ...]
    broken: "nw.Expr"


def rules(schema: TableSchema) -> list[Rule]:
    """All rules on single rows that a table's schema states."""
    return [rule for column in schema.columns for rule in _rules(column)]


def key_rule(schema: TableSchema) -> str | None:
    """The words of the rule that the key is unique; None where the table has no key."""
    return f"key ({', '.join(schema.key)}) is unique" if schema.key else None


def any_broken(stated: list[Rule]) -> "nw.Expr":
    """Whether a row breaks one of the rules. Halves are joined to halves: Spark Connect takes no deep expression."""
    if len(stated) == 1:
        return stated[0].broken
    middle = len(stated) // 2
    return any_broken(stated[:middle]) | any_broken(stated[middle:])


def breaking(rule: Rule, frame: "pd.DataFrame") -> "np.ndarray":
    """A boolean array of the rows that break the rule."""
    import narwhals as nw

    return nw.from_native(frame, eager_only=True).select(broken=rule.broken)["broken"].to_numpy().astype(bool)


def _rules(column: Column) -> list[Rule]:
    import narwhals as nw

    values, stated = nw.col(column.name), []

    def rule(text: str, broken: "nw.Expr") -> None:
        stated.append(Rule(f"{column.name} {text}", (column.name,), broken))

    if not column.nullable:
        rule("is not null", values.is_null())
    if column.minimum is not None:
        rule(f">= {column.minimum:g}", (values < column.minimum).fill_null(value=False))
    if column.maximum is not None:
        rule(f"<= {column.maximum:g}", (values > column.maximum).fill_null(value=False))
    if column.allowed is not None:
        rule(f"in {', '.join(column.allowed)}", ~values.is_in(column.allowed) & ~values.is_null())
    return stated

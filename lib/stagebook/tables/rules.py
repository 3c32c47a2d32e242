"""States the rules of a table's schema as narwhals expressions, one definition for every engine, and their outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from stagebook.errors import SchemaViolation
from stagebook.model.tables import Column, Kind, TableSchema

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np
    import pandas as pd

MAX_EXAMPLES = 5
_FOLDER_BYTES = 255


@dataclass(frozen=True)
class Rule:
    """One rule on single rows: its text, the columns that it is about, and which rows break it (never null)."""

    text: str
    columns: tuple[str, ...]
    broken: "nw.Expr"


@dataclass(frozen=True)
class CheckedRows:
    """The rows that fit a schema, in the form that the engine writes, and an account of the rows that do not.

    `dropped_by_rule` counts bad rows by the rule that they break (a row may break several); `examples` are at
    most five of them, with the key and the columns at fault.
    """

    data: Any
    schema: TableSchema
    rows: int
    dropped_by_rule: Mapping[str, int] = field(default_factory=dict)
    dropped_rows: int = 0
    examples: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        summary = f"{self.rows:,} rows fit table '{self.schema.name}'"
        if not self.dropped_rows:
            return summary
        counts = "; ".join(f"{rule}: {count:,}" for rule, count in self.dropped_by_rule.items())
        return f"{summary}, {self.dropped_rows:,} dropped: {counts}"

    def refuse_too_many_bad(self) -> None:
        """Refuse the frame if the share of bad rows is above the schema's `max_bad_share`.

        Raises:
            SchemaViolation: with the counts by rule and the examples.
        """
        total = self.rows + self.dropped_rows
        if self.dropped_rows <= self.schema.max_bad_share * total:
            return
        tolerated = f"tolerated are {self.schema.max_bad_share:.2%}."
        raise SchemaViolation.of(
            self.schema.name,
            f"{self.dropped_rows:,} of {total:,} rows break its schema; {tolerated}",
            *(f"{rule}: {count:,} rows" for rule, count in self.dropped_by_rule.items()),
            "for example:",
            *(f"  {_example_text(example)}" for example in self.examples),
            todo="Correct the data where it is made, or change the rule or max_bad_share in the table's schema.",
        )


def row_rules(schema: TableSchema) -> list[Rule]:
    """All rules on single rows that a table's schema states."""
    rules = [rule for column in schema.columns for rule in _column_rules(column)]
    by = schema.layout.partition_by
    return rules + [_folder_rule(c.name) for c in schema.columns if c.name in by and c.kind is Kind.STRING]


def _folder_rule(name: str) -> Rule:
    """That the text of a partition column can be the name of a folder, on every engine and for every reader.

    Delta reads an empty text as null, which breaks a table whose column may hold none for ever; Spark reads Hive's
    name for null as null, and writes no NUL. In a folder's name other characters take three bytes each, those beyond
    ASCII up to twelve.
    """
    import narwhals as nw

    text = nw.col(name)
    encoded = text.str.replace_all(r"[^\x00-\x7F]", "%" * 12).str.replace_all(r"[^A-Za-z0-9_.%-]", "%" * 3)
    is_null_to_readers = (text == "") | (text == "__HIVE_DEFAULT_PARTITION__")
    too_long = encoded.str.len_chars() > _FOLDER_BYTES - len(quote(name, safe="")) - 1
    broken = (is_null_to_readers | text.str.contains("\x00", literal=True) | too_long).fill_null(value=False)
    return Rule(f"{name} can name a partition (not empty, no NUL, at most {_FOLDER_BYTES} bytes)", (name,), broken)


def key_rule_text(schema: TableSchema) -> str | None:
    """The text of the rule that the key is unique; None where the table has no key."""
    return f"key ({', '.join(schema.key)}) is unique" if schema.key else None


def any_broken(rules: list[Rule]) -> "nw.Expr":
    """Whether a row breaks one of the rules. Halves are joined to halves: Spark Connect takes no deep expression."""
    if len(rules) == 1:
        return rules[0].broken
    middle = len(rules) // 2
    return any_broken(rules[:middle]) | any_broken(rules[middle:])


def rows_breaking(rule: Rule, frame: "pd.DataFrame") -> "np.ndarray":
    """A boolean array of the rows that break the rule."""
    import narwhals as nw

    return nw.from_native(frame, eager_only=True).select(broken=rule.broken)["broken"].to_numpy().astype(bool)


def bad_row_examples(
    frame: "pd.DataFrame", broken_by_rule: "Mapping[str, np.ndarray]", schema: TableSchema
) -> tuple[Mapping[str, Any], ...]:
    """At most five bad rows of a frame, each rule in turn giving one.

    Args:
        broken_by_rule: for each broken rule, by its text, a boolean array of the rows that break it.
    """
    columns_of_rule = {rule.text: rule.columns for rule in row_rules(schema)} | {key_rule_text(schema): schema.key}
    positions_by_rule = {
        text: [int(position) for position in broken.nonzero()[0][:MAX_EXAMPLES]]
        for text, broken in broken_by_rule.items()
    }
    columns_at_fault: dict[int, set[str]] = {}
    for text, positions in positions_by_rule.items():
        for position in positions:
            columns_at_fault.setdefault(position, set()).update(columns_of_rule[text])
    rounds = (
        positions[turn]
        for turn in range(MAX_EXAMPLES)
        for positions in positions_by_rule.values()
        if turn < len(positions)
    )
    chosen = list(dict.fromkeys(rounds))[:MAX_EXAMPLES]
    return tuple(
        {
            name: _none_if_missing(frame[name].iloc[position])
            for name in schema.column_names
            if name in schema.key or name in columns_at_fault[position]
        }
        for position in chosen
    )


def _column_rules(column: Column) -> list[Rule]:
    import narwhals as nw

    values = nw.col(column.name)
    broken: dict[str, nw.Expr] = {}
    if not column.nullable:
        broken["is not null"] = values.is_null()
    if column.minimum is not None:
        broken[f">= {column.minimum:g}"] = (values < column.minimum).fill_null(value=False)
    if column.maximum is not None:
        broken[f"<= {column.maximum:g}"] = (values > column.maximum).fill_null(value=False)
    if column.allowed is not None:
        broken[f"in {', '.join(column.allowed)}"] = ~values.is_in(column.allowed) & ~values.is_null()
    return [Rule(f"{column.name} {text}", (column.name,), expression) for text, expression in broken.items()]


def _none_if_missing(value: Any) -> Any:
    import pandas as pd

    return None if value is pd.NA or value is pd.NaT else value


def _example_text(example: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short_text(value)}" for name, value in example.items())


def _short_text(value: Any) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"

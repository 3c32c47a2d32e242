"""Checks a table chunk by chunk as a stream, so that memory never holds all of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stagebook.delta.arrow import arrow_schema
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import StagebookError
from stagebook.model.tables import Coercion, TableSchema
from stagebook.tables.schema_check import check

if TYPE_CHECKING:
    import pyarrow as pa


class Chunks:
    """Frames of this process as one stream of the rows that fit a schema; bad rows are counted by their rule."""

    def __init__(self, frames: Iterator[Any], schema: TableSchema, coercion: Coercion | None = None) -> None:
        self.frames, self.schema, self.coercion = frames, schema, coercion
        self.dropped_by_rule: Counter[str] = Counter()
        self._failure: StagebookError | None = None

    def stream(self) -> "pa.RecordBatchReader":
        """The rows, to be read once; a chunk that does not fit ends the stream with an error."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(arrow_schema(self.schema), self._batches())

    @contextmanager
    def unwrapped_errors(self) -> Iterator[None]:
        """Raise the violation that ended the stream itself, not the error in which the stream's reader wraps it."""
        try:
            yield
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def _batches(self) -> "Iterator[pa.RecordBatch]":
        engine, schema = LocalEngine(), arrow_schema(self.schema)
        for frame in self.frames:
            try:
                checked = check(engine, frame, self.schema, self.coercion)
            except StagebookError as fault:
                self._failure = fault
                raise
            self.dropped_by_rule.update(checked.dropped_by_rule)
            yield from checked.data.cast(schema).to_batches()

"""A table in pieces: each checked when its turn comes, so that the whole never is in memory."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stagebook.engines.arrow import arrow_schema
from stagebook.engines.local import LocalEngine
from stagebook.errors import StagebookError
from stagebook.model.tables import TableSchema
from stagebook.tables.contract import check

if TYPE_CHECKING:
    import pyarrow as pa


class Pieces:
    """Frames of this process as one stream of rows that fit a schema."""

    def __init__(self, frames: Iterator[Any], schema: TableSchema) -> None:
        self.frames, self.schema = frames, schema
        self.dropped: Counter[str] = Counter()
        self._fault: StagebookError | None = None

    def stream(self) -> "pa.RecordBatchReader":
        """The rows, to be read once; what goes wrong with a piece ends it."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(arrow_schema(self.schema), self._batches())

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """Whoever reads the stream wraps its errors; the violation that caused them is raised instead."""
        try:
            yield
        except Exception:
            if self._fault is not None:
                raise self._fault from None
            raise

    def _batches(self) -> "Iterator[pa.RecordBatch]":
        engine, schema = LocalEngine(), arrow_schema(self.schema)
        for frame in self.frames:
            try:
                checked = check(engine, frame, self.schema)
            except StagebookError as fault:
                self._fault = fault
                raise
            self.dropped.update(checked.dropped)
            yield from checked.data.cast(schema).to_batches()

"""The pandas engine: Arrow-backed pandas frames over delta-rs, on one machine and without Java."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from stagebook.delta import predicates
from stagebook.delta.arrow import arrow_schema, arrow_table, plain, read_all
from stagebook.delta.casting import cast
from stagebook.delta.changes import compare_columns, refuse_changes_in_part
from stagebook.delta.creation import configuration, file_properties
from stagebook.delta.digests import digest, fingerprints
from stagebook.delta.engine import CONTENT, JoinHow, WriteOrder
from stagebook.delta.log import DeltaLog, commit_of, has_transaction, open_table, read_metadata, transaction_version
from stagebook.delta.protocol import Protocol, readers, unreadable, unwritable
from stagebook.errors import SchemaViolation, UnknownColumn, UnreadableTable, UnwritableTable
from stagebook.model.tables import Coercion, Commit, Layout, Predicates, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

Rows = Union["pa.Table", "pa.RecordBatchReader"]

_SESSION = {
    "datafusion.execution.target_partitions": "1",
    "datafusion.execution.batch_size": "65536",
    "datafusion.execution.parquet.coerce_int96": "us",
}
"""One partition keeps the rows in file order; large batches make it as fast as two (10 M rows: 0.2 s). Timestamps that
Spark writes as INT96 would become nanoseconds, which end in 2262: the year 9999 would be 1816."""


class LocalEngine(DeltaLog):
    """pandas frames with Arrow types, read and written through delta-rs."""

    name = "pandas"

    def read(self, path: Path, *, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> Any:
        """One version as a pandas frame of `ArrowDtype` columns; columns and conditions are pushed down.

        A condition is never true for a null. Rows come in the order of the files, the same each time.

        Raises:
            UnreadableTable: the table uses a feature that delta-rs would read wrongly.
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        import pandas as pd

        return self.read_arrow(path, version=version, columns=columns, where=where).to_pandas(
            types_mapper=pd.ArrowDtype
        )

    def read_arrow(
        self, path: Path, *, version: int, columns: Sequence[str] | None = None, where: Predicates = ()
    ) -> "pa.Table":
        """As `read`, as an Arrow table of ordinary columns."""
        return plain(query_rows(self.readable(path, version), columns, where))

    def readable(self, path: Path, version: int) -> "DeltaTable":
        """The table at a version, for reading.

        Raises:
            UnreadableTable: the table uses a feature that delta-rs would read wrongly.
        """
        table = open_table(path, version)
        protocol = Protocol.of(table)
        if features := unreadable(protocol):
            raise UnreadableTable.of(str(path), engine=self.name, features=features, readers=readers(protocol))
        return table

    def from_local(self, data: Any) -> Any:
        """A pandas frame as it is; other data as a pandas frame of `ArrowDtype` columns."""
        import pandas as pd

        return data if isinstance(data, pd.DataFrame) else self.to_arrow(data).to_pandas(types_mapper=pd.ArrowDtype)

    def cache(self, frame: Any) -> Any:
        """The frame itself: pandas computes eagerly."""
        return frame

    def release(self) -> None:
        """Does nothing: frames are freed when the notebook ends."""

    def count(self, frame: Any) -> int:
        """The number of rows."""
        return len(frame)

    def join(self, left: Any, right: Any, *, on: Sequence[str], how: JoinHow) -> Any:
        """Two frames joined on equal columns; null keys match nothing."""
        import narwhals as nw

        return nw.from_native(left).join(nw.from_native(right), on=list(on), how=how).to_native()

    def to_arrow(self, frame: Any, subject: str = "the data") -> "pa.Table":
        """A pandas frame, or anything with Arrow's stream protocol, as an Arrow table without index columns.

        Args:
            subject: what an error begins with.
        Raises:
            BadFrame: this is no frame, or Arrow cannot hold a column of it.
        """
        return arrow_table(frame, subject)

    def arrow_schema_of(self, frame: Any, subject: str) -> "pa.Schema":
        """The columns of a frame and their Arrow types; errors begin with `subject`."""
        return self.to_arrow(frame, subject).schema

    def conform(self, frame: Any, schema: TableSchema, coercion: Coercion | None = None) -> "pa.Table":
        """The declared columns as an Arrow table; see `casting.cast`."""
        return cast(self.to_arrow(frame, f"table '{schema.name}'"), schema, coercion)

    def digest(self, data: "pa.Table") -> str:
        """A digest of names, types and values in the order of the rows."""
        return digest(data)

    def fingerprints(self, frame: Any, by: str | None) -> dict[Any, str]:
        """For each value of a column a digest of its rows; by polars, so that both local engines agree."""
        return fingerprints(self.to_arrow(frame), by)

    def commit_metadata(self, path: Path, order: WriteOrder) -> Commit:
        """Commits the metadata of `order` by appending no rows.

        Raises:
            WriteConflict, UnwritableTable: as `write`.
        """
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError

        table = open_table(path)
        self._refuse_unwritable(table, path)
        self.require_latest(path, order.after)
        version = table.version() + 1
        no_rows = arrow_schema(order.schema).empty_table()
        try:
            write_deltalake(table, no_rows, mode="append", commit_properties=_commit_properties(order, version))
        except CommitFailedError as fault:
            raise self.conflict(path) from fault
        return commit_of(open_table(path, version), path)

    def write(self, path: Path, data: "Rows", order: WriteOrder) -> Commit:
        """Commits `data` exactly once; creates the Delta table if need be, and makes sure that it opens afterwards.

        A stream is written in its own order and replaces the whole table.

        The transaction is looked up and written through the same `DeltaTable`, and the commit must be the
        next version: a commit in between is a conflict, never merged.

        Raises:
            WriteConflict: another writer committed first; the same call may be repeated.
            UnwritableTable: the table uses a feature that delta-rs would damage.
            SchemaViolation: `order.replace` does not cover all rows, or the columns differ from the table's by more
                than new ones that may be null.
            DamagedTable: the commit is in the log, and nothing can open the table at it.
        """
        import pyarrow as pa
        from deltalake.exceptions import CommitFailedError, DeltaError

        target = open_table(path) if self.latest(path) is not None else None
        if target is not None:
            self._refuse_unwritable(target, path)
            version = transaction_version(target, path, order.app_id)
            if version is not None and _same_content(path, version, order):
                return replace(self.commit(path, version), repeated=True)
        self.require_latest(path, order.after)
        conditions = predicates.check(order.replace or (), arrow_schema(order.schema))
        if isinstance(data, pa.Table):
            _refuse_rows_outside(data, conditions, order)
            data = _sorted_by_layout(data.cast(arrow_schema(order.schema)), order.schema.layout)
        version = 0 if target is None else target.version() + 1
        try:
            if target is None:
                _create(path, data, order, _commit_properties(order, version))
            else:
                where = predicates.to_sql(conditions) if order.replace is not None else None
                _overwrite(target, data, order, where, _commit_properties(order, version))
        except DeltaError as fault:
            if isinstance(fault, CommitFailedError) or (target is None and self.latest(path) is not None):
                raise self.conflict(path) from fault
            raise
        except ValueError:
            if not has_transaction(path, version, order.app_id):
                raise  # delta-rs reads the log again after a commit: what fails then has been committed
        return self.opened_commit(path, version)

    def _refuse_unwritable(self, table: "DeltaTable", path: Path) -> None:
        if features := unwritable(Protocol.of(table)):
            raise UnwritableTable.of(str(path), engine=self.name, features=features)


def _same_content(path: Path, version: int, order: WriteOrder) -> bool:
    """Whether a commit has the content to be written; assumed where the commit does not record its content."""
    content = order.metadata.get(CONTENT)
    return read_metadata(path, version).get(CONTENT, content) == content


def query_rows(table: "DeltaTable", columns: Sequence[str] | None, where: Predicates) -> "pa.Table":
    """Columns and rows of a table from delta-rs' query engine: with views, and dictionaries for partitions.

    That engine reads column mapping, deletion vectors and v2 checkpoints correctly, where `DeltaTable.to_pandas`
    returns nulls or fails.

    Raises:
        UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
    """
    import pyarrow as pa
    from deltalake import QueryBuilder

    schema = pa.schema(table.schema().to_arrow())
    names = selected_columns(columns, schema)
    condition = predicates.to_sql(predicates.check(where, schema))
    select = ", ".join(predicates.quoted(column) for column in names)
    query = QueryBuilder(_SESSION).register("t", table)
    return read_all(query.execute(f'SELECT {select} FROM "t" WHERE {condition}'))


def selected_columns(columns: Sequence[str] | None, schema: "pa.Schema") -> list[str]:
    """The columns to read, in the order of `columns` (None: all).

    Raises:
        UnknownColumn: the table does not have one of them, or `columns` is empty or names one twice.
    """
    names = [columns] if isinstance(columns, str) else list(schema.names if columns is None else columns)
    for column in names:
        if column not in schema.names:
            raise UnknownColumn.of(column, columns=schema.names)
    if not names or len(set(names)) < len(names):
        raise UnknownColumn.list_of(names, columns=schema.names)
    return names


def _sorted_by_layout(table: "pa.Table", layout: Layout) -> "pa.Table":
    """The rows sorted (stably) by partition and Z-order columns: as close to Z-ordering as one commit comes."""
    by = [*layout.partition_by, *layout.z_order]
    return table.sort_by([(column, "ascending") for column in by]) if by else table


def _commit_properties(order: WriteOrder, version: int) -> "CommitProperties":
    """Commit metadata and the transaction, numbered by the version that it creates; never merged with other commits."""
    from deltalake import CommitProperties, Transaction

    return CommitProperties(
        custom_metadata=order.log_metadata,
        app_transactions=[Transaction(order.app_id, version)],
        max_commit_retries=0,
    )


def _create(path: Path, data: "Rows", order: WriteOrder, properties: "CommitProperties") -> None:
    from deltalake import write_deltalake

    layout = order.schema.layout
    write_deltalake(
        str(path),
        data,
        mode="error",
        name=order.schema.name,
        description=order.schema.description,
        partition_by=list(layout.partition_by) or None,
        target_file_size=layout.target_file_bytes,
        writer_properties=file_properties(),
        configuration=configuration(order.schema),
        commit_properties=properties,
    )


def _overwrite(
    target: "DeltaTable", data: "Rows", order: WriteOrder, where: str | None, properties: "CommitProperties"
) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    declared, present = order.schema, target.metadata().partition_columns
    change = compare_columns(pa.schema(target.schema().to_arrow()), arrow_schema(declared), nullability=True)
    partition_by = list(declared.layout.partition_by)
    if where is not None:
        refuse_changes_in_part(declared, target.version(), change, present)
    mode = ("overwrite" if where is None else "merge") if change.columns or present != partition_by else None
    write_deltalake(
        target,
        data,
        mode="overwrite",
        predicate=where,
        schema_mode=mode,
        partition_by=partition_by if mode == "overwrite" else None,
        target_file_size=order.schema.layout.target_file_bytes,
        writer_properties=file_properties(),
        commit_properties=properties,
    )


def _refuse_rows_outside(table: "pa.Table", conditions: Sequence[predicates.Condition], order: WriteOrder) -> None:
    outside = table.num_rows - table.filter(predicates.to_expression(conditions)).num_rows
    if outside:
        raise SchemaViolation.rows_outside(order.schema.name, outside, table.num_rows, predicates.to_sql(conditions))

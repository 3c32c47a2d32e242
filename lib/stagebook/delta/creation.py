"""Creates a Delta table as its schema declares it: the same on every engine."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.delta.arrow import arrow_schema
from stagebook.model.tables import TableSchema

if TYPE_CHECKING:
    from deltalake import WriterProperties

GROUP_ROWS = 131_072
"""Rows of a row group: small enough to prune inside one file (December of the flights: 0.14 instead of 0.66 MB read),
for files larger by a thirtieth. With delta-rs' default of a million, most of our files would have one group."""


def configuration(schema: TableSchema) -> dict[str, str | None]:
    """The table properties of the layout. Columns to order by always have statistics.

    Log cleanup is off: with each hundredth commit, writers would delete commits older than a month, and with them
    versions that retained runs read, although their files still exist.
    """
    layout, names = schema.layout, schema.column_names
    indexed = [names.index(column) + 1 for column in layout.z_order]
    return {
        "delta.dataSkippingNumIndexedCols": str(max([layout.statistics_columns, *indexed])),
        "delta.targetFileSize": str(layout.target_file_bytes),
        "delta.enableExpiredLogCleanup": "false",
    }


def file_properties() -> "WriterProperties":
    """How delta-rs writes our Parquet files. Compression is set because passing properties replaces its default."""
    from deltalake import WriterProperties

    return WriterProperties(compression="SNAPPY", max_row_group_size=GROUP_ROWS)


def create_empty(path: Path, schema: TableSchema) -> None:
    """Create the table without rows: columns with comments, and the layout's properties.

    For Spark, whose writer would lose comments and NOT NULL. A table that another writer has created meanwhile
    stays as it is.
    """
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        DeltaTable.create(
            str(path),
            schema=arrow_schema(schema),
            mode="ignore",
            partition_by=list(schema.layout.partition_by) or None,
            name=schema.name,
            description=schema.description,
            configuration=configuration(schema),
            # Version 0 or nothing: a retry would create the table a second time, under another id.
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(str(path)):
            raise


def name_invariants(path: Path) -> None:
    """Add the feature that Spark asks for where columns may hold no null, in a commit of its own.

    delta-rs leaves it out of a table whose times have no zone, and Spark then refuses to write. If another writer is
    faster, the write that follows meets its conflict.
    """
    from deltalake import DeltaTable, TableFeatures
    from deltalake.exceptions import CommitFailedError

    table = DeltaTable(str(path))
    features = table.protocol().writer_features
    if features is None or "invariants" in features or all(field.nullable for field in table.schema().fields):
        return
    with contextlib.suppress(CommitFailedError):
        table.alter.add_feature(TableFeatures.Invariants, allow_protocol_versions_increase=True)

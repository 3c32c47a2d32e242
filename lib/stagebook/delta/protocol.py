"""The features of the Delta protocol that each engine reads and writes correctly.

The lists name what is allowed, not what is known to fail: a feature added to Delta later is refused by name.
Measured with delta-rs 1.6.6; Spark's features are those of Delta 4.4.0 (`TableFeature`).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from stagebook.model.maintenance import EngineAccess

if TYPE_CHECKING:
    from deltalake import DeltaTable

READABLE = frozenset({"columnMapping", "deletionVectors", "timestampNtz", "v2Checkpoint"})
WRITABLE = frozenset(
    {"appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns", "timestampNtz"}
)
LEGACY_WRITER = {5: "columnMapping", 6: "identityColumns"}
"""Writer versions below 7 name their features by number; 1 to 4 need none beyond `WRITABLE`."""

SPARK_READER = READABLE | {
    "catalogManaged", "geospatial", "typeWidening", "typeWidening-preview", "variantShredding",
    "vacuumProtocolCheck", "variantShredding-preview", "variantType", "variantType-preview",
}  # fmt: skip
SPARK_WRITER = SPARK_READER | WRITABLE | {
    "allowColumnDefaults", "checkpointProtection", "clustering", "coordinatedCommits-preview", "domainMetadata",
    "icebergCompatV1", "icebergCompatV2", "icebergCompatV3", "identityColumns", "inCommitTimestamp",
    "materializePartitionColumns", "rowTracking",
}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """The protocol versions and features that a table requires of readers and writers."""

    reader_version: int = 1
    writer_version: int = 2
    reader_features: frozenset[str] = field(default_factory=frozenset)
    writer_features: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, table: "DeltaTable") -> Self:
        required = table.protocol()
        features = (frozenset(required.reader_features or ()), frozenset(required.writer_features or ()))
        return cls(required.min_reader_version, required.min_writer_version, *features)

    @property
    def features(self) -> list[str]:
        """All named features, sorted."""
        return sorted(self.reader_features | self.writer_features)


def unreadable(protocol: Protocol, readable: frozenset[str] = READABLE) -> list[str]:
    """Names of the features that would be read wrongly or not at all; empty if the table can be read."""
    if protocol.reader_version > 3:
        return [f"reader version {protocol.reader_version}"]
    return sorted(protocol.reader_features - readable)


def readers(protocol: Protocol) -> list[str]:
    """The engines that read a table of this protocol rightly."""
    local = ["pandas", "polars"] if not unreadable(protocol) else []
    return [*local, *(["spark"] if not unreadable(protocol, SPARK_READER) else [])]


def unwritable(protocol: Protocol, writable: frozenset[str] = WRITABLE) -> list[str]:
    """Names of the features that a write would damage; empty if the table can be written."""
    if protocol.writer_version > 7:
        return [f"writer version {protocol.writer_version}"]
    legacy = {name for version, name in LEGACY_WRITER.items() if version <= protocol.writer_version < 7}
    return sorted((protocol.writer_features | legacy) - writable)


def engine_access(protocol: Protocol) -> tuple[EngineAccess, ...]:
    """For each engine, the features that keep it from reading or writing such a table.

    The Spark engine reads the log through delta-rs, also for writes: it cannot write what delta-rs cannot read.
    """
    local = unreadable(protocol)
    spark = unreadable(protocol, SPARK_READER)
    on_one_machine = [EngineAccess(name, local, local + unwritable(protocol)) for name in ("pandas", "polars")]
    return (
        *on_one_machine,
        EngineAccess("spark", spark, sorted({*local, *spark, *unwritable(protocol, SPARK_WRITER)})),
    )

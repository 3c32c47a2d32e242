"""Which features of the Delta protocol delta-rs reads and writes rightly (measured with 1.6.6).

Lists of what is allowed, not of what is known to fail: a feature that comes later is refused by name.
"""

from collections.abc import Sequence

READABLE = frozenset({"columnMapping", "deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
WRITABLE = frozenset(
    {"appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns", "timestampNtz"}
)
LEGACY_WRITER = {5: "columnMapping", 6: "identityColumns"}
"""Writer versions below 7 name their features by number; 1 to 4 need none beyond `WRITABLE`."""


def unreadable(reader_version: int, features: Sequence[str]) -> list[str]:
    """Names of the features that would be read wrongly or not at all; empty if the table can be read."""
    if reader_version > 3:
        return [f"reader version {reader_version}"]
    return sorted(set(features) - READABLE)


def unwritable(writer_version: int, features: Sequence[str]) -> list[str]:
    """Names of the features that a write would harm; empty if the table can be written."""
    if writer_version > 7:
        return [f"writer version {writer_version}"]
    legacy = {name for version, name in LEGACY_WRITER.items() if version <= writer_version < 7}
    return sorted((set(features) | legacy) - WRITABLE)

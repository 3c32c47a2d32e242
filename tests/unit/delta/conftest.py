"""Delta tables of other writers: logs written by hand, since delta-rs cannot write them."""

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

Foreign = Callable[..., Path]


def deletion_vector(rows: list[int]) -> dict:
    """An inline deletion vector: Delta's magic number before a 64-bit roaring bitmap, in Z85."""
    container = struct.pack("<II", 12346, 1) + struct.pack("<HHI", 0, len(rows) - 1, 16)
    container += b"".join(struct.pack("<H", row) for row in rows)
    bitmap = struct.pack("<I", 1681511377) + struct.pack("<qI", 1, 0) + container
    padded = bitmap + b"\0" * (-len(bitmap) % 4)
    text = base64.b85encode(padded).translate(bytes.maketrans(B85, Z85)).decode()
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(padded), "cardinality": len(rows)}


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    """`foreign(reader=3, features=[…])` writes a table `k: long, s: string` of ten rows; returns its folder."""

    def write(
        *,
        reader: int = 1,
        writer: int = 2,
        features: tuple[str, ...] = (),
        writer_features: tuple[str, ...] | None = None,
        configuration: dict[str, str] | None = None,
        physical: dict[str, str] | None = None,
        deleted: list[int] | None = None,
        stats: bool = True,
    ) -> Path:
        path = tmp_path / "foreign"
        (path / "_delta_log").mkdir(parents=True)
        names = physical or {"k": "k", "s": "s"}
        data = pa.table({names["k"]: pa.array(range(10), pa.int64()), names["s"]: [f"row {i}" for i in range(10)]})
        pq.write_table(data, path / "part-0.parquet")
        fields = [
            {
                "name": name,
                "type": kind,
                "nullable": True,
                "metadata": {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": names[name]}
                if physical
                else {},
            }
            for number, (name, kind) in enumerate([("k", "long"), ("s", "string")], start=1)
        ]
        protocol: dict = {"minReaderVersion": reader, "minWriterVersion": writer}
        if reader >= 3:
            protocol["readerFeatures"] = list(features)
        if writer >= 7:
            protocol["writerFeatures"] = list(features if writer_features is None else writer_features)
        metadata = {
            "id": "00000000-0000-0000-0000-000000000001",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": fields}),
            "partitionColumns": [],
            "configuration": configuration or {},
            "createdTime": 0,
        }
        add = {
            "path": "part-0.parquet",
            "partitionValues": {},
            "size": (path / "part-0.parquet").stat().st_size,
            "modificationTime": 0,
            "dataChange": True,
        }
        if stats:
            add["stats"] = json.dumps({"numRecords": 10})
        if deleted:
            add["deletionVector"] = deletion_vector(deleted)
        info = {"timestamp": 0, "operation": "WRITE", "userMetadata": json.dumps({"stagebook.run_id": "spark run"})}
        actions = [{"commitInfo": info}, {"protocol": protocol}, {"metaData": metadata}, {"add": add}]
        log = path / "_delta_log" / f"{0:020d}.json"
        log.write_text("\n".join(json.dumps(action) for action in actions), encoding="utf-8")
        return path

    return write

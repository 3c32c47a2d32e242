"""The tables for measurements: generated from a seed, written in chunks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from stagebook.calibrate.work import EVENTS, PEOPLE
from stagebook.delta.arrow import arrow_schema
from stagebook.delta.engine import WriteOrder
from stagebook.delta.pandas_engine import LocalEngine

CHUNK_ROWS = 500_000
NAMES, PLACES = 200_000, 300


def make_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write the tables `events` with `rows` rows and `people` below `folder`, unless they exist; return their paths."""
    events, people = folder / f"events-{rows}", folder / "people"
    engine = LocalEngine()
    if engine.latest(people) is None:
        engine.write(people, _people(), WriteOrder(PEOPLE, "calibrate"))
    if engine.latest(events) is None:
        stream = pa.RecordBatchReader.from_batches(arrow_schema(EVENTS), _events(rows))
        engine.write(events, stream, WriteOrder(EVENTS, "calibrate"))
    return events, people


def _people() -> pa.Table:
    rng = np.random.default_rng(7)
    return pa.table(
        {
            "who": [f"name-{number:06}" for number in range(NAMES)],
            "age": rng.integers(0, 99, NAMES, dtype="int32"),
            "income": rng.uniform(1, 9, NAMES),
        },
        schema=arrow_schema(PEOPLE),
    )


def _events(rows: int) -> Iterator[pa.RecordBatch]:
    names = pa.array([f"name-{number:06}" for number in range(NAMES)])
    places = pa.array([f"place-{number:03}" for number in range(PLACES)])
    start_seconds = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp())
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        rng = np.random.default_rng([7, start])
        seconds = start_seconds + (np.arange(start, start + count) * (365 * 86400 / rows)).astype("int64")
        columns = [
            pa.array(np.arange(start, start + count)),
            pa.array(seconds * 1_000_000).cast(pa.timestamp("us", "UTC")),
            pa.array((seconds // 86400).astype("int32")).cast(pa.date32()),
            names.take(pa.array(rng.integers(0, NAMES, count))),
            places.take(pa.array(rng.integers(0, PLACES, count))),
            pa.array(rng.uniform(0, 1, count), mask=rng.uniform(0, 1, count) < 0.02),
            pa.array(rng.integers(0, 50, count, dtype="int32")),
            pa.array(rng.integers(0, 1000, count, dtype="int16")),
            pa.array(rng.uniform(0, 1, count) < 0.3),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=arrow_schema(EVENTS))

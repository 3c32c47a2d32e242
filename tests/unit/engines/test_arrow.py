"""The digest of a table's content."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stagebook.engines.arrow import digest

BASE = pa.table({"a": [1, None, 3], "b": ["x", None, ""], "c": [0.5, 1.5, None], "d": [True, None, False]})


def test_chunks_and_slices_and_what_lies_under_a_null_do_not_count():
    chunked = pa.concat_tables([BASE.slice(0, 1), BASE.slice(1)])
    longer = pa.concat_tables([BASE, BASE]).slice(3)
    hidden = pa.table(
        {**{n: BASE[n] for n in BASE.column_names}, "a": pc.if_else(pc.is_null(BASE["a"]), None, BASE["a"])}
    )
    assert digest(BASE) == digest(chunked) == digest(longer) == digest(hidden)


@pytest.mark.parametrize(
    "other",
    [
        BASE.take([0, 2, 1]),
        BASE.slice(0, 2),
        BASE.rename_columns(["z", "b", "c", "d"]),
        BASE.set_column(0, "a", pa.array([1, 0, 3])),
        BASE.set_column(1, "b", pa.array(["x", "", ""])),
        BASE.set_column(0, "a", pa.array([1, None, 3], pa.int32())),
    ],
)
def test_every_difference_counts(other):
    assert digest(BASE) != digest(other)

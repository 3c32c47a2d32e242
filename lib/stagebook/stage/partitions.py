"""A table that is built partition by partition: only those whose inputs or code have changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import narwhals as nw

from stagebook.cache.sources.functions import function_digest
from stagebook.delta.arrow import arrow_schema
from stagebook.errors import SchemaViolation
from stagebook.model.tables import Commit, PartitionSource, PartitionSources, PartitionValue, TableSchema
from stagebook.stage.current import current
from stagebook.stage.tables import commit, read, warehouse

if TYPE_CHECKING:
    from stagebook.typing import Frame, LocalFrame

_PARTITION = "__partition"
_CODE = "the code"
"""The input of every partition that is no source; as it is no identifier, no source can have this name."""


@dataclass(frozen=True)
class PartitionBuild:
    """What a call of `build_partitions` did.

    `reasons` says of each partition that was built or removed why; `built` are those that were built, `built_rows` the
    number of their rows, and `commit` the commit of the table.
    """

    reasons: Mapping[PartitionValue, str]
    built: Sequence[PartitionValue]
    built_rows: int
    commit: Commit

    def _repr_html_(self) -> str:
        """One row a reason: the number of its partitions, the first and the last."""
        by_reason: dict[str, list[PartitionValue]] = {}
        for partition, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(partition)
        rows = "".join(
            _html_row("td", reason, len(partitions), partitions[0], partitions[-1])
            for reason, partitions in by_reason.items()
        )
        if not rows:
            return "<p>All partitions are up to date.</p>"
        return f"<table>{_html_row('th', 'reason', 'partitions', 'first', 'last')}{rows}</table>"


def _html_row(tag: str, *cells: PartitionValue) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def build_partitions(
    schema: TableSchema,
    build: "Callable[..., Frame | LocalFrame]",
    *,
    by: str,
    sources: Mapping[str, PartitionSource],
    rebuild: bool = False,
) -> PartitionBuild:
    """Bring a table up to date partition by partition, in one commit.

    A partition is built again when rows of its sources have changed, when the code that `build` reaches has, or when
    the table lacks it; partitions without rows in the first source are removed. The commit records what every
    partition was built from, so that the next call can compare.

    Args:
        build: the function that builds rows: called once, with one keyword argument for each source, a frame with the
            rows of the partitions to build and of those that they look back on. Rows of other partitions than those to
            build are left out of what it returns. It is not called if there is none to build.
        by: the column of the table whose values name the partitions, such as a month.
        sources: the tables that `build` takes, by its arguments; the partitions are those of the first one.
        rebuild: build all partitions, although nothing has changed.
    Raises:
        SchemaViolation: if more rows break a rule than the schema tolerates, or a row of the first source has no
            partition.
        UndeclaredTable: if `reads` and `writes` of the stage do not name the tables.
        PartitionsMoved: if another run has meanwhile built other partitions from other inputs.
    Example:
        >>> sources = {"flights": PartitionSource(by="origin")}
        >>> build = stage.build_partitions(DISTANCES, longest_flights, by="origin", sources=sources)
        >>> build.built, dict(build.reasons)
        (['EWR', 'JFK'], {'EWR': 'new', 'JFK': 'new'})
    """
    current().refuse_undeclared(schema.name, "writes")
    engine = warehouse().engine
    frames = {name: _with_partition(name, source) for name, source in sources.items()}
    fingerprints = _fingerprints(frames, sources, function_digest(build))
    stale = warehouse().stale_partitions(schema, PartitionSources(by, fingerprints), everything=rebuild)
    if not stale.to_build:
        no_rows = engine.from_local(arrow_schema(schema).empty_table())
        return PartitionBuild(stale.reasons, [], 0, commit(no_rows, schema, stale=stale))
    partitions = list(fingerprints)
    inputs = {
        name: _restricted(frames[name], source, _with_look_back(stale.to_build, partitions, source.look_back))
        for name, source in sources.items()
    }
    rows = nw.from_native(engine.from_local(build(**inputs)))
    # Rows of no partition stay, for the schema to refuse: dropped without a word, they would be missed by nobody.
    frame = engine.cache(rows.filter(nw.col(by).is_in(stale.to_build) | nw.col(by).is_null()).to_native())
    return PartitionBuild(stale.reasons, stale.to_build, engine.count(frame), commit(frame, schema, stale=stale))


def _with_partition(name: str, source: PartitionSource) -> Any:
    """The source's rows; where they have partitions, with these as a column."""
    frame = read(source.table or name, columns=source.columns)
    if source.by is None:
        return frame
    partition = nw.col(source.by) if isinstance(source.by, str) else source.by
    return nw.from_native(frame).with_columns(partition.alias(_PARTITION)).to_native()


def _fingerprints(
    frames: Mapping[str, Any], sources: Mapping[str, PartitionSource], code: str
) -> dict[PartitionValue, dict[str, str]]:
    """For each partition the fingerprints of its inputs: rows of its own, rows that it looks back on, whole tables."""
    engine = warehouse().engine
    digests = {
        name: engine.fingerprints(frames[name], _PARTITION if source.by is not None else None)
        for name, source in sources.items()
    }
    partitions = _partitions(next(iter(sources)), digests)
    inputs: dict[PartitionValue, dict[str, str]] = {}
    for place, partition in enumerate(partitions):
        inputs[partition] = {_CODE: code}
        for name, source in sources.items():
            if source.by is None:
                inputs[partition][name] = digests[name][None]
                continue
            inputs[partition][name] = digests[name].get(partition, "none")
            for earlier in partitions[max(0, place - source.look_back) : place]:
                inputs[partition][f"{name} of {earlier}"] = digests[name].get(earlier, "none")
    return inputs


def _partitions(name: str, digests: Mapping[str, Mapping[Any, str]]) -> list[PartitionValue]:
    """The partitions in their order: those of the first source.

    Raises:
        SchemaViolation: its rows have no partition, or one that is neither a whole number nor a text.
    """
    unfit = next((value for value in digests[name] if not isinstance(value, int | str)), "")
    if unfit != "":
        problem = "some of its rows have no partition" if unfit is None else f"{unfit!r} cannot name a partition"
        todo = "The first source gives the partitions: its `by` has to be a whole number or a text in every row."
        raise SchemaViolation.of(name, f"{problem}.", todo=todo)
    return sorted(digests[name])


def _with_look_back(
    to_build: Sequence[PartitionValue], partitions: Sequence[PartitionValue], look_back: int
) -> list[PartitionValue]:
    places = {partition: place for place, partition in enumerate(partitions)}
    needed = {
        partitions[place]
        for partition in to_build
        for place in range(max(0, places[partition] - look_back), places[partition] + 1)
    }
    return sorted(needed)


def _restricted(frame: Any, source: PartitionSource, partitions: Sequence[PartitionValue]) -> Any:
    """The rows of some partitions, as the build function gets them."""
    if source.by is None:
        return frame
    return nw.from_native(frame).filter(nw.col(_PARTITION).is_in(partitions)).drop(_PARTITION).to_native()

"""Order, selection and readiness of the stages of a pipeline: pure functions over their names."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Literal

from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.pipeline import RunIf
from stagebook.model.record import StageStatus

Graph = Mapping[str, Sequence[str]]
"""Stage name → the names of the stages that it depends on."""


def find_cycle(graph: Graph) -> list[str] | None:
    """One cycle as a closed path (`a, b, a`), or None."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return None


def order(graph: Graph) -> list[str]:
    """All stages, each after those that it depends on; otherwise they keep the order of `graph`."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    rank = {name: position for position, name in enumerate(graph)}
    ordered: list[str] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready(), key=rank.__getitem__):
            ordered.append(name)
            sorter.done(name)
    return ordered


class Frontier:
    """The stages that may start because all of their upstream stages have ended, in the order of `order`.

    Each stage comes out of `pop` once. A pass through a graph takes time in proportion to its edges, however many
    stages are ready at once.
    """

    def __init__(self, graph: Graph) -> None:
        self._sorter = TopologicalSorter(graph)
        self._sorter.prepare()
        self._rank = {name: position for position, name in enumerate(order(graph))}
        self._parents = graph
        self._children = _children(graph)
        self._ended: set[str] = set()
        self._ready: list[tuple[int, str]] = []
        self._add_ready()

    def pop(self) -> str | None:
        """The next stage, or None if every remaining one waits for a stage that has not ended."""
        return heappop(self._ready)[1] if self._ready else None

    def put_back(self, names: Iterable[str]) -> None:
        """Return stages that were popped and did not start; `pop` gives them again."""
        for name in names:
            heappush(self._ready, (self._rank[name], name))

    def mark_ended(self, name: str) -> None:
        """Record that a popped stage has ended, whatever its status."""
        self._sorter.done(name)
        self._ended.add(name)
        self._add_ready()

    def next_after(self, running: Collection[str]) -> Iterator[str]:
        """The stages that can start once the running ones have ended, in their order.

        Stages that are ready already come first.
        """
        yield from (name for _, name in sorted(self._ready))
        for name in dict.fromkeys(child for parent in running for child in self._children[parent]):
            if all(parent in running or parent in self._ended for parent in self._parents[name]):
                yield name

    def _add_ready(self) -> None:
        self.put_back(self._sorter.get_ready())


def upstream(graph: Graph, names: Iterable[str]) -> set[str]:
    """The stages and everything that they depend on, directly or not."""
    return _reach(graph, names)


def downstream(graph: Graph, names: Iterable[str]) -> set[str]:
    """The stages and everything that depends on them, directly or not."""
    return _reach(_children(graph), names)


def _children(graph: Graph) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {name: [] for name in graph}
    for name, parents in graph.items():
        for parent in parents:
            children[parent].append(name)
    return children


def _reach(edges: Mapping[str, Sequence[str]], names: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending.extend(edges[name])
    return reached


def select(
    graph: Graph,
    *,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
    only: Sequence[str] = (),
) -> set[str]:
    """The stages that `--from` (`first`), `--to` (`last`) and `--only` select together.

    `first` selects the stages and all downstream, `last` the stages and all upstream; both at once select
    what lies between. `only` selects just the stages named, `+b` with all upstream, `b+` with all
    downstream of `b`.

    Raises:
        ConfigError: if a name is not a stage, or if no stage is selected.
    """
    selected = set(graph)
    if first:
        selected &= downstream(graph, [_checked(graph, name, "--from") for name in first])
    if last:
        selected &= upstream(graph, [_checked(graph, name, "--to") for name in last])
    if only:
        listed: set[str] = set()
        for term in only:
            name = _checked(graph, term.strip("+"), "--only")
            listed.add(name)
            listed |= upstream(graph, [name]) if term.startswith("+") else set()
            listed |= downstream(graph, [name]) if term.endswith("+") else set()
        selected &= listed
    if not selected:
        raise ConfigError("--from, --to and --only leave no stage to run.\n  stages: " + ", ".join(graph))
    return selected


def _checked(graph: Graph, name: str, flag: str) -> str:
    if name in graph:
        return name
    raise ConfigError(
        f"{flag}: there is no stage '{name}'.{did_you_mean(name, list(graph))}\n  stages: {', '.join(graph)}"
    )


Readiness = Literal["wait", "start", "upstream_failed", "skip"]


def readiness(run_if: RunIf, upstream_states: Sequence[StageStatus]) -> Readiness:
    """Whether a stage may start, by how the stages that it depends on ended.

    As on Databricks, a stage waits until every upstream stage has ended. A skipped upstream stage counts as a
    success, but if all were skipped the stage is skipped too, whatever its `run_if`; `upstream_failed` counts as
    a failure. If `run_if` is not fulfilled, a stage that waits for failures is skipped; any other one becomes
    `upstream_failed`. Source: https://docs.databricks.com/jobs/run-if.html
    """
    if any(state in (StageStatus.PENDING, StageStatus.RUNNING) for state in upstream_states):
        return "wait"
    if not upstream_states:
        return "start"
    if all(state is StageStatus.SKIPPED for state in upstream_states):
        return "skip"
    failed = [state in (StageStatus.FAILED, StageStatus.UPSTREAM_FAILED) for state in upstream_states]
    match run_if:
        case RunIf.ALL_SUCCESS | RunIf.NONE_FAILED:
            fulfilled = not any(failed)
        case RunIf.AT_LEAST_ONE_SUCCESS:
            fulfilled = not all(failed)
        case RunIf.ALL_DONE:
            fulfilled = True
        case RunIf.ALL_FAILED:
            fulfilled = all(failed)
        case RunIf.AT_LEAST_ONE_FAILED:
            fulfilled = any(failed)
    if fulfilled:
        return "start"
    return "upstream_failed" if run_if in _NEED_SUCCESS else "skip"


def missing_result(run_if: RunIf, early_ends: Sequence[str | None]) -> str | None:
    """Why a stage that may start is skipped all the same: upstream stages ended early, and left nothing to start from.

    ALL_SUCCESS asks for the results of all upstream stages, NONE_FAILED and AT_LEAST_ONE_SUCCESS for one of them,
    any other `run_if` for none.

    Args:
        early_ends: for each upstream stage that did not fail, why it has no result; None if it has one.
    """
    match run_if:
        case RunIf.ALL_SUCCESS:
            is_missing = any(early_ends)
        case RunIf.NONE_FAILED | RunIf.AT_LEAST_ONE_SUCCESS:
            is_missing = bool(early_ends) and all(early_ends)
        case _:
            is_missing = False
    return "; ".join(dict.fromkeys(filter(None, early_ends))) if is_missing else None


_NEED_SUCCESS = (RunIf.ALL_SUCCESS, RunIf.NONE_FAILED, RunIf.AT_LEAST_ONE_SUCCESS)

"""Order, selection and readiness of stages: pure functions over names."""

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
    """All stages, each after what it depends on; stages that are free to swap keep the order given."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    rank = {name: place for place, name in enumerate(graph)}
    ordered: list[str] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready(), key=rank.__getitem__):
            ordered.append(name)
            sorter.done(name)
    return ordered


class Frontier:
    """The stages whose upstream stages have all ended, as `order` has them: each is given out once.

    To go through a graph takes time in proportion to its edges, however many stages are ready at once.
    """

    def __init__(self, graph: Graph) -> None:
        self._sorter = TopologicalSorter(graph)
        self._sorter.prepare()
        self._rank = {name: place for place, name in enumerate(order(graph))}
        self._parents = graph
        self._children = _children(graph)
        self._ended: set[str] = set()
        self._ready: list[tuple[int, str]] = []
        self._take_in()

    def pop(self) -> str | None:
        """The next stage, or None where all others wait for one that has not ended."""
        return heappop(self._ready)[1] if self._ready else None

    def back(self, names: Iterable[str]) -> None:
        """Stages that were given out and did not start: they come again."""
        for name in names:
            heappush(self._ready, (self._rank[name], name))

    def ended(self, name: str) -> None:
        """A stage that was given out has ended, however it did."""
        self._sorter.done(name)
        self._ended.add(name)
        self._take_in()

    def after(self, names: Collection[str]) -> Iterator[str]:
        """The stages that will be given out when no more than these, which have been, have ended; in their order.

        Those come first that wait for nothing but to be given out.
        """
        yield from (name for _, name in sorted(self._ready))
        for name in dict.fromkeys(child for parent in names for child in self._children[parent]):
            if all(parent in names or parent in self._ended for parent in self._parents[name]):
                yield name

    def _take_in(self) -> None:
        self.back(self._sorter.get_ready())


def upstream(graph: Graph, names: Iterable[str]) -> set[str]:
    """The names and everything that they depend on, directly or not."""
    return _reach(graph, names)


def downstream(graph: Graph, names: Iterable[str]) -> set[str]:
    """The names and everything that depends on them, directly or not."""
    return _reach(_children(graph), names)


def _children(graph: Graph) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {name: [] for name in graph}
    for name, parents in graph.items():
        for parent in parents:
            children[parent].append(name)
    return children


def _reach(edges: Mapping[str, Sequence[str]], names: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    frontier = list(names)
    while frontier:
        name = frontier.pop()
        if name not in reached:
            reached.add(name)
            frontier.extend(edges[name])
    return reached


def select(
    graph: Graph,
    *,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
    only: Sequence[str] = (),
) -> set[str]:
    """The stages that `--from`, `--to` and `--only` name together.

    `first` takes the stages and all downstream, `last` the stages and all upstream; both at once take
    what lies between. `only` takes just the stages named, `+b` with all upstream, `b+` with all
    downstream of `b`.

    Raises:
        ConfigError: if a name is not a stage, or if nothing is left.
    """
    chosen = set(graph)
    if first:
        chosen &= downstream(graph, [_known(graph, name, "--from") for name in first])
    if last:
        chosen &= upstream(graph, [_known(graph, name, "--to") for name in last])
    if only:
        named: set[str] = set()
        for term in only:
            name = _known(graph, term.strip("+"), "--only")
            named.add(name)
            named |= upstream(graph, [name]) if term.startswith("+") else set()
            named |= downstream(graph, [name]) if term.endswith("+") else set()
        chosen &= named
    if not chosen:
        raise ConfigError("--from, --to and --only leave no stage to run.\n  stages: " + ", ".join(graph))
    return chosen


def _known(graph: Graph, name: str, flag: str) -> str:
    if name in graph:
        return name
    raise ConfigError(
        f"{flag}: there is no stage '{name}'.{did_you_mean(name, list(graph))}\n  stages: {', '.join(graph)}"
    )


Readiness = Literal["wait", "start", "upstream_failed", "skip"]


def readiness(run_if: RunIf, upstream_states: Sequence[StageStatus]) -> Readiness:
    """Whether a stage may start, given how the stages that it depends on ended.

    As on Databricks, a stage waits until every upstream stage has ended. A skipped upstream stage counts as a
    success, but where all were skipped the stage is skipped too, whatever its `run_if`; `upstream_failed` counts as
    a failure. Where `run_if` does not let it pass, a stage that answers failures is skipped, any other has
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
            go = not any(failed)
        case RunIf.AT_LEAST_ONE_SUCCESS:
            go = not all(failed)
        case RunIf.ALL_DONE:
            go = True
        case RunIf.ALL_FAILED:
            go = all(failed)
        case RunIf.AT_LEAST_ONE_FAILED:
            go = any(failed)
    if go:
        return "start"
    return "upstream_failed" if run_if in _NEED_SUCCESS else "skip"


_NEED_SUCCESS = (RunIf.ALL_SUCCESS, RunIf.NONE_FAILED, RunIf.AT_LEAST_ONE_SUCCESS)

"""Lay out a DAG: layers from left to right, no two boxes overlap, no edge runs under a box.

Layers by longest path. An edge that skips layers gets a lane of its own in each layer that it crosses. The order
within a layer comes from barycentre sweeps, the heights from least squares under minimum distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BOX_HEIGHT = 50.0
LANE_HEIGHT = 6.0
ROW_GAP = 16.0
COLUMN_GAP = 34.0
EDGE_GAP = 2.0  # additional room between two layers for each edge that runs there
WIDEST_GAP = 80.0
MARGIN = 6.0
SWEEPS = 8


@dataclass(frozen=True)
class Box:
    """One stage: its left upper corner and size, in pixels."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Edge:
    """One dependency as SVG path data, from the right side of `source` to the left side of `target`.

    `points` are the midpoints of the sides that it passes, from left to right.
    """

    source: str
    target: str
    path: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class DagLayout:
    """Size, boxes and edges of the drawing, in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


@dataclass(eq=False)
class _Slot:
    """A box, or a lane that the edges of one source share, within a layer. `position` counts from the top."""

    layer: int
    height: float
    position: int = 0
    y: float = 0.0  # of its middle
    predecessors: list["_Slot"] = field(default_factory=list)
    successors: list["_Slot"] = field(default_factory=list)


def layout(depends_on: Mapping[str, Sequence[str]], *, box_width: float = 150.0) -> DagLayout:
    """Place every stage. Dependencies on unknown stages, and those that close a cycle, are not drawn.

    Args:
        depends_on: stage → the stages upstream of it.
        box_width: in pixels.
    """
    parents = without_cycles(depends_on)
    layers = _layers(parents)
    columns: list[list[_Slot]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    slots: dict[str, _Slot] = {}
    routes: list[tuple[str, str, list[_Slot]]] = []
    for name, layer in layers.items():
        slots[name] = _Slot(layer, BOX_HEIGHT)
        columns[layer].append(slots[name])
    lanes: dict[tuple[str, int], _Slot] = {}
    for target, sources in parents.items():
        routes += [(source, target, _route(source, target, slots, lanes, columns)) for source in sources]
    _order_layers(columns)
    _set_heights(columns)

    top = min((slot.y - slot.height / 2 for column in columns for slot in column), default=0.0)
    for column in columns:
        for slot in column:
            slot.y += MARGIN - top

    busiest = max((sum(len(slot.successors) for slot in column) for column in columns), default=0)
    gap = min(COLUMN_GAP + EDGE_GAP * max(busiest - 4, 0), WIDEST_GAP)

    def x_of(slot: _Slot) -> float:
        return MARGIN + slot.layer * (box_width + gap)

    boxes = tuple(Box(name, x_of(slot), slot.y - BOX_HEIGHT / 2, box_width, BOX_HEIGHT) for name, slot in slots.items())
    bottom = max((slot.y + slot.height / 2 for column in columns for slot in column), default=0.0)
    return DagLayout(
        width=max((box.x + box.width for box in boxes), default=0.0) + MARGIN,
        height=bottom + MARGIN,
        boxes=boxes,
        edges=tuple(
            _edge(source, target, [(x_of(slot), slot.y) for slot in route], box_width)
            for source, target, route in routes
        ),
    )


def without_cycles(depends_on: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Stage → its upstream stages that exist, upstream stages first. Dependencies that close a cycle are dropped."""
    waiting = {
        name: [parent for parent in dict.fromkeys(parents) if parent in depends_on and parent != name]
        for name, parents in depends_on.items()
    }
    ordered: dict[str, list[str]] = {}
    while waiting:
        sources = [name for name, parents in waiting.items() if all(parent in ordered for parent in parents)]
        for name in sources or [next(iter(waiting))]:
            ordered[name] = [parent for parent in waiting.pop(name) if parent in ordered]
    return ordered


def _layers(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    layers: dict[str, int] = {}
    for name, sources in parents.items():
        layers[name] = 1 + max((layers[source] for source in sources), default=-1)
    return layers


def _route(
    source: str,
    target: str,
    slots: Mapping[str, _Slot],
    lanes: dict[tuple[str, int], _Slot],
    columns: list[list[_Slot]],
) -> list[_Slot]:
    """The slots that an edge passes, ends included; the edges of one source share their lanes."""
    route = [slots[source]]
    for layer in range(slots[source].layer + 1, slots[target].layer):
        if (source, layer) not in lanes:
            lanes[source, layer] = _Slot(layer, LANE_HEIGHT)
            columns[layer].append(lanes[source, layer])
        route.append(lanes[source, layer])
    route.append(slots[target])
    for predecessor, successor in pairwise(route):
        if successor not in predecessor.successors:
            predecessor.successors.append(successor)
            successor.predecessors.append(predecessor)
    return route


def _order_layers(columns: list[list[_Slot]]) -> None:
    """Order each layer by the mean position of its neighbours, in several sweeps to the right and back."""
    _number(columns)
    for sweep in range(SWEEPS):
        rightwards = sweep % 2 == 0
        for column in columns if rightwards else reversed(columns):
            column.sort(key=_mean_predecessor if rightwards else _mean_successor)
            _number([column])


def _number(columns: Sequence[Sequence[_Slot]]) -> None:
    for column in columns:
        for position, slot in enumerate(column):
            slot.position = position


def _mean_predecessor(slot: _Slot) -> float:
    return _mean_position(slot.predecessors, slot.position)


def _mean_successor(slot: _Slot) -> float:
    return _mean_position(slot.successors, slot.position)


def _mean_position(neighbours: Sequence[_Slot], default: int) -> float:
    return sum(slot.position for slot in neighbours) / len(neighbours) if neighbours else default


def _set_heights(columns: list[list[_Slot]]) -> None:
    """Move each slot as near to the mean height of its neighbours as the distances within its layer allow."""
    for column in columns:
        _spread(column, [0.0] * len(column))
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            targets: list[float] = []
            for slot in column:
                heights = [neighbour.y for neighbour in slot.predecessors + slot.successors]
                targets.append(sum(heights) / len(heights) if heights else slot.y)
            _spread(column, targets)


def _spread(column: Sequence[_Slot], targets: Sequence[float]) -> None:
    """Least squares under `y[i+1] - y[i] >= distance`: isotonic regression by pooling neighbours."""
    offset = 0.0
    offsets: list[float] = []
    for position, slot in enumerate(column):
        if position:
            offset += (column[position - 1].height + slot.height) / 2 + ROW_GAP
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for target, shift in zip(targets, offsets, strict=True):
        mean, members = target - shift, 1
        while pools and pools[-1][0] > mean:
            previous_mean, previous_members = pools.pop()
            mean = (mean * members + previous_mean * previous_members) / (members + previous_members)
            members += previous_members
        pools.append((mean, members))
    means = [mean for mean, members in pools for _ in range(members)]
    for slot, mean, shift in zip(column, means, offsets, strict=True):
        slot.y = mean + shift


def _edge(source: str, target: str, corners: list[tuple[float, float]], box_width: float) -> Edge:
    """A smooth path: level across the layers, an S between them."""
    x, y = corners[0][0] + box_width, corners[0][1]
    points = [(x, y)]
    segments = [f"M{x:.1f} {y:.1f}"]
    for position, (next_x, next_y) in enumerate(corners[1:], start=1):
        middle = (x + next_x) / 2
        segments.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}")
        points.append((next_x, next_y))
        x, y = next_x, next_y
        if position < len(corners) - 1:
            x += box_width
            segments.append(f"H{x:.1f}")
            points.append((x, y))
    return Edge(source, target, "".join(segments), tuple(points))

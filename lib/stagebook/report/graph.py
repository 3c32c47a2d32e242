"""Where the boxes and lines of a DAG go: layers from left to right, no box on another, no line under a box.

Longest-path layers; lines that skip layers get a lane of their own in each layer they cross; the order
within a layer by barycentre sweeps; heights by least squares under the minimum distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BOX_HEIGHT = 50.0
LANE_HEIGHT = 6.0
ROW_GAP = 16.0
COLUMN_GAP = 34.0
LINE_GAP = 2.0  # more room between two layers for each line that runs there
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
class Line:
    """One dependency as SVG path data, from the right side of `source` to the left side of `target`.

    `points` are the middles of the sides it passes, from left to right.
    """

    source: str
    target: str
    path: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Picture:
    """The whole drawing, in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


@dataclass(eq=False)
class _Slot:
    """A box, or the lane of the lines from one source, within a layer: `place` counts from the top."""

    layer: int
    height: float
    place: int = 0
    y: float = 0.0  # of its middle
    left: list["_Slot"] = field(default_factory=list)
    right: list["_Slot"] = field(default_factory=list)


def layout(depends_on: Mapping[str, Sequence[str]], *, box_width: float = 150.0) -> Picture:
    """Place every stage. Dependencies on unknown stages, and those that close a cycle, are not drawn."""
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
    _sort(columns)
    _place(columns)

    top = min((slot.y - slot.height / 2 for column in columns for slot in column), default=0.0)
    for column in columns:
        for slot in column:
            slot.y += MARGIN - top

    busiest = max((sum(len(slot.right) for slot in column) for column in columns), default=0)
    gap = min(COLUMN_GAP + LINE_GAP * max(busiest - 4, 0), WIDEST_GAP)

    def left(slot: _Slot) -> float:
        return MARGIN + slot.layer * (box_width + gap)

    boxes = tuple(Box(name, left(slot), slot.y - BOX_HEIGHT / 2, box_width, BOX_HEIGHT) for name, slot in slots.items())
    bottom = max((slot.y + slot.height / 2 for column in columns for slot in column), default=0.0)
    return Picture(
        width=max((box.x + box.width for box in boxes), default=0.0) + MARGIN,
        height=bottom + MARGIN,
        boxes=boxes,
        lines=tuple(
            _line(source, target, [(left(slot), slot.y) for slot in route], box_width)
            for source, target, route in routes
        ),
    )


def without_cycles(depends_on: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Each stage's known upstream stages, in an order where upstream comes first; cycles are cut open."""
    waiting = {
        name: [parent for parent in dict.fromkeys(parents) if parent in depends_on and parent != name]
        for name, parents in depends_on.items()
    }
    ordered: dict[str, list[str]] = {}
    while waiting:
        ready = [name for name, parents in waiting.items() if all(parent in ordered for parent in parents)]
        for name in ready or [next(iter(waiting))]:
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
    """The slots that a line passes, ends included; lines from one source share their lanes."""
    route = [slots[source]]
    for layer in range(slots[source].layer + 1, slots[target].layer):
        if (source, layer) not in lanes:
            lanes[source, layer] = _Slot(layer, LANE_HEIGHT)
            columns[layer].append(lanes[source, layer])
        route.append(lanes[source, layer])
    route.append(slots[target])
    for one, other in pairwise(route):
        if other not in one.right:
            one.right.append(other)
            other.left.append(one)
    return route


def _sort(columns: list[list[_Slot]]) -> None:
    """Order each layer by the mean place of its neighbours, a few times to the right and back."""
    _number(columns)
    for sweep in range(SWEEPS):
        rightwards = sweep % 2 == 0
        for column in columns if rightwards else reversed(columns):
            column.sort(key=_mean_left if rightwards else _mean_right)
            _number([column])


def _number(columns: Sequence[Sequence[_Slot]]) -> None:
    for column in columns:
        for place, slot in enumerate(column):
            slot.place = place


def _mean_left(slot: _Slot) -> float:
    return sum(one.place for one in slot.left) / len(slot.left) if slot.left else slot.place


def _mean_right(slot: _Slot) -> float:
    return sum(one.place for one in slot.right) / len(slot.right) if slot.right else slot.place


def _place(columns: list[list[_Slot]]) -> None:
    """Heights: each slot as near to its neighbours' mean as the distances within its layer allow."""
    for column in columns:
        _spread(column, [0.0] * len(column))
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted: list[float] = []
            for slot in column:
                near = [one.y for one in slot.left + slot.right]
                wanted.append(sum(near) / len(near) if near else slot.y)
            _spread(column, wanted)


def _spread(column: Sequence[_Slot], wanted: Sequence[float]) -> None:
    """Least squares under `y[i+1] - y[i] >= distance`: isotonic regression by pooling neighbours."""
    offset = 0.0
    offsets: list[float] = []
    for place, slot in enumerate(column):
        if place:
            offset += (column[place - 1].height + slot.height) / 2 + ROW_GAP
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for goal, shift in zip(wanted, offsets, strict=True):
        mean, members = goal - shift, 1
        while pools and pools[-1][0] > mean:
            earlier, count = pools.pop()
            mean = (mean * members + earlier * count) / (members + count)
            members += count
        pools.append((mean, members))
    means = [mean for mean, members in pools for _ in range(members)]
    for slot, mean, shift in zip(column, means, offsets, strict=True):
        slot.y = mean + shift


def _line(source: str, target: str, corners: list[tuple[float, float]], box_width: float) -> Line:
    """A smooth path: level across the layers, an S between them."""
    x, y = corners[0][0] + box_width, corners[0][1]
    points = [(x, y)]
    parts = [f"M{x:.1f} {y:.1f}"]
    for place, (next_x, next_y) in enumerate(corners[1:], start=1):
        middle = (x + next_x) / 2
        parts.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}")
        points.append((next_x, next_y))
        x, y = next_x, next_y
        if place < len(corners) - 1:
            x += box_width
            parts.append(f"H{x:.1f}")
            points.append((x, y))
    return Line(source, target, "".join(parts), tuple(points))

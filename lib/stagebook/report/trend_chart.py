"""Draw the cost and time of runs as a chart."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stagebook.costs.trend import TrendPoint

_TEXT, _COST, _TIME, _CHANGE = "#767676", "#2a78c2", "#b3661b", "#a03c9c"
"""Colours, each with a contrast of at least 3 : 1 to white and to #111, since the chart has no background."""


def trend_svg(points: Sequence[TrendPoint], title: str) -> str:
    """An SVG image of 8 × 5 inches: US dollars and seconds of each run, with a line where something changed.

    Args:
        points: at least one run, oldest first.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    positions = range(len(points))
    style: dict[Any, Any] = {
        "text.color": _TEXT, "axes.labelcolor": _TEXT, "axes.edgecolor": _TEXT,
        "xtick.color": _TEXT, "ytick.color": _TEXT, "axes.spines.top": False, "axes.spines.right": False,
        "svg.hashsalt": title, "svg.fonttype": "none",
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=(8, 5), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        figure.suptitle(title)
        usd, saved = [float(point.usd) for point in points], [float(point.saved_usd) for point in points]
        upper.bar(positions, usd, color=_COST, label="estimated cost")
        upper.bar(positions, saved, bottom=usd, fill=False, edgecolor=_COST, hatch="//", label="saved by reuse")
        upper.set_ylabel("USD")
        upper.set_ylim(0, max(map(float.__add__, usd, saved)) * 1.05 or 1)
        upper.legend(frameon=False)
        lower.plot(positions, [point.seconds for point in points], color=_TIME, marker="o", markersize=3)
        lower.set_ylabel("seconds of all stages")
        lower.set_ylim(bottom=0)
        for position, point in enumerate(points):
            if point.changes:
                for axes in (upper, lower):
                    axes.axvline(position - 0.5, color=_CHANGE, linestyle=":", linewidth=1)
                label_position = (position - 0.5, 1.02)
                label = upper.annotate(", ".join(point.changes), label_position, xycoords=("data", "axes fraction"))
                label.set(rotation=35, fontsize=7, color=_CHANGE, annotation_clip=False)
        ticks = sorted({round(step * (len(points) - 1) / 5) for step in range(6)})
        times = [f"{datetime.fromisoformat(points[position].started_at):%Y-%m-%d %H:%M}" for position in ticks]
        lower.set_xticks(ticks, times, rotation=20, ha="right", fontsize=8)
        for artist in (figure, upper, lower):
            artist.patch.set_alpha(0)
        stream = io.StringIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    return stream.getvalue()

"""Cost and time of runs, as a chart."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stagebook.cost.trend import Point

_INK, _COST, _TIME, _MARK = "#767676", "#2a78c2", "#b3661b", "#a03c9c"
"""Each at least 3 : 1 against white and against #111, since the chart has no background of its own."""


def svg(found: Sequence[Point], title: str) -> str:
    """An SVG image of 8 × 5 inches: US dollars and seconds of each run, with a line where something has changed.

    Args: found: at least one run, oldest first.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    places = range(len(found))
    looks: dict[Any, Any] = {
        "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
        "svg.hashsalt": title, "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with rc_context(looks):
        figure = Figure(figsize=(8, 5), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        figure.suptitle(title)
        usd, saved = [float(point.usd) for point in found], [float(point.saved_usd) for point in found]
        upper.bar(places, usd, color=_COST, label="estimated cost")
        upper.bar(places, saved, bottom=usd, fill=False, edgecolor=_COST, hatch="//", label="saved by reuse")
        upper.set_ylabel("USD")
        upper.set_ylim(0, max(map(float.__add__, usd, saved)) * 1.05 or 1)
        upper.legend(frameon=False)
        lower.plot(places, [point.seconds for point in found], color=_TIME, marker="o", markersize=3)
        lower.set_ylabel("seconds of all stages")
        lower.set_ylim(bottom=0)
        for place, point in enumerate(found):
            if point.changes:
                for axes in (upper, lower):
                    axes.axvline(place - 0.5, color=_MARK, linestyle=":", linewidth=1)
                above = (place - 0.5, 1.02)
                told = upper.annotate(", ".join(point.changes), above, xycoords=("data", "axes fraction"))
                told.set(rotation=35, fontsize=7, color=_MARK, annotation_clip=False)
        shown = sorted({round(step * (len(found) - 1) / 5) for step in range(6)})
        days = [f"{datetime.fromisoformat(found[place].started_at):%Y-%m-%d %H:%M}" for place in shown]
        lower.set_xticks(shown, days, rotation=20, ha="right", fontsize=8)
        for drawn in (figure, upper, lower):
            drawn.patch.set_alpha(0)
        written = io.StringIO()
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
    return written.getvalue()

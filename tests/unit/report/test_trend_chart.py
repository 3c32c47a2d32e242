"""The chart of the trend."""

from decimal import Decimal
from xml.etree import ElementTree

from stagebook.costs.trend import TrendPoint
from stagebook.report.trend_chart import trend_svg


def point(day: int, **fields) -> TrendPoint:
    started = f"2026-11-{day:02}T10:00:00.000Z"
    values = {"seconds": 60.0, "usd": Decimal("0.2"), "saved_usd": Decimal(0), "reused": 0, "changes": (), **fields}
    return TrendPoint(f"r{day}", started, "a" * 40, stages=6, **values)


def test_the_chart_shows_changes_and_is_reproducible():
    points = [point(1), point(2, changes=("code", "engine")), point(3, usd=Decimal("0.1"), saved_usd=Decimal("0.1"))]
    chart = trend_svg(points, "demo: cost and time of 3 runs")
    texts = {text for element in ElementTree.fromstring(chart).iter() if (text := (element.text or "").strip())}
    assert {"code, engine", "USD", "seconds of all stages", "demo: cost and time of 3 runs", "saved by reuse"} <= texts
    assert "2026-11-01 10:00" in texts
    assert chart == trend_svg(points, "demo: cost and time of 3 runs")


def test_a_single_run_is_drawn():
    assert "2026-11-01 10:00" in trend_svg([point(1)], "demo")

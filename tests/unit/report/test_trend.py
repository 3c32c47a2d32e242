"""The chart of the trend."""

from decimal import Decimal
from xml.etree import ElementTree

from stagebook.cost.trend import Point
from stagebook.report.trend import svg


def point(day: int, **about) -> Point:
    started = f"2026-11-{day:02}T10:00:00.000Z"
    told = {"seconds": 60.0, "usd": Decimal("0.2"), "saved_usd": Decimal(0), "reused": 0, "changes": (), **about}
    return Point(f"r{day}", started, "a" * 40, stages=6, **told)


def test_the_chart_shows_what_changed_and_is_the_same_each_time():
    found = [point(1), point(2, changes=("code", "engine")), point(3, usd=Decimal("0.1"), saved_usd=Decimal("0.1"))]
    drawn = svg(found, "demo: cost and time of 3 runs")
    words = {text for element in ElementTree.fromstring(drawn).iter() if (text := (element.text or "").strip())}
    assert {"code, engine", "USD", "seconds of all stages", "demo: cost and time of 3 runs", "saved by reuse"} <= words
    assert "2026-11-01 10:00" in words
    assert drawn == svg(found, "demo: cost and time of 3 runs")


def test_one_run_is_a_chart_too():
    assert "2026-11-01 10:00" in svg([point(1)], "demo")

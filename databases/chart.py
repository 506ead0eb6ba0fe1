"""A line over time as the numbers of an SVG: drawn by the server, because pages have no inline script and no styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 1000, 160  # of the view box; the page stretches it
MOST_POINTS = 250
ROOM_ABOVE = 1.15  # the highest point stays below the upper edge

Point = tuple[datetime, int]


@dataclass(frozen=True)
class Chart:
    line: str  # points of a polyline
    area: str  # the same with the floor under it
    first: Point
    last: Point
    highest: int
    quota_y: float | None  # where the quota's line is, when it is within the chart


def size_chart(points: Sequence[Point], quota: int = 0) -> Chart | None:
    """None with fewer than two points: there is no line yet.

    >>> from datetime import datetime
    >>> size_chart([(datetime(2026, 1, 1), 50), (datetime(2026, 1, 2), 100)]).line
    '0,90.4 1000,20.9'
    """
    shown = thinned(points)
    if len(shown) < 2:
        return None
    begin, end = shown[0][0], shown[-1][0]
    seconds = (end - begin).total_seconds() or 1.0
    highest = max(value for _, value in shown)
    top = max(highest * ROOM_ABOVE, 1.0)

    def y(value: float) -> float:
        return HEIGHT - value / top * HEIGHT

    line = " ".join(f"{(at - begin).total_seconds() / seconds * WIDTH:.4g},{y(value):.1f}" for at, value in shown)
    quota_y = round(y(quota), 1) if 0 < quota <= top else None
    return Chart(line, f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}", shown[0], shown[-1], highest, quota_y)


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most so many as can be told apart. Of each run the highest stays: a peak is what a person looks for."""
    if len(points) <= MOST_POINTS:
        return list(points)
    step = -(-len(points) // MOST_POINTS)
    runs = [points[start : start + step] for start in range(0, len(points), step)]
    kept = [max(run, key=lambda point: point[1]) for run in runs]
    return [points[0], *kept[1:-1], points[-1]]

"""The charts of a report, as Vega: `charts.json` with rows in it; what is in them comes from `data`.

Compiling a chart takes longer than all else of a report, so that `charts/` beside the package does it ahead of time.
"""

from __future__ import annotations

import datetime as dt
import json
from importlib.resources import files
from typing import Any

from availability_pipeline.queries.report.data import Overview, Rows

# Okabe and Ito's colours, which people with colour blindness can tell apart.
STATUS_COLOURS = {
    "published": "#0072b2",
    "flat": "#999999",
    "pending": "#e69f00",
    "missing": "#d55e00",
}

STATES = {
    "complete": "#0072b2",
    "some missing": "#56b4e9",
    "many missing": "#d55e00",
    "pending": "#e69f00",
    "nothing published": "#7a4b8f",
}
"""States of a day, from the part of its expected files that are there."""

_MANY = 0.95
"""Share of expected files below which many are missing."""

ROWS = "rows"
"""The data of a chart that its rows are."""

ON_LIGHT = ("some missing", "pending")
"""States whose colours are so light that their sign is black."""


def specs(overview: Overview) -> dict[str, dict[str, Any]]:
    """All charts that there is data for, by the id of their place in the page."""
    charts = json.loads(files(__package__).joinpath("charts.json").read_text("utf-8"))
    filled = {name: (charts[name], rows) for name, rows in rows_of(overview).items() if rows}
    for spec, rows in filled.values():
        _named(spec["data"], ROWS)["values"] = rows
    if "calendar" in filled:
        _fill_years(*filled["calendar"])
    return {name: spec for name, (spec, _) in filled.items()}


def rows_of(overview: Overview) -> dict[str, Rows]:
    """The rows of all charts."""
    return {
        "calendar": cells(overview.calendar),
        "lives": [
            {**span, "start": str(span["start"]), "stop": str(span["stop"])} for span in overview.lives
        ],
        "universe": universe(overview.calendar),
        "listings": [{**month, "month": str(month["month"])} for month in overview.listings],
        "concentration": [{**month, "day": str(month["month"])} for month in overview.concentration],
        "lag": lag(overview.lag),
    }


def _named(parts: Rows, name: str) -> dict[str, Any]:
    return next(part for part in parts if part["name"] == name)


def _fill_years(calendar: dict[str, Any], days: Rows) -> None:
    _named(calendar["scales"], "y")["domain"] = places(days)
    [axis] = calendar["axes"]
    axis["values"] = first_places(days)


def places(days: Rows) -> list[str]:
    """The rows that cells are in, from above; the eighth row of a year is the gap between two."""
    return [f"{year}-{weekday}" for year in _years(days) for weekday in range(8)]


def first_places(days: Rows) -> list[str]:
    """The first row of each year, which has the year's name."""
    return [f"{year}-0" for year in _years(days)]


def _years(days: Rows) -> list[str]:
    return sorted({day["row"][:4] for day in days})


def cells(days: Rows) -> Rows:
    """Every day as a cell, in rows of weekdays and columns of weeks, year below year."""
    return [_cell(day) for day in days]


def _cell(day: dict[str, Any]) -> dict[str, Any]:
    date: dt.date = day["date"]
    week = (date.timetuple().tm_yday - 1 + date.replace(month=1, day=1).weekday()) // 7
    state, mark = _state(day)
    return {
        "day": str(date),
        "row": f"{date.year}-{date.weekday()}",
        "week": week,
        "state": state,
        "mark": mark,
        **{name: day[name] for name in ("files", "expected", "pending", "missing")},
        "lacking": day["lacking"] or "none",
    }


def _state(day: dict[str, Any]) -> tuple[str, str]:
    """The state of a day, and the sign that says the same without colour."""
    if not day["files"]:
        return ("pending", "…") if day["pending"] else ("nothing published", "–")
    if day["missing"]:
        return ("some missing", "·") if day["files"] >= _MANY * day["expected"] else ("many missing", "×")
    return ("pending", "…") if day["pending"] else ("complete", "")


def universe(days: Rows) -> Rows:
    """Contracts with a file, those that are traded, and flat ones, over time."""
    return [
        {"day": str(day["date"]), "what": what, "contracts": count}
        for day in days
        for what, count in (
            ("with a file", day["files"]),
            ("traded", day["published"]),
            ("flat", day["flat"]),
        )
    ]


def lag(days: Rows) -> Rows:
    """Hours from the end of a day to its files, p50 and p95."""
    return [
        {"day": str(day["date"]), "what": name, "hours": day[name]} for day in days for name in ("p50", "p95")
    ]

"""The charts of a report, as Vega-Lite by Altair; what is in them comes from `data`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode

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

_ROW_HEIGHT = 6

_LEGEND = alt.Legend(title=None, orient="top")

# A chart has one description for all of its marks, of which there are thousands.
_CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "mark": {"aria": False},
    "axis": {"grid": False},
    "axisY": {"grid": True, "gridOpacity": 0.25},
}

_ROWS = "rows"

_DATA = alt.NamedData(name=_ROWS)

Filled = tuple[alt.LayerChart | alt.Chart, Rows]
"""A chart and its rows."""


def specs(overview: Overview) -> dict[str, dict[str, Any]]:
    """All charts that there is data for, as Vega, by the id of their place in the page."""
    # Validating each part against the schema of Vega-Lite takes longer than all else; tests do it.
    with debug_mode(False):
        return {name: _vega(chart, rows) for name, (chart, rows) in charts_of(overview).items() if rows}


def charts_of(overview: Overview) -> dict[str, Filled]:
    """All charts, by the id of their place in the page."""
    return {
        "calendar": calendar(overview.calendar),
        "lives": lives(overview.lives),
        "universe": universe(overview.calendar),
        "listings": listings(overview.listings),
        "concentration": concentration(overview.concentration),
        "lag": lag(overview.lag),
    }


def _vega(chart: alt.TopLevelMixin, rows: Rows) -> dict[str, Any]:
    """A finished chart with its rows, which Altair would validate one by one."""
    spec = vl_convert.vegalite_to_vega({**chart.to_dict(validate=False), "config": _CONFIG})
    source = next(each for each in spec["data"] if each["name"] == _ROWS)
    source["values"] = rows
    return spec


def picture(overview: Overview) -> bytes:
    """The calendar by itself, as a PNG of a fixed width."""
    with debug_mode(False):
        chart, rows = calendar(overview.calendar)
        chart = chart.properties(width=640, height=alt.Step(6))
    png: bytes = vl_convert.vega_to_png({**_vega(chart, rows), "background": "white"})
    return png


def calendar(days: Rows) -> Filled:
    """Every day as a cell, in rows of weekdays and columns of weeks, year below year."""
    cells = [_cell(day) for day in days]
    years = sorted({cell["row"][:4] for cell in cells})
    # The eighth row of a year is the gap between two.
    rows = [f"{year}-{weekday}" for year in years for weekday in range(8)]
    base = alt.Chart(_DATA).encode(
        x=alt.X("week:O", axis=None),
        y=alt.Y(
            "row:N",
            scale=alt.Scale(domain=rows),
            axis=alt.Axis(
                values=[f"{year}-0" for year in years],
                labelExpr="substring(datum.value, 0, 4)",
                title=None,
                ticks=False,
                domain=False,
                grid=False,
                labelBaseline="top",
            ),
        ),
        tooltip=[
            alt.Tooltip("day:N", title="day"),
            alt.Tooltip("files:Q", title="files"),
            alt.Tooltip("expected:Q", title="expected"),
            alt.Tooltip("pending:Q", title="pending"),
            alt.Tooltip("missing:Q", title="missing"),
            alt.Tooltip("lacking:N", title="without a file"),
        ],
    )
    colour = alt.Color(
        "state:N",
        scale=alt.Scale(domain=list(STATES), range=list(STATES.values())),
        legend=None,
    )
    marks = base.transform_filter("datum.mark != ''").mark_text(fontSize=9, fontWeight="bold")
    chart = base.mark_rect().encode(color=colour) + marks.encode(text="mark:N", color=_SIGN_COLOUR)
    return chart.properties(width="container", height=alt.Step(9)), cells


_SIGN_COLOUR = alt.condition(
    "datum.state == 'some missing' || datum.state == 'pending'", alt.value("black"), alt.value("white")
)


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


def lives(spans: Rows) -> Filled:
    """One line per contract over time, coloured by status, sorted by listing, with search and filters."""
    rows = [{**span, "start": str(span["start"]), "stop": str(span["stop"])} for span in spans]
    chart = (
        alt.Chart(_DATA)
        .transform_filter(_CHOSEN)
        .mark_rect()
        .encode(
            x=alt.X("start:T", title=None, axis=alt.Axis(orient="top")),
            x2="stop:T",
            y=alt.Y(
                "symbol:N",
                sort=alt.EncodingSortField("listed", op="min"),
                axis=alt.Axis(title=None, labelOverlap="greedy", labelFontSize=9, ticks=False),
            ),
            color=alt.Color(
                "status:N",
                scale=alt.Scale(domain=list(STATUS_COLOURS), range=list(STATUS_COLOURS.values())),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("symbol:N", title="contract"),
                alt.Tooltip("status:N"),
                alt.Tooltip("start:T", title="from", format="%Y-%m-%d"),
                alt.Tooltip("stop:T", title="until", format="%Y-%m-%d"),
                alt.Tooltip("kind:N"),
            ],
        )
        .add_params(*_choices())
        .properties(width="container", height=alt.Step(_ROW_HEIGHT))
    )
    return chart, rows


_CHOSEN = (
    "indexof(upper(datum.symbol), upper(search)) >= 0 && (shown == 'all' || shown == datum.kind"
    " || shown == (datum.ended ? 'ended' : 'open'))"
)


def _choices() -> tuple[alt.Parameter, alt.Parameter]:
    """The fields of a page that set what `_CHOSEN` goes by."""
    kinds = ["all", "open", "ended", "coin", "stock or index", "settled"]
    search = alt.binding(input="search", name="contract ", placeholder="BTCUSDT")
    return (
        alt.param("search", value="", bind=search),
        alt.param("shown", value="all", bind=alt.binding_select(options=kinds, name="show ")),
    )


def universe(days: Rows) -> Filled:
    """Contracts with a file, those that are traded, and flat ones, over time."""
    rows = [
        {"day": str(day["date"]), "what": what, "contracts": count}
        for day in days
        for what, count in (
            ("with a file", day["files"]),
            ("traded", day["published"]),
            ("flat", day["flat"]),
        )
    ]
    return _lines(rows, "contracts", ["with a file", "traded", "flat"], title="contracts")


def listings(months: Rows) -> Filled:
    """Listings and delistings by month."""
    rows = [{**month, "month": str(month["month"])} for month in months]
    chart = (
        alt.Chart(_DATA)
        .mark_bar()
        .encode(
            x=alt.X("yearmonth(month):T", title=None),
            y=alt.Y("contracts:Q", title="contracts"),
            color=_colours(["listings", "delistings"]),
            tooltip=[alt.Tooltip("yearmonth(month):T", title="month"), "what:N", "contracts:Q"],
        )
        .properties(width="container", height=180)
    )
    return chart, rows


def concentration(months: Rows) -> Filled:
    """The share of the traded value in the largest contracts."""
    rows = [{**month, "day": str(month["month"])} for month in months]
    return _lines(rows, "share", ["top 10", "top 50", "top 100"], title="share of traded value", form="%")


def lag(days: Rows) -> Filled:
    """Hours from the end of a day to its files, p50 and p95."""
    rows = [
        {"day": str(day["date"]), "what": name, "hours": day[name]} for day in days for name in ("p50", "p95")
    ]
    return _lines(rows, "hours", ["p50", "p95"], title="hours after midnight UTC")


def _lines(rows: Rows, value: str, names: list[str], *, title: str, form: str = "") -> Filled:
    """Lines over days that differ in colour and in dashes."""
    chart = (
        alt.Chart(_DATA)
        .mark_line(strokeWidth=1.5, interpolate="step-after")
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y(f"{value}:Q", title=title, axis=alt.Axis(format=form)),
            color=_colours(names),
            strokeDash=alt.StrokeDash("what:N", scale=alt.Scale(domain=names), legend=_LEGEND),
            tooltip=[
                alt.Tooltip("day:T", format="%Y-%m-%d"),
                "what:N",
                alt.Tooltip(f"{value}:Q", format=form or ",.4~r"),
            ],
        )
        .properties(width="container", height=200)
    )
    return chart, rows


def _colours(names: list[str]) -> alt.Color:
    colours = ["#0072b2", "#d55e00", "#009e73"][: len(names)]
    return alt.Color(
        "what:N",
        scale=alt.Scale(domain=names, range=colours),
        legend=_LEGEND,
    )

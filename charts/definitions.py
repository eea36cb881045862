"""The charts of a report, as Vega-Lite by Altair; `availability_pipeline.queries.report.charts` fills rows in."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert

from availability_pipeline.queries.report.charts import ON_LIGHT, ROWS, STATES, STATUS_COLOURS

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

_DATA = alt.NamedData(name=ROWS)

Chart = alt.LayerChart | alt.Chart


def compiled() -> dict[str, dict[str, Any]]:
    """All charts as Vega, by the id of their place in the page."""
    return {name: _vega(chart) for name, chart in charts().items()}


def charts() -> dict[str, Chart]:
    """All charts, by the id of their place in the page."""
    return {
        "calendar": calendar(),
        "lives": lives(),
        "universe": _lines("contracts", ["with a file", "traded", "flat"], title="contracts"),
        "listings": listings(),
        "concentration": _lines(
            "share", ["top 10", "top 50", "top 100"], title="share of traded value", form="%"
        ),
        "lag": _lines("hours", ["p50", "p95"], title="hours after midnight UTC"),
    }


def _vega(chart: Chart) -> dict[str, Any]:
    spec: dict[str, Any] = vl_convert.vegalite_to_vega({**chart.to_dict(), "config": _CONFIG})
    return spec


def calendar() -> Chart:
    """Every day as a cell, in rows of weekdays and columns of weeks, year below year.

    Which years there are is filled in with the rows.
    """
    base = alt.Chart(_DATA).encode(
        x=alt.X("week:O", axis=None),
        y=alt.Y(
            "row:N",
            scale=alt.Scale(domain=[]),
            axis=alt.Axis(
                values=[],
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
    both = base.mark_rect().encode(color=colour) + marks.encode(text="mark:N", color=_SIGN_COLOUR)
    chart: Chart = both.properties(width="container", height=alt.Step(9))
    return chart


_SIGN_COLOUR = alt.condition(
    " || ".join(f"datum.state == '{state}'" for state in ON_LIGHT), alt.value("black"), alt.value("white")
)


def lives() -> Chart:
    """One line per contract over time, coloured by status, sorted by listing, with search and filters."""
    chart: Chart = (
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
    return chart


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


def listings() -> Chart:
    """Listings and delistings by month."""
    chart: Chart = (
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
    return chart


def _lines(value: str, names: list[str], *, title: str, form: str = "") -> Chart:
    """Lines over days that differ in colour and in dashes."""
    chart: Chart = (
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
    return chart


def _colours(names: list[str]) -> alt.Color:
    colours = ["#0072b2", "#d55e00", "#009e73"][: len(names)]
    return alt.Color(
        "what:N",
        scale=alt.Scale(domain=names, range=colours),
        legend=_LEGEND,
    )

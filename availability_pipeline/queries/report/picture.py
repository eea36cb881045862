"""The calendar of a report by itself, as an SVG of some kilobytes that needs no script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from availability_pipeline.queries.report.charts import ON_LIGHT, STATES, cells, first_places, places
from availability_pipeline.queries.report.data import Rows

_WIDTH, _HEIGHT = 12, 6
"""Pixels of a cell."""

_LEFT, _EDGE = 36, 5
"""Pixels before the first cell, where a year is named, and around everything else."""

_WEEKS = 54
"""Weeks that a year can have a part of."""


def picture(days: Rows) -> str:
    """The calendar as an SVG.

    Args:
        days: `Overview.calendar`.
    """
    drawn = cells(days)
    tops = {row: _EDGE + number * _HEIGHT for number, row in enumerate(places(drawn))}
    width, height = _LEFT + _WEEKS * _WIDTH + _EDGE, len(tops) * _HEIGHT + 2 * _EDGE
    years = (f'<text x="{_EDGE}" y="{tops[row] + 8}">{row[:4]}</text>' for row in first_places(drawn))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">'
        f'<path fill="white" d="M0 0h{width}v{height}H0z"/><g font-size="10">{"".join(years)}</g>'
        f"{''.join(_colours(drawn, tops))}{''.join(_signs(drawn, tops))}</svg>"
    )


def _colours(drawn: Rows, tops: dict[str, int]) -> Iterator[str]:
    """One line of each state, in runs of neighbours, with a dash for every day."""
    lines = defaultdict(list)
    for first, days in _runs(sorted(drawn, key=lambda cell: tops[cell["row"]])):
        x, y = _LEFT + first["week"] * _WIDTH, tops[first["row"]] + _HEIGHT // 2
        lines[first["state"]].append(f"M{x} {y}h{days * _WIDTH}")
    for state, line in lines.items():
        dashes = f'stroke-width="{_HEIGHT - 1}" stroke-dasharray="{_WIDTH - 1} 1"'
        yield f'<path stroke="{STATES[state]}" {dashes} d="{"".join(line)}"/>'


def _runs(by_row: Rows) -> Iterator[tuple[dict[str, Any], int]]:
    """The first cell and the length of each run of one state in following weeks."""
    numbered = enumerate(by_row)
    # A week and its place in the list go up together for as long as no week is left out.
    for _, run in groupby(
        numbered, lambda each: (each[1]["row"], each[1]["state"], each[1]["week"] - each[0])
    ):
        days = [cell for _, cell in run]
        yield days[0], len(days)


def _signs(drawn: Rows, tops: dict[str, int]) -> Iterator[str]:
    """The signs of days, each at its place, in one text of each colour."""
    for colour, on_light in (("black", True), ("white", False)):
        signs = [cell for cell in drawn if cell["mark"] and (cell["state"] in ON_LIGHT) == on_light]
        if signs:
            x = " ".join(str(_LEFT + cell["week"] * _WIDTH + _WIDTH // 2) for cell in signs)
            y = " ".join(str(tops[cell["row"]] + _HEIGHT) for cell in signs)
            look = f'fill="{colour}" font-size="9" font-weight="bold" text-anchor="middle"'
            yield f'<text x="{x}" y="{y}" {look}>{"".join(cell["mark"] for cell in signs)}</text>'

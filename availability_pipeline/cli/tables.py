"""Tables on a terminal, through its pager if they are long, or in a file."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from availability_pipeline.cli.strip import Day, print_strip
from availability_pipeline.collecting.reporting import console

WHOLE = 24
"""Columns up to this width, as all symbols, are not folded if there is room."""

GAP = 2
"""Blanks between two columns."""


def show_table(rows: Sequence[Mapping[str, Any]], title: str, days: Sequence[Day] = ()) -> None:
    """Print rows to stdout, under a title and a strip of days, through the pager if they exceed the terminal."""
    terminal = console(sys.stdout)
    with terminal.capture() as capture:
        _print(terminal, rows, title, days)
    text = capture.get()
    if terminal.is_terminal and text.count("\n") >= terminal.height:
        os.environ.setdefault("LESS", "FRX")  # as in git: colours, and the output stays on the screen
        click.echo_via_pager(text.removesuffix("\n"))
    else:
        sys.stdout.write(text)


def print_table(
    rows: Sequence[Mapping[str, Any]], title: str, file: IO[str], days: Sequence[Day] = ()
) -> None:
    """Print rows under a title and a strip of days; the columns are the keys of the first row, numbers to the right."""
    _print(console(file), rows, title, days)


def _print(output: Console, rows: Sequence[Mapping[str, Any]], title: str, days: Sequence[Day]) -> None:
    output.print(Text(title, style="bold"))
    print_strip(output, days)
    if not rows:
        return
    widths = {
        name: max(cell_len(heading(name)), *(cell_len(cell(row[name])) for row in rows)) for name in rows[0]
    }
    # Without room for all columns they are folded, not truncated.
    roomy = sum(min(width, WHOLE) + GAP for width in widths.values()) <= output.width
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name, width in widths.items():
        numeric = any(_is_number(row[name]) for row in rows)
        table.add_column(
            heading(name),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=roomy and width <= WHOLE,
        )
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row.values()))
    output.print(table)


def heading(name: str) -> str:
    """The heading of a column."""
    return name.replace("_", " ")


def cell(value: object) -> str:
    """The text of a value: thousands separated, six digits of fractions, moments to the second, empty for NULL."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

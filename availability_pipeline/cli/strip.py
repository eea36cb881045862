"""A strip: days as a line of characters that fits the terminal, one for a week or more, with what was worst in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

LEAST_DAYS = 7
"""Days that a character stands for at least."""

SIGNS = {
    "missing": ("×", "red"),
    "pending": ("…", "yellow"),
    "flat": ("▁", "bright_black"),
    "published": ("█", "blue"),
    "ended": ("·", "bright_black"),
    "not_listed": (" ", ""),
}
"""By status, worst first: its character, which says the same without colour, and its colour."""

Day = tuple[dt.date, str]
"""A day and its status."""


def print_strip(output: Console, days: Sequence[Day]) -> None:
    """Print the strip of consecutive days, with its first and last day and its characters explained."""
    if not days:
        return
    size = max(LEAST_DAYS, -(-len(days) // output.width))
    order = list(SIGNS)
    line = Text()
    seen = set()
    for start in range(0, len(days), size):
        worst = min((status for _, status in days[start : start + size]), key=order.index)
        seen.add(worst)
        line.append(*SIGNS[worst])
    keys = ", ".join(
        f"{SIGNS[status][0]} {status}" for status in order if status in seen and SIGNS[status][0].strip()
    )
    output.print(line, soft_wrap=True)
    output.print(Text(f"{days[0][0]} to {days[-1][0]}, {size} days each: {keys}"))

"""What is known of the terminal, and the consoles that tables and progress are printed with."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST = 20
"""Columns; a terminal that is said to have fewer is one whose size is not known."""

USUAL = 80
"""Columns of such a terminal."""

_SMALLEST = {"COLUMNS": NARROWEST, "LINES": 1}


def forget_impossible_sizes() -> None:
    """Remove sizes from the environment that no terminal has, so that it is asked itself, here and by its pager."""
    for name, smallest in _SMALLEST.items():
        text = os.environ.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= smallest):
            os.environ.pop(name, None)


def console(file: IO[str]) -> Console:
    """A console that prints what it is given, without guessing at markup, links or numbers in it.

    Escape codes are for the standard streams only, whatever the environment says of colours.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import

    terminal = None if file in (sys.stdout, sys.stderr) else False
    made = Console(file=file, force_terminal=terminal, markup=False, highlight=False, emoji=False)
    if made.width < NARROWEST:
        made.width = USUAL
    return made

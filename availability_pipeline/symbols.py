"""Lookup of symbols in any spelling, suggestions for unknown ones, and counted nouns."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

SUGGESTIONS = 3
"""Number of suggestions."""


def known(typed: str, symbols: Collection[str]) -> str | None:
    """The symbol, regardless of case, width and separators, or None: `BTC-usdt` and `ＢＴＣＵＳＤＴ` are BTCUSDT."""
    name = typed.strip().upper()
    if name in symbols:
        return name
    name = folded(typed)
    return next((symbol for symbol in symbols if folded(symbol) == name), None)


def suggestion(typed: str, symbols: Iterable[str]) -> str:
    """The end of a message about an unknown symbol: similar ones, if any."""
    names = _similar(typed, symbols)
    return f"; similar names: {', '.join(names)}" if names else ""


def _similar(typed: str, symbols: Iterable[str]) -> list[str]:
    """Best first: symbols that contain the text, then similar spellings."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a wrong name

    by_name = {folded(symbol): symbol for symbol in symbols}
    name = folded(typed)
    containing = sorted((other for other in by_name if name and name in other), key=len)
    found = dict.fromkeys([*containing[:SUGGESTIONS], *get_close_matches(name, by_name, n=SUGGESTIONS)])
    return [by_name[other] for other in found][:SUGGESTIONS]


def folded(name: str) -> str:
    """The name for comparisons: upper case, normal width, without separators."""
    letters = unicodedata.normalize("NFKC", name).upper()
    return "".join(letter for letter in letters if letter not in " -/")


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 file`, `2,000 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

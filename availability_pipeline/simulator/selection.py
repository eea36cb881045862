"""Which recorded folders an archive is made of.

Belongs here: choosing among the record, and what a folder's name tells. Does not belong here: the archive
itself (`content.py`) and the record (`facts.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.facts import FolderFacts

# What a reduced archive has first: the largest, and one of each thing that goes wrong with the others.
_PREFERRED = (
    "BTCUSDT",
    "ETHUSDT",
    "币安人生USDT",
    "ICPUSDT_SETTLED",
    "FTTUSDT",
    "LUNAUSDT",
    "ICPUSDT",
    "SOLUSDT",
    "TSLAUSDT",
    "LITUSDT",
)


def key_order(name: str) -> bytes:
    """Sorts folders as their keys do: a name is followed by `/`, which comes before the letters of a longer name."""
    return f"{name}/".encode()


def quote_of(name: str) -> str:
    """The quote asset at the end of a symbol's name, USDT if none is known there."""
    plain = name.split("_", maxsplit=1)[0].removesuffix("SETTLED").removesuffix("SETTLED")
    return next(
        (quote for quote in ("USDT", "BUSD", "USDC", "USD1", "BTC", "U") if plain.endswith(quote)), "USDT"
    )


def choose(folders: Sequence[FolderFacts], symbols: int | Sequence[str] | None) -> list[FolderFacts]:
    """All folders, those with the names, or so many of the tracked kind; see `SimulatedArchive.recorded`."""
    if symbols is None:
        return list(folders)
    if isinstance(symbols, int):
        return _reduced(folders, symbols)
    by_name = {facts.symbol: facts for facts in folders}
    unknown = [name for name in symbols if name not in by_name]
    if unknown:
        raise UsageError(f"not among the recorded folders: {', '.join(unknown)}; check the spelling")
    return [by_name[name] for name in symbols]


def _reduced(folders: Sequence[FolderFacts], count: int) -> list[FolderFacts]:
    tracked = {facts.symbol: facts for facts in folders if facts.tracked}
    if not 0 <= count <= len(tracked):
        raise UsageError(
            f"symbols is {count}, but 0 to {len(tracked)} folders of the tracked kind are recorded"
        )
    names = [*_PREFERRED, *sorted(tracked.keys() - set(_PREFERRED), key=key_order)]
    return [tracked[name] for name in names[:count]]

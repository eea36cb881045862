"""What is recorded about the real archive: its folders, their lives, flat spans and gaps.

Belongs here: the record of each market as plain values, reading it from its `.tsv`, and choosing among its folders.
Does not belong here: which of them a dataset has (`datasets.py`), what a file looks like (`shape.py`) and when it is
visible (`content.py`).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import UsageError

UNKNOWN_LIVE_ZIP_BYTES = 46_000
"""Size of a trading day's file of a contract whose own was never measured."""

KINDS = {
    "P": "perpetual",
    "T": "tradifi_perpetual",
    "S": "settled",
    "D": "delivery",
    "C": "pair",
    "I": "index",
}
STATUSES = {"T": "TRADING", "S": "SETTLING", "": ""}

_OPTIONAL = ("last", "size", "onboard", "status", "flat", "gaps")
"""Columns of the record that a market's file can lack, or a line at its end."""

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
    "BTCUSD_PERP",
    "ETHUSD_PERP",
    "XMRUSD_PERP",
    "BTCUSD_200925",
    "VENUSDT",
    "BCHDOWNUSDT",
)


@dataclass(frozen=True)
class OpenSpan:
    """Days from `start` to `end`, both included; without an end, from `start` on."""

    start: dt.date
    end: dt.date | None

    def __contains__(self, day: object) -> bool:
        return isinstance(day, dt.date) and self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True)
class Gap:
    """Days without a file inside a life, and the UTC day on which their files came, if they ever did."""

    days: DayRange
    filled_on: dt.date | None


@dataclass(frozen=True)
class FolderFacts:
    """One folder of the archive.

    Args:
        symbol: Its name, such as `BTCUSDT`.
        kind: `perpetual`, `tradifi_perpetual`, `settled`, `delivery`, `pair` or `index`.
        quote: The quote asset; empty if it is not known.
        first_day: Day of the first daily file.
        last_day: Day of the last one; None while files still appear.
        live_zip_bytes: Size of the zip of a median trading day.
        onboard_day: What exchangeInfo gave as the listing day, if that is known to the day.
        status: What exchangeInfo gave on 2026-08-06; empty if unknown.
        flat: When its files have no trade in them.
        gaps: Which of its days have or had no file.
    """

    symbol: str
    kind: str
    quote: str
    first_day: dt.date
    last_day: dt.date | None = None
    live_zip_bytes: int = UNKNOWN_LIVE_ZIP_BYTES
    onboard_day: dt.date | None = None
    status: str = ""
    flat: tuple[OpenSpan, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def tracked(self) -> bool:
        """Whether it is of USDT and no delivery contract, or of USD."""
        return self.quote == "USD" or (self.quote == "USDT" and self.kind != "delivery")

    def flat_on(self, day: dt.date) -> bool:
        """Whether the file of this day has no trade in it."""
        return any(day in span for span in self.flat)


@dataclass(frozen=True)
class RecordedFacts:
    """The record of a market: every folder in key order, and the days on which the whole market was late."""

    folders: tuple[FolderFacts, ...]
    market_gaps: tuple[Gap, ...]


@functools.cache
def recorded_facts(market: str = "um") -> RecordedFacts:
    """The record of a market that ships with the package."""
    name = "facts.tsv" if market == "um" else f"{market}.tsv"
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    names = lines[0].split("\t")
    empty = dict.fromkeys(_OPTIONAL, "")
    rows = [empty | dict(zip(names, line.split("\t"), strict=False)) for line in lines[1:]]
    gaps = tuple(gap for row in rows if row["symbol"] == "*" for gap in _gaps(row["gaps"]))
    return RecordedFacts(tuple(_folder(row) for row in rows if row["symbol"] != "*"), gaps)


def _folder(row: dict[str, str]) -> FolderFacts:
    return FolderFacts(
        symbol=row["symbol"],
        kind=KINDS[row["kind"]],
        quote=row["quote"],
        first_day=dt.date.fromisoformat(row["first"]),
        last_day=_day(row["last"]),
        live_zip_bytes=int(row["size"] or UNKNOWN_LIVE_ZIP_BYTES),
        onboard_day=_day(row["onboard"]),
        status=STATUSES[row["status"]],
        flat=tuple(_open_span(text) for text in row["flat"].split()),
        gaps=_gaps(row["gaps"]),
    )


def _day(text: str) -> dt.date | None:
    """A day, or None where the record has nothing or only a month."""
    return dt.date.fromisoformat(text) if len(text) == len("2024-01-15") else None


def _open_span(text: str) -> OpenSpan:
    start, _, end = text.partition("..")
    return OpenSpan(dt.date.fromisoformat(start), _day(end))


def _gaps(text: str) -> tuple[Gap, ...]:
    return tuple(_gap(part) for part in text.split())


def _gap(text: str) -> Gap:
    span, _, filled_on = text.partition(">")
    start, _, end = span.partition("..")
    return Gap(DayRange(dt.date.fromisoformat(start), dt.date.fromisoformat(end)), _day(filled_on))


def key_order(name: str) -> bytes:
    """Sorts folders as their keys do: a name is followed by `/`, which comes before the letters of a longer name."""
    return f"{name}/".encode()


def choose(folders: Sequence[FolderFacts], symbols: int | Sequence[str] | None) -> list[FolderFacts]:
    """All folders, those with the names, or so many of the tracked kind; see `SimulatedArchive.recorded`.

    Raises:
        UsageError: A name is not recorded, or there are not that many.
    """
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
    preferred = [name for name in _PREFERRED if name in tracked]
    names = [*preferred, *sorted(tracked.keys() - set(preferred), key=key_order)]
    return [tracked[name] for name in names[:count]]

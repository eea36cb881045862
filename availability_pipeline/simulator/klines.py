"""Klines as files: rows of CSV, and zips of an exact size around them.

Belongs here: the text of a bar, the sizes of files with daily bars, and the zip's container. Does not belong here: what
was traded (`volumes.py`), and the minutes of a day (`minutes.py`).

A file with daily bars has a size that follows from its name and the number of its bars, so that a listing makes none.
What its content does not fill is a field in the zip's header that readers skip.
"""

from __future__ import annotations

import datetime as dt
import struct
import zlib
from collections.abc import Iterable
from functools import cache

from availability_pipeline.simulator.shape import SECONDS_PER_DAY, day_number, day_of
from availability_pipeline.simulator.volumes import QUOTE_DIGITS, Bar

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
HEADER_FROM = day_number(dt.date(2022, 4, 1))
"""Files of this day or month and later ones begin with the names of the columns."""

_MICROSECONDS_FROM = day_number(dt.date(2025, 1, 1))
"""From this day or month on, spot's times are in microseconds."""

SPREAD = 16
"""How many bytes files of equally many bars differ by at most."""

_BAR_BYTES, _HEADER_BYTES, _TABLE_BYTES = 64, 92, 36
"""Bytes that suffice for a packed bar, a packed header, and what is packed once."""

_LOCAL, _CENTRAL, _END = "<4s5H3I2H", "<4s6H3I5H2I", "<4s4H2IH"
_CONTAINER_BYTES = sum(map(struct.calcsize, (_LOCAL, _CENTRAL, _END)))
_PADDING = 0xD935
"""The kind of extra field that is there for its length."""

_UTF8_NAME = 0x800
"""The flag of an entry whose name is in UTF-8."""

_MOST_EXTRA = 65_535


def bars_size(name: str, first: int, bars: int) -> int:
    """Bytes of a zip with daily bars, to which up to `SPREAD` may be added.

    Args:
        name: The name of the zip.
        first: The number of its first day, or of that of its month.
        bars: How many it has.
    """
    header = _HEADER_BYTES if first >= HEADER_FROM else 0
    return _CONTAINER_BYTES + 2 * len(name.encode()) + _TABLE_BYTES + header + _BAR_BYTES * bars


def header_of(market: str, day: int) -> str:
    """The line of names that files of this day or month begin with; spot's have none."""
    return HEADER if day >= HEADER_FROM and market != "spot" else ""


def time_units(market: str, day: int) -> int:
    """In how many parts of a second the files of this day or month tell times: milliseconds, or microseconds."""
    return 1_000_000 if day >= _MICROSECONDS_FROM and market == "spot" else 1_000


def bars_text(market: str, first: int, bars: Iterable[tuple[int, Bar]]) -> bytes:
    """The CSV of a file with daily bars.

    Args:
        market: The market's name in the catalogue.
        first: The number of the file's first day, or of that of its month.
        bars: Each with the number of its day.
    """
    length = SECONDS_PER_DAY * time_units(market, first)
    rows = [_bar_row(day * length, length, bar) for day, bar in bars]
    return "".join((header_of(market, first), *rows)).encode()


def _bar_row(opened_at: int, length: int, bar: Bar) -> str:
    opened, high, low, closed, base, quote, trades, buy_base, buy_quote, price, lot = bar
    prices, lots, quotes = 10**price, 10**lot, 10**QUOTE_DIGITS
    return _row_form(price, lot) % (
        opened_at, *divmod(opened, prices), *divmod(high, prices), *divmod(low, prices), *divmod(closed, prices),
        *divmod(base, lots), opened_at + length - 1, *divmod(quote, quotes), trades, *divmod(buy_base, lots),
        *divmod(buy_quote, quotes),
    )  # fmt: skip


@cache
def _row_form(price: int, lot: int) -> str:
    """The form of a bar's row, for whole units and what is left of them: one step, and not one for each number."""
    prices, lots, quotes = (
        f"%d.%0{digits}d" if digits else "%d%.0s" for digits in (price, lot, QUOTE_DIGITS)
    )
    return f"%d,{prices},{prices},{prices},{prices},{lots},%d,{quotes},%d,{lots},{quotes},0\n"


def fixed(units: int, digits: int) -> str:
    """Whole units of `10 ** -digits` as a decimal number."""
    if not digits:
        return str(units)
    text = str(units).zfill(digits + 1)
    return f"{text[:-digits]}.{text[-digits:]}"


def deflated(text: bytes, level: int = 6) -> bytes:
    """A text as zips hold it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


def zip_overhead(name: str) -> int:
    """Bytes of a zip beside what is packed in its only entry."""
    return _CONTAINER_BYTES + 2 * len(name.encode())


def zipped(name: str, day: int, text: bytes, size: int, packed: bytes | None = None) -> bytes:
    """A zip of exactly this size with one entry.

    Args:
        name: The name of the zip.
        day: The number of the day on which it was made.
        text: What is in it.
        size: Bytes; enough for what is packed and at most 130,000 more.
        packed: The text as `deflated` makes it.
    """
    entry = f"{name.removesuffix('.zip')}.csv".encode()
    packed = deflated(text) if packed is None else packed
    missing = size - zip_overhead(name) - len(packed)
    if missing < 0:
        raise ValueError(f"{name} needs {-missing} bytes more than {size}")
    extra = min(missing, _MOST_EXTRA) if missing >= struct.calcsize("<2H") else 0
    padding = struct.pack("<2H", _PADDING, extra - 4) + bytes(extra - 4) if extra else b""
    comment = bytes(missing - extra)
    date = _dos_date(day)
    flags = 0 if entry.isascii() else _UTF8_NAME
    shared = (20, flags, 8, 0, date, zlib.crc32(text), len(packed), len(text), len(entry))
    head = struct.pack(_LOCAL, b"PK\x03\x04", *shared, extra) + entry + padding
    central = struct.pack(_CENTRAL, b"PK\x01\x02", 0x0314, *shared, 0, 0, 0, 0, 0o100644 << 16, 0) + entry
    start = len(head) + len(packed)
    end = struct.pack(_END, b"PK\x05\x06", 0, 0, 1, 1, len(central), start, len(comment))
    return b"".join((head, packed, central, end, comment))


def _dos_date(number: int) -> int:
    day = day_of(number)
    return (day.year - 1980) << 9 | day.month << 5 | day.day


def filler(name: str, day: int, size: int, seed: bytes) -> bytes:
    """A file whose content is of no interest: a zip of this size with one entry, or as many bytes if that is too small.

    Args:
        name: The name of the zip.
        day: The number of the day that it is about.
        size: Its exact bytes.
        seed: What the entry begins with, so that no two are alike.
    """
    room = size - zip_overhead(name)
    # Stored, a block of 16,383 bytes or more takes five bytes beside them.
    text = seed.ljust(room - room // 1_000 - 16, b"\n")
    packed = deflated(text, 0)
    return zipped(name, day, text, size, packed) if len(packed) <= room else bytes(size)

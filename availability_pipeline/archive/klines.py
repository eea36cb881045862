"""Zips of klines: from bytes to rows, with a name for everything that can be wrong on the way.

What is wrong with a file is data, a `Fault` in place of an error, so that one broken file stops no other. Downloading,
and what the rows of a day or month mean, is in `contents`.
"""

from __future__ import annotations

import codecs
import io
import math
import re
import struct
import zipfile
import zlib
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv

MAX_BYTES = 4_000_000
"""What neither a file nor what is packed in it may exceed; a busy day has 70,000 bytes, unpacked 200,000."""

_LIMIT = 2.0**63
"""No price, volume or count reaches it: beyond, and below 0, is what an integer has become by overflowing."""


class Fault(StrEnum):
    """What is wrong with a file; of several faults the first in this order counts.

    Files with one of the first five have no rows at all. Otherwise only the rows that are faulty are left out.
    """

    SHORT_BODY = "short_body"
    """A zip that breaks off, or nothing."""
    NOT_A_ZIP = "not_a_zip"
    """No zip, or one that cannot be unpacked: damaged, encrypted, of another method."""
    WRONG_ENTRY = "wrong_entry"
    """A zip of no entry, several, or one with another name."""
    TOO_LARGE = "too_large"
    """Larger than `MAX_BYTES`, packed or unpacked."""
    EMPTY = "empty"
    """No row."""
    WRONG_COLUMNS = "wrong_columns"
    """A row without exactly twelve columns."""
    NOT_A_NUMBER = "not_a_number"
    """Text, nothing, NaN or an infinity in place of a number."""
    NEGATIVE = "negative"
    """A number below 0."""
    OVERFLOW = "overflow"
    """A number of 2**63 or more."""
    CONTRADICTORY = "contradictory"
    """A daily bar whose prices cannot be right: one of 0, or one that is not between low and high."""
    WRONG_DAY = "wrong_day"
    """A row outside of the day or month that the file is about, or that does not begin where a bar does."""
    DUPLICATE_ROWS = "duplicate_rows"
    """The same bar twice; it is left out if the rows differ."""
    UNORDERED_ROWS = "unordered_rows"
    """Rows that are not in the order of time; nothing is left out."""

    @property
    def is_unreadable(self) -> bool:
        """Whether the file has no rows at all."""
        return self in _UNREADABLE


_ORDER = list(Fault)
_UNREADABLE = _ORDER[: _ORDER.index(Fault.EMPTY) + 1]


def first_fault(faults: set[Fault]) -> Fault | None:
    """The fault that counts, or None."""
    return min(faults, key=_ORDER.index, default=None)


_DAMAGED = (
    ValueError, EOFError, NotImplementedError, OverflowError, RuntimeError, struct.error, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
# The others, such as LZMA, are unpacked without a bound, and their libraries raise errors of their own.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UTF8_FLAG = 0x800
_ZIP_START = b"PK\x03\x04"


class Unpacked(NamedTuple):
    """The text of a zip; empty where it has a fault."""

    text: bytes
    fault: Fault | None = None


def unpack(body: bytes, file_name: str) -> Unpacked:
    """The text in a zip with exactly one entry.

    Args:
        body: The zip, or what was served as one.
        file_name: Its name in the archive, such as `BTCUSDT-1m-2024-01-15.zip`, which names the entry.
    """
    if len(body) > MAX_BYTES:
        return Unpacked(b"", Fault.TOO_LARGE)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            return _unpack_entry(packed, f"{file_name.removesuffix('.zip')}.csv")
    except _DAMAGED:
        return Unpacked(b"", _broken(body))


def _unpack_entry(packed: zipfile.ZipFile, name: str) -> Unpacked:
    entries = packed.infolist()
    if [_name_of(entry) for entry in entries] != [name]:
        return Unpacked(b"", Fault.WRONG_ENTRY)
    if entries[0].file_size > MAX_BYTES:
        return Unpacked(b"", Fault.TOO_LARGE)
    if entries[0].compress_type not in _METHODS:
        return Unpacked(b"", Fault.NOT_A_ZIP)
    with packed.open(entries[0]) as entry:
        # Without the size, whatever is packed would be unpacked. The CRC is compared at the end.
        text = entry.read(entries[0].file_size)
    return Unpacked(text) if text else Unpacked(b"", Fault.EMPTY)


def _name_of(entry: zipfile.ZipInfo) -> str:
    """The name of an entry, in UTF-8 whether the zip says so or not."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.filename
    return entry.filename.encode("cp437").decode(errors="replace")


def _broken(body: bytes) -> Fault:
    """What a zip that cannot be opened is: one that breaks off begins as a zip does, and lacks its directory's end."""
    breaks_off = body[:4] == _ZIP_START[: len(body)] and b"PK\x05\x06" not in body
    return Fault.SHORT_BODY if breaks_off else Fault.NOT_A_ZIP


COLUMNS = (
    "open_time", "open", "high", "low", "close", "base_volume", "close_time", "quote_volume", "trades",
    "taker_buy_base_volume", "taker_buy_quote_volume", "ignored",
)  # fmt: skip
"""The columns of a file by position."""

_READ = [name for name in COLUMNS if name not in ("close_time", "ignored")]
_KLINES = pa.schema(
    [(name, pa.int64() if name in ("open_time", "trades") else pa.float64()) for name in _READ]
)
_PARSING = pa.csv.ParseOptions(quote_char=False)
_SMALL_BYTES = 1 << 14
_READING, _READING_SMALL = (
    pa.csv.ReadOptions(use_threads=False, column_names=list(COLUMNS), block_size=size)
    for size in (1 << 18, _SMALL_BYTES)
)
"""A block is set up in whole, so a smaller one is faster for the 4,000 bytes of a month."""

_CONVERTING = pa.csv.ConvertOptions(
    column_types=_KLINES, include_columns=_READ, null_values=[], check_utf8=False
)
_POOL = pa.system_memory_pool()
"""Arrow's own keeps some megabytes for each thread that files are read in: 330 MB for 64 threads."""

_PLAIN = b"0123456789.,\r\n"
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_MICROSECONDS_FROM = 10**14
"""Times in milliseconds are below it until the year 5138, those in microseconds above it from 1973 on."""


class Klines(NamedTuple):
    """Rows of klines.

    Args:
        table: Those without a fault: open_time (milliseconds), prices, volumes, trades.
        faults: What is wrong with the others.
        has_header: Whether the first line has the names of the columns.
        time_unit: `ms` or `us`; None without a row.
    """

    table: pa.Table
    faults: set[Fault]
    has_header: bool
    time_unit: str | None


def read_klines(text: bytes) -> Klines:
    """Read a CSV of klines by position, with or without a header, with times in milliseconds or microseconds."""
    has_header, rows = text.removeprefix(codecs.BOM_UTF8)[:1].isalpha(), rows_of(text)
    plain = parse_plain(rows)
    table, faults = _parse_carefully(rows) if plain is None else (plain, set())
    if not table.num_rows and not faults:
        faults.add(Fault.EMPTY)
    if not table.num_rows:
        return Klines(table, faults, has_header, None)
    is_micro = table["open_time"][0].as_py() >= _MICROSECONDS_FROM
    if is_micro:
        times = [time // 1000 for time in table["open_time"].to_pylist()]
        table = table.set_column(0, "open_time", pa.array(times, pa.int64()))
    return Klines(table, faults, has_header, "us" if is_micro else "ms")


def rows_of(text: bytes) -> bytes:
    """The text without a byte order mark and header."""
    text = text.removeprefix(codecs.BOM_UTF8)
    return text[text.find(b"\n") + 1 or len(text) :] if text[:1].isalpha() else text


def parse_plain(rows: bytes) -> pa.Table | None:
    """Rows of which none has a fault; None where one has, or may have.

    There are only digits, points and separators, and no number is so long that it could overflow.
    """
    if rows.translate(None, _PLAIN) or b"0" * 19 in rows.translate(_DIGITS):
        return None
    try:
        reading = _READING if len(rows) > _SMALL_BYTES else _READING_SMALL
        # Half the time of read_csv, which starts threads even where it is told to use none.
        with pa.csv.open_csv(pa.BufferReader(rows), reading, _PARSING, _CONVERTING, _POOL) as reader:
            return reader.read_all()
    except pa.ArrowInvalid:
        return None


_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _parse_carefully(rows: bytes) -> tuple[pa.Table, set[Fault]]:
    """Row by row, leaving out those with a fault."""
    good, faults = [], set[Fault]()
    for line in filter(None, rows.splitlines()):
        cells = line.split(b",")
        row = dict(zip(COLUMNS, cells, strict=False))
        fault = Fault.WRONG_COLUMNS if len(cells) != len(COLUMNS) else first_fault(_faults_of(row))
        if fault:
            faults.add(fault)
        else:
            good.append(row)
    columns = [
        pa.array([(int if field.type == pa.int64() else float)(row[field.name]) for row in good], field.type)
        for field in _KLINES
    ]
    return pa.table(columns, schema=_KLINES), faults


def _faults_of(row: dict[str, bytes]) -> set[Fault]:
    """What is wrong with the columns that are read."""
    cells, counts = [row[name] for name in _READ], (row["open_time"], row["trades"])
    if not all(map(_NUMBER.fullmatch, cells)) or not all(cell.lstrip(b"+-").isdigit() for cell in counts):
        return {Fault.NOT_A_NUMBER}
    numbers = [float(cell) for cell in cells]
    if any(number < 0 for number in numbers):
        return {Fault.NEGATIVE}
    return {Fault.OVERFLOW} if any(number >= _LIMIT or math.isinf(number) for number in numbers) else set()

"""Parquet files that go on: the first row groups of a former file, byte by byte, and others behind them.

Most of what a file costs is compression, and a day changes the last row group only. At the end of a file is its footer,
a Thrift struct that says where the row groups are. Here it is read and written as far as DuckDB's own files need it.
"""

from __future__ import annotations

import datetime as dt
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import duckdb

_MAGIC = b"PAR1"

# By number, the fields of a footer, its row groups, their column chunks and the metadata of those.
_FOOTER_ROWS, _FOOTER_GROUPS = 3, 4
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_BYTES = 1, 3, 5, 6
_METADATA = 3
_OFFSETS = (9, 10, 11)

# What else they may have without pointing into the file.
_KNOWN_OF_GROUP, _KNOWN_OF_CHUNK = {1, 2, 3, 5, 6}, {2, 3}
_KNOWN_OF_METADATA = {1, 2, 3, 4, 5, 6, 7, 12, 13, *_OFFSETS}

_LAST_DAYS = """
SELECT row_group_num_rows, stats_max_value::DATE FROM parquet_metadata($path)
WHERE path_in_schema = 'date' ORDER BY row_group_id
"""

_LAST_SYMBOL = """
SELECT max(symbol) FROM read_parquet($path, hive_partitioning = false, file_row_number = true)
WHERE date = $day AND file_row_number < $rows
"""

Struct = dict[int, tuple[int, Any]]
"""The fields of a Thrift struct: by number, the type and the value."""


class UnknownForm(Exception):
    """A Parquet file has something that is not understood here."""


class Head(NamedTuple):
    """The first row groups of a file that is sorted by date and symbol."""

    row_groups: int
    last_day: dt.date
    last_symbol: str
    """The last row is of this day and contract."""


def head_before(reader: duckdb.DuckDBPyConnection, path: Path, day: dt.date) -> Head | None:
    """The row groups of a file with rows of earlier days only; None if there are none.

    Args:
        reader: Any connection.
        path: The file.
        day: The first day that they must not have.
    """
    escaped = glob.escape(str(path))
    row_groups = rows = 0
    last = None
    for count, last_day in reader.execute(_LAST_DAYS, {"path": escaped}).fetchall():
        if last_day is None or last_day >= day:
            break
        row_groups, rows, last = row_groups + 1, rows + count, last_day
    if last is None:
        return None
    values = {"path": escaped, "day": last, "rows": rows}
    [(symbol,)] = reader.execute(_LAST_SYMBOL, values).fetchall()
    return Head(row_groups, last, symbol)


def join(former: Path, head: Head, behind: Path, path: Path) -> None:
    """Write a file of the first row groups of one and all of another, whose rows come behind theirs.

    Args:
        former: The one.
        head: Its first row groups.
        behind: The other.
        path: The new file.

    Raises:
        UnknownForm: They have other columns, or something that is not understood.
        OSError: It could not be written.
    """
    with former.open("rb") as first, behind.open("rb") as second:
        (before, _), (footer, end) = _footer(first), _footer(second)
        if _without_rows(before) != _without_rows(footer):
            raise UnknownForm(f"{former} and {behind} are of different forms")
        kept, added = _groups(before)[: head.row_groups], _groups(footer)
        last = kept[-1]
        start = last[_GROUP_OFFSET][1] + last[_GROUP_BYTES][1]
        for group in added:
            _move(group, start - len(_MAGIC))
        groups = [*kept, *added]
        footer[_FOOTER_ROWS] = (_I64, sum(group[_GROUP_ROWS][1] for group in groups))
        footer[_FOOTER_GROUPS] = (_LIST, (_STRUCT, groups))
        text = bytes(_written(_STRUCT, footer))
        with path.open("xb") as file:
            _copy(first, 0, start, file)
            _copy(second, len(_MAGIC), end, file)
            file.write(text + len(text).to_bytes(4, "little") + _MAGIC)


def _footer(file: IO[bytes]) -> tuple[Struct, int]:
    """The footer of a file, and where it begins."""
    end = file.seek(-8, 2)
    length = int.from_bytes(file.read(4), "little")
    if file.read() != _MAGIC:
        raise UnknownForm("it is no Parquet file")
    begin = file.seek(end - length)
    footer, _ = _read(_STRUCT, file.read(length), 0)
    return footer, begin


def _without_rows(footer: Struct) -> Struct:
    return {number: field for number, field in footer.items() if number not in (_FOOTER_ROWS, _FOOTER_GROUPS)}


def _groups(footer: Struct) -> list[Struct]:
    """The row groups, of which nothing is behind the last."""
    groups: list[Struct] = footer[_FOOTER_GROUPS][1][1]
    for group in groups:
        chunks = group[_COLUMNS][1][1]
        if (
            not {_GROUP_ROWS, _GROUP_OFFSET, _GROUP_BYTES} <= group.keys() <= _KNOWN_OF_GROUP
            or not all({_METADATA} <= chunk.keys() <= _KNOWN_OF_CHUNK for chunk in chunks)
            or not all(chunk[_METADATA][1].keys() <= _KNOWN_OF_METADATA for chunk in chunks)
        ):
            raise UnknownForm("a row group has an index, a filter, or what came later than these")
    return groups


def _move(group: Struct, by: int) -> None:
    """Let a row group say that it lies so many bytes further back."""
    for fields, numbers in (
        (group, (_GROUP_OFFSET,)),
        *((chunk[_METADATA][1], _OFFSETS) for chunk in group[_COLUMNS][1][1]),
    ):
        for number in numbers:
            if number in fields:
                kind, offset = fields[number]
                fields[number] = (kind, offset + by)


def _copy(source: IO[bytes], begin: int, end: int, target: IO[bytes]) -> None:
    source.seek(begin)
    for at in range(begin, end, 1 << 20):
        target.write(source.read(min(1 << 20, end - at)))


# Thrift's compact protocol, as far as footers have it: https://github.com/apache/thrift/blob/master/doc/specs
_TRUE, _FALSE, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 5, 6, 8, 9, 12


def _read(kind: int, text: bytes, at: int) -> tuple[Any, int]:
    """A value of a type, and what comes behind it; that of a truth is its type."""
    if kind in (_TRUE, _FALSE):
        return None, at
    if kind in (_I32, _I64):
        number, at = _read_number(text, at)
        return (number >> 1) ^ -(number & 1), at
    if kind == _BINARY:
        length, at = _read_number(text, at)
        return text[at : at + length], at + length
    if kind == _LIST:
        length, of = text[at] >> 4, text[at] & 15
        length, at = _read_number(text, at + 1) if length == 15 else (length, at + 1)
        values = []
        for _ in range(length):
            value, at = _read(of, text, at)
            values.append(value)
        return (of, values), at
    if kind == _STRUCT:
        fields: Struct = {}
        number = 0
        while text[at]:
            if not text[at] >> 4:
                raise UnknownForm("a footer has fields that are far apart")
            number, of = number + (text[at] >> 4), text[at] & 15
            value, at = _read(of, text, at + 1)
            fields[number] = (of, value)
        return fields, at + 1
    raise UnknownForm(f"a footer has a value of type {kind}")


def _read_number(text: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (text[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if text[at - 1] < 128:
            return number, at


def _written(kind: int, value: Any) -> Iterator[int]:
    """The bytes of a value."""
    if kind in (_I32, _I64):
        yield from _number_written(value << 1 if value >= 0 else ~(value << 1))
    elif kind == _BINARY:
        yield from _number_written(len(value))
        yield from value
    elif kind == _LIST:
        of, values = value
        yield min(len(values), 15) << 4 | of
        if len(values) >= 15:
            yield from _number_written(len(values))
        for each in values:
            yield from _written(of, each)
    elif kind == _STRUCT:
        before = 0
        for number, (of, each) in sorted(value.items()):
            yield (number - before) << 4 | of
            yield from _written(of, each)
            before = number
        yield 0


def _number_written(number: int) -> Iterator[int]:
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number

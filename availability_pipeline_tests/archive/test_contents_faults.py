"""Everything that can be wrong with a file has a name, and stops nothing."""

from __future__ import annotations

import datetime as dt
import resource
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline.archive.contents import Packed, inspect_minutes, read_bars, read_many_bars
from availability_pipeline.archive.klines import MAX_BYTES, Fault
from availability_pipeline.dates import DayRange
from availability_pipeline_tests.archive.zips import (
    DAY_MS,
    HEADER,
    JANUARY,
    MINUTE_MS,
    beyond_the_end,
    encrypted,
    lying_bomb,
    minutes,
    month,
    packed,
    row,
)

DAY = dt.date(2024, 1, 1)
MONTH = DayRange(DAY, dt.date(2024, 1, 31))
KINDS = {
    "month": ("BTCUSDT-1d-2024-01", DAY_MS, month),
    "minutes": ("BTCUSDT-1m-2024-01-01", MINUTE_MS, minutes),
}


def outcome(kind: str, body: bytes) -> tuple[str | None, int]:
    """The fault of a file, and how many rows count."""
    name, _, _ = KINDS[kind]
    if kind == "month":
        bars, fault = read_bars(body, f"{name}.zip", MONTH)
        assert_the_same_among_others(Packed(body, f"{name}.zip", MONTH))
        return fault, bars.num_rows
    file = inspect_minutes(body, f"{name}.zip", DAY)
    return file.fault, file.rows - file.duplicate_minutes


def assert_the_same_among_others(file: Packed) -> None:
    """A file is read in the same way with others beside it, which are read as they would be without it."""
    others = [Packed(month(good("month", count)), "BTCUSDT-1d-2024-01.zip", MONTH) for count in (1, 9)]
    files = [others[0], file, others[1]]
    found = read_many_bars(files)
    for number, each in enumerate(files):
        bars, fault = read_bars(*each)
        mine = [at for at, of in enumerate(found.files) if of == number]
        assert found.bars.take(pa.array(mine, pa.int64())).to_pylist() == bars.to_pylist()
        assert found.faults[number] == fault


def good(kind: str, count: int = 5) -> list[str]:
    _, step, _ = KINDS[kind]
    return [row(JANUARY + step * at) for at in range(count)]


CONTAINERS: dict[str, tuple[Callable[[str, bytes], bytes], Fault]] = {
    "nothing": (lambda _, __: b"", Fault.SHORT_BODY),
    "few bytes": (lambda _, body: body[:3], Fault.SHORT_BODY),
    "cut in half": (lambda _, body: body[: len(body) // 2], Fault.SHORT_BODY),
    "cut by a byte": (lambda _, body: body[:-1], Fault.NOT_A_ZIP),
    "a page": (lambda _, __: b"<html>no</html>", Fault.NOT_A_ZIP),
    "damaged": (lambda _, body: body[:70] + bytes([body[70] ^ 255]) + body[71:], Fault.NOT_A_ZIP),
    "encrypted": (lambda _, body: encrypted(body), Fault.NOT_A_ZIP),
    "an empty zip": (lambda _, __: packed(""), Fault.WRONG_ENTRY),
    "two entries": (lambda name, _: packed(HEADER, f"{name}.csv", "b.csv"), Fault.WRONG_ENTRY),
    "another name": (lambda _, __: packed(HEADER, "BTCUSDT-1d-2024-1.csv"), Fault.WRONG_ENTRY),
    "no text": (lambda name, _: packed("", f"{name}.csv"), Fault.EMPTY),
    "only a header": (lambda name, _: packed(HEADER, f"{name}.csv"), Fault.EMPTY),
    "only a header without an end": (lambda name, _: packed(HEADER.rstrip(), f"{name}.csv"), Fault.EMPTY),
    "a bomb": (lambda name, _: packed("0" * (MAX_BYTES + 1), f"{name}.csv"), Fault.TOO_LARGE),
    "a bomb that lies": (lambda name, _: lying_bomb(f"{name}.csv", 1_000, 10**6), Fault.NOT_A_ZIP),
    "an entry beyond the end": (lambda name, _: beyond_the_end(f"{name}.csv"), Fault.NOT_A_ZIP),
    "packed by bzip2": (
        lambda name, _: packed(HEADER, f"{name}.csv", method=zipfile.ZIP_BZIP2),
        Fault.NOT_A_ZIP,
    ),
    "damaged bzip2": (
        lambda name, _: packed(HEADER, f"{name}.csv", method=zipfile.ZIP_BZIP2).replace(b"BZh9", b"BZh0"),
        Fault.NOT_A_ZIP,
    ),
    "packed by LZMA": (
        lambda name, _: packed(HEADER, f"{name}.csv", method=zipfile.ZIP_LZMA),
        Fault.NOT_A_ZIP,
    ),
    "a giant": (lambda _, body: body + bytes(MAX_BYTES), Fault.TOO_LARGE),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONTAINERS)
def test_faults_of_the_container(name: str, kind: str) -> None:
    spoil, fault = CONTAINERS[name]
    stem, _, make = KINDS[kind]
    assert outcome(kind, spoil(stem, make(good(kind)))) == (fault, 0)
    assert fault.is_unreadable


def test_a_zip_that_lies_about_its_size_is_not_unpacked() -> None:
    body = lying_bomb("BTCUSDT-1m-2024-01-01.csv", 1_000, 3 * 10**8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert outcome("minutes", body) == (Fault.NOT_A_ZIP, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


ROWS: dict[str, tuple[Callable[[int, int], str], Fault]] = {
    "too few columns": (lambda time, _: f"{time},1.0\n", Fault.WRONG_COLUMNS),
    "too many columns": (lambda time, _: row(time).replace("\n", ",0\n"), Fault.WRONG_COLUMNS),
    "text": (lambda time, _: row(time, "much"), Fault.NOT_A_NUMBER),
    "an empty cell": (lambda time, _: row(time, ""), Fault.NOT_A_NUMBER),
    "two points": (lambda time, _: row(time, "1.2.3"), Fault.NOT_A_NUMBER),
    "NaN": (lambda time, _: row(time, "NaN"), Fault.NOT_A_NUMBER),
    "infinity": (lambda time, _: row(time, "inf"), Fault.NOT_A_NUMBER),
    "underscores": (lambda time, _: row(time, "1_000"), Fault.NOT_A_NUMBER),
    "quotes": (lambda time, _: row(time, '"1.0"'), Fault.NOT_A_NUMBER),
    "a fraction of a trade": (lambda time, _: row(time, count="1.5"), Fault.NOT_A_NUMBER),
    "a time that is none": (lambda time, _: row(time).replace(str(time), f"{time}.5"), Fault.NOT_A_NUMBER),
    "a negative volume": (lambda time, _: row(time, "-0.5"), Fault.NEGATIVE),
    "a negative count": (lambda time, _: row(time, count=-3), Fault.NEGATIVE),
    "a count that overflows": (lambda time, _: row(time, count=2**63), Fault.OVERFLOW),
    "a volume that overflows": (lambda time, _: row(time, "9300000000000000000.0"), Fault.OVERFLOW),
    "a volume beyond any float": (lambda time, _: row(time, "1e400"), Fault.OVERFLOW),
    "another day": (lambda time, _: row(time + 40 * DAY_MS), Fault.WRONG_DAY),
    "a time between two bars": (lambda time, _: row(time + 1_000), Fault.WRONG_DAY),
}


@pytest.mark.parametrize("header", [HEADER, ""])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ROWS)
def test_a_faulty_row_is_left_out_and_the_others_count(name: str, kind: str, header: str) -> None:
    spoil, fault = ROWS[name]
    _, step, make = KINDS[kind]
    rows = good(kind)
    rows[2] = spoil(JANUARY + 2 * step, step)
    assert outcome(kind, make(rows, header)) == (fault, 4)
    assert not fault.is_unreadable


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_faulty_rows(kind: str) -> None:
    _, _, make = KINDS[kind]
    assert outcome(kind, make([row(JANUARY, "x")])) == (Fault.NOT_A_NUMBER, 0)
    assert outcome(kind, make(["1,2,3\n"])) == (Fault.WRONG_COLUMNS, 0)
    assert outcome(kind, make([row(0), row(1)])) == (Fault.WRONG_DAY, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_twice_and_out_of_order(kind: str) -> None:
    _, _, make = KINDS[kind]
    rows = good(kind)
    assert outcome(kind, make([*rows[:3], rows[2], *rows[3:]])) == (Fault.DUPLICATE_ROWS, 5)
    assert outcome(kind, make(rows[::-1])) == (Fault.UNORDERED_ROWS, 5)


def test_bars_that_contradict_each_other_are_left_out() -> None:
    rows = good("month")
    body = month([*rows, row(JANUARY + DAY_MS, 99)])
    bars, fault = read_bars(body, "BTCUSDT-1d-2024-01.zip", MONTH)
    assert_the_same_among_others(Packed(body, "BTCUSDT-1d-2024-01.zip", MONTH))
    assert fault == Fault.DUPLICATE_ROWS
    assert [date.day for date in bars["date"].to_pylist()] == [1, 3, 4, 5]


@pytest.mark.parametrize(
    "prices", ["1.1,1.5,1.2,1.25", "1.1,1.2,1.0,1.25", "1.6,1.5,1.0,1.25", "0.9,1.5,1.0,1.25", "0,0,0,0"]
)
def test_a_bar_whose_prices_cannot_be_right_is_left_out(prices: str) -> None:
    rows = good("month")
    rows[2] = rows[2].replace("1.1,1.5,1.0,1.25", prices)
    assert outcome("month", month(rows)) == (Fault.CONTRADICTORY, 4)


def test_the_gravest_fault_counts() -> None:
    rows = [row(JANUARY, "x"), row(JANUARY + DAY_MS, -1), row(JANUARY + 99 * DAY_MS), *good("month")[::-1]]
    assert outcome("month", month(rows))[0] == Fault.NOT_A_NUMBER
    assert outcome("month", month(rows[1:]))[0] == Fault.NEGATIVE
    assert outcome("month", month(rows[2:]))[0] == Fault.WRONG_DAY


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["\r\n", "\n\n"])
def test_other_ends_of_lines(kind: str, end: str) -> None:
    _, _, make = KINDS[kind]
    rows = [each.replace("\n", end) for each in good(kind)]
    assert outcome(kind, make(rows)) == (None, 5)
    assert outcome(kind, make([*rows, row(JANUARY, "x").replace("\n", end)]))[0] == Fault.NOT_A_NUMBER


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_are_not_read_are_not_judged(kind: str) -> None:
    _, _, make = KINDS[kind]
    rows = [each.removesuffix("0\n") + "\n" for each in good(kind)]
    assert outcome(kind, make(rows)) == (None, 5)
    rows[2] = rows[2].replace("12.5", "-12.5")
    assert outcome(kind, make(rows)) == (Fault.NEGATIVE, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("header", [HEADER, ""])
def test_a_byte_order_mark_is_passed_over(kind: str, header: str) -> None:
    _, _, make = KINDS[kind]
    assert outcome(kind, make(good(kind), f"\ufeff{header}")) == (None, 5)


def test_a_stored_entry_and_an_exponent_are_no_faults() -> None:
    rows = [row(JANUARY, "1e-3"), row(JANUARY + DAY_MS, "+2")]
    body = packed("".join(rows), "BTCUSDT-1d-2024-01.csv", method=zipfile.ZIP_STORED)
    bars, fault = read_bars(body, "BTCUSDT-1d-2024-01.zip", MONTH)
    assert (fault, bars["base_volume"].to_pylist()) == (None, [0.001, 2.0])


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    stop=st.floats(0, 1),
)
def test_no_damage_raises(kind: str, changes: list[tuple[float, int]], stop: float) -> None:
    _, _, make = KINDS[kind]
    body = bytearray(make(good(kind)))
    for place, value in changes:
        body[int(place * len(body))] = value
    fault, rows = outcome(kind, bytes(body[: int(stop * len(body)) + 1]))
    assert rows == 5 or fault


@settings(max_examples=80, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), text=st.text('0123456789.,\n\r"-+eENa\x00é', max_size=200))
def test_no_text_raises(kind: str, text: str) -> None:
    name, _, _ = KINDS[kind]
    fault, rows = outcome(kind, packed(text, f"{name}.csv"))
    assert rows or fault

"""1-minute files: of exactly the recorded size, with rows that add up to the day's bar."""

from __future__ import annotations

import csv
import datetime as dt
import io
import zipfile
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline.simulator.minutes import MinuteFile
from availability_pipeline.simulator.shape import day_number, traded_minutes
from availability_pipeline.simulator.volumes import QUOTE_DIGITS, Bar
from availability_pipeline_tests.simulator import ScriptedArchive

NOW = dt.datetime.fromisoformat("2026-10-05 12:00")
ARCHIVE = ScriptedArchive.recorded(now=NOW)
SYMBOLS = ARCHIVE.symbols()


def rows_of(body: bytes) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.testzip() is None
        [name] = packed.namelist()
        rows = list(csv.reader(io.TextIOWrapper(packed.open(name))))
    return rows[1:] if rows[0][0] == "open_time" else rows


def minute_file(symbol: str, day: dt.date) -> tuple[list[list[str]], int, Bar]:
    """The rows of a recorded file, its size, and the bar of its day."""
    folder, files = ARCHIVE.folder(symbol), ARCHIVE.visible(symbol)
    assert folder is not None
    assert files is not None
    at = files.index(day_number(day))
    assert at is not None
    body = folder.body(f"{symbol}-1m-{day}.zip", files, at)
    assert len(body) == files.sizes[at]
    return rows_of(body), len(body), folder.bar(day_number(day))


def check_sums(rows: list[list[str]], bar: Bar) -> None:
    """Volumes and trades add up, and prices run from the bar's open to its close within its range."""
    columns = [[Decimal(cell) for cell in column] for column in zip(*rows, strict=True)]
    lot, quote, tick = (
        Decimal(1).scaleb(-digits) for digits in (bar.lot_digits, QUOTE_DIGITS, bar.price_digits)
    )
    assert sum(columns[5]) == bar.base * lot
    assert sum(columns[7]) == bar.quote * quote
    assert sum(columns[8]) == bar.trades
    assert sum(columns[9]) == bar.buy_base * lot
    assert sum(columns[10]) == bar.buy_quote * quote
    assert (columns[1][0], columns[4][-1]) == (bar.open * tick, bar.close * tick)
    assert (max(columns[2]), min(columns[3])) == (bar.high * tick, bar.low * tick)


def check_rows(rows: list[list[str]]) -> None:
    """Each minute by itself can be one of the real archive's."""
    for row in rows:
        opened, high, low, closed, volume = map(Decimal, row[1:6])
        amount, trades, buy, buy_amount = map(Decimal, row[7:11])
        assert low <= min(opened, closed) <= max(opened, closed) <= high
        assert (volume > 0) == (amount > 0) == (trades > 0)
        assert 0 <= buy <= volume
        assert 0 <= buy_amount <= amount
        assert int(row[6]) == int(row[0]) + 59_999


@settings(max_examples=40, deadline=None)
@given(symbol=st.sampled_from(SYMBOLS), place=st.floats(0, 1, exclude_max=True))
def test_minutes_add_up_to_their_day(symbol: str, place: float) -> None:
    days = ARCHIVE.files(symbol)
    day = days[int(place * len(days))]
    rows, size, bar = minute_file(symbol, day)
    check_sums(rows, bar)
    check_rows(rows)
    start = day_number(day) * 86_400_000
    minutes = [(int(row[0]) - start) // 60_000 for row in rows]
    assert minutes == list(range(minutes[0], minutes[-1] + 1))
    if day not in (days[0], days[-1]):
        assert (minutes[0], minutes[-1]) == (0, 1_439)
    traded = sum(int(row[8]) > 0 for row in rows)
    assert traded == (min(traded_minutes(size), len(rows), bar.trades) if bar.trades else 0)


def test_the_first_and_the_last_day_are_partial() -> None:
    days = ARCHIVE.files("LUNAUSDT")
    first, last = (minute_file("LUNAUSDT", day)[0] for day in (days[0], days[-1]))
    assert len(first) < 1_440
    assert len(last) < 1_440
    assert int(first[-1][6]) % 86_400_000 == 86_399_999
    assert int(last[0][0]) % 86_400_000 == 0
    assert len(minute_file("LUNAUSDT", days[1])[0]) == 1_440


def test_a_flat_file_has_all_its_minutes() -> None:
    rows, size, bar = minute_file("FTTUSDT", dt.date(2024, 1, 15))
    assert size < 8_900
    assert (len(rows), bar.trades) == (1_440, 0)
    assert {tuple(row[1:5]) for row in rows} == {tuple(rows[0][1:5])}


@pytest.mark.parametrize("size", [7_500, 8_900, 9_000, 9_400, 12_000, 20_000, 46_000, 68_000, 130_000])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000000MOGUSDT", "FTTUSDT"])
def test_a_scripted_size_is_met_to_the_byte(symbol: str, size: int) -> None:
    archive, day = ScriptedArchive.recorded([symbol], now=NOW), dt.date(2026, 9, 3)
    archive.replace_file(symbol, day, size=size)
    folder, files = archive.folder(symbol), archive.visible(symbol)
    assert folder is not None
    assert files is not None
    body = folder.body(f"{symbol}-1m-{day}.zip", files, files.index(day_number(day)) or 0)
    rows = rows_of(body)
    assert (len(body), len(rows)) == (size, 1_440)
    assert any(int(row[8]) for row in rows) == (size > 8_900)


@pytest.mark.parametrize(
    ("size", "rows"), [(0, None), (10, None), (100, None), (22, 0), (300, 5), (3_000, 300)]
)
def test_a_small_size_has_fewer_rows_or_is_no_zip(size: int, rows: int | None) -> None:
    folder = ARCHIVE.folder("BTCUSDT")
    assert folder is not None
    day = day_number(dt.date(2024, 1, 15))
    body = MinuteFile("BTCUSDT-1m-2024-01-15.zip", day, size, range(1_440), folder.bar(day), b"").body()
    assert len(body) == size
    if rows:
        assert rows <= len(rows_of(body)) < 1_440
    elif rows == 0:
        assert zipfile.ZipFile(io.BytesIO(body)).namelist() == []
    else:
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(body))

"""A file is visible exactly from its last-modified on, however the clock jumps and whatever was asked before.

Visible files are kept between requests; these properties are what that keeping has to preserve.
"""

from __future__ import annotations

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline_tests.simulator import ScriptedArchive

SYMBOLS = ("BTCUSDT", "ICPUSDT", "SOLUSDT", "TRXUSDT", "LUNAUSDT", "BNXUSDT")
LATER = dt.datetime.fromisoformat("2027-01-01 12:00")
FINAL = ScriptedArchive.recorded(SYMBOLS, now=LATER)
APPEARED = {
    symbol: {day: file.last_modified for day in FINAL.files(symbol) if (file := FINAL.file(symbol, day))}
    for symbol in SYMBOLS
}

anywhere = st.datetimes(dt.datetime.fromisoformat("2019-12-25"), LATER)
eventful = st.builds(
    lambda day, seconds: day + dt.timedelta(seconds=seconds),
    st.sampled_from(
        [dt.datetime.fromisoformat(day) for day in ("2020-01-01", "2023-05-30", "2024-06-13", "2025-10-20")]
    ),
    st.integers(0, 200_000),
)
clocks = st.lists(st.one_of(anywhere, eventful), min_size=1, max_size=6)


def expected(symbol: str, now: dt.datetime) -> list[dt.date]:
    return [day for day, appeared in APPEARED[symbol].items() if appeared <= now]


@settings(max_examples=40, deadline=None)
@given(symbol=st.sampled_from(SYMBOLS), moments=clocks)
def test_a_jumping_clock(symbol: str, moments: list[dt.datetime]) -> None:
    archive = ScriptedArchive.recorded([symbol])
    for now in moments:
        archive.set_now(now)
        assert archive.files(symbol) == expected(symbol, now)
        assert archive.symbols() == ([symbol] if expected(symbol, now) else [])


@settings(max_examples=40, deadline=None)
@given(
    symbol=st.sampled_from(SYMBOLS), moments=clocks, day=st.dates(dt.date(2019, 12, 1), dt.date(2026, 12, 30))
)
def test_a_last_published_day_comes_and_goes(symbol: str, moments: list[dt.datetime], day: dt.date) -> None:
    archive = ScriptedArchive.recorded([symbol], now=LATER)
    for now in moments:
        archive.set_last_published_day(day)
        assert archive.files(symbol) == [one for one in APPEARED[symbol] if one <= day]
        archive.set_last_published_day(None)
        archive.set_now(now)
        assert archive.files(symbol) == expected(symbol, now)
        archive.set_now(LATER)


@settings(max_examples=30, deadline=None)
@given(symbol=st.sampled_from(SYMBOLS), now=st.one_of(anywhere, eventful), offset=st.integers(-9, 9))
def test_a_removed_file_is_the_only_one_missing(symbol: str, now: dt.datetime, offset: int) -> None:
    archive, files = ScriptedArchive.recorded([symbol], now=now), expected(symbol, now)
    day = files[offset % len(files)] if files else dt.date(2024, 1, 1)
    if files:
        archive.remove_file(symbol, day)
    assert archive.files(symbol) == [one for one in files if one != day]
    archive.add_symbol("OTHERUSDT", day)
    archive.set_now(LATER)
    assert archive.files(symbol) == [one for one in APPEARED[symbol] if one != day or not files]

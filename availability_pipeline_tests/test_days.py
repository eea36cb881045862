"""Days: what users type is read in one place, so every odd form of it is tried here.

The clock is the machine's own except where a test says what it is: a day that is wrong around midnight or in another
time zone would show as data that is missing for one day.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from availability_pipeline import dates
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange, parse_day, parse_moment
from availability_pipeline.errors import UsageError
from availability_pipeline_tests.conftest import run_python

D = dt.date
FIRST = DEFAULT_DATASET.first_day


def test_the_first_days_are_those_of_the_market_and_of_the_archive() -> None:
    assert str(DEFAULT_DATASET.first_day) == "2019-09-25"
    assert str(DEFAULT_DATASET.first_file_day) == "2019-12-31"


@pytest.mark.parametrize("text", ["2024-02-29", " 2024-02-29 ", "2024-2-29"])
def test_a_day_is_read_as_people_write_it(text: str) -> None:
    assert parse_day(text) == D(2024, 2, 29)


def test_yesterday_is_the_last_complete_day() -> None:
    before = dates.last_complete_day()
    assert before <= parse_day(" Yesterday ") <= dates.last_complete_day()


def test_a_date_is_taken_as_it_is() -> None:
    assert parse_day(D(2024, 1, 15)) == D(2024, 1, 15)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2024-02-30",
        "2023-02-29",
        "15.01.2024",
        "2024-01",
        "20240115",
        "2024-01-15T00:00",
        "٢",
        "0",
    ],
)
def test_what_is_no_day_is_refused_by_name_and_value(text: str) -> None:
    with pytest.raises(UsageError, match="not a day; write it as 2024-01-15") as refusal:
        parse_day(text, "--start")
    assert str(refusal.value).startswith(f"--start is {text!r}")


def test_a_moment_is_no_day() -> None:
    with pytest.raises(UsageError, match="the moment 2024-01-15T12:00:00, but a day is needed"):
        parse_day(dt.datetime(2024, 1, 15, 12))  # noqa: DTZ001 - that is the mistake


@given(st.dates(min_value=D(1000, 1, 1)))
def test_every_day_reads_back(day: dt.date) -> None:
    assert parse_day(str(day)) == day


@given(st.dates(), st.dates())
def test_a_range_holds_its_days_and_no_others(one: dt.date, other: dt.date) -> None:
    start, end = sorted((one, other))
    span = DayRange(start, min(end, start + dt.timedelta(days=900)) if start < D(9990, 1, 1) else start)
    held = list(span)
    assert (held[0], held[-1], len(held)) == (span.start, span.end, len(span))
    assert all(day in span for day in held)
    assert len(set(held)) == len(held)


def test_a_range_tells_what_is_in_it() -> None:
    span = DayRange(D(2024, 1, 2), D(2024, 1, 4))
    outside = (D(2024, 1, 1), D(2024, 1, 5), "2024-01-03", None)
    assert D(2024, 1, 3) in span
    assert not any(day in span for day in outside)


def test_a_range_is_written_as_its_ends() -> None:
    one = D(2024, 1, 2)
    assert str(DayRange(one, one)) == "2024-01-02"
    assert str(DayRange(one, D(2024, 1, 4))) == "2024-01-02 to 2024-01-04"


def test_a_range_cannot_run_backwards() -> None:
    with pytest.raises(UsageError, match="the start 2024-01-02 is after the end 2024-01-01; swap them"):
        DayRange(D(2024, 1, 2), D(2024, 1, 1))


def test_now_is_naive_and_today_is_its_day() -> None:
    before, now, after = dates.utc_today(), dates.utc_now(), dates.utc_today()
    assert now.tzinfo is None
    assert before <= now.date() <= after


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_day_is_that_of_utc_in_every_time_zone(zone: str) -> None:
    code = "from availability_pipeline.dates import utc_now, utc_today; print(utc_now().isoformat(), utc_today())"
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    moment, day = run_python(code, TZ=zone).split()
    assert abs(dt.datetime.fromisoformat(moment) - before) < dt.timedelta(minutes=2)
    assert D.fromisoformat(day) - D.fromisoformat(moment[:10]) in (dt.timedelta(0), dt.timedelta(days=1))


@pytest.mark.parametrize("value", [None, 20240115, b"2024-01-15", ("2024-01-15",)])
def test_what_is_neither_text_nor_a_date_is_no_day(value: Any) -> None:
    with pytest.raises(UsageError, match=r"start is .*, which is not a day; pass a string"):
        parse_day(value, "start")


@pytest.mark.parametrize("value", ["x", "0001-01-01T00:00+05:00", None, 5])
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"as_of is .*, which is not a moment"):
        parse_moment(value, "as_of")

"""Answers over a whole history equal what a plain loop over the simulated archive's own content gives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from availability_pipeline import AvailabilityQueries
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline_tests.demo_data import LAST_DAY, Demo

DAYS = list(DayRange(DEFAULT_DATASET.first_day, LAST_DAY))
SYMBOLS = st.integers(0, 19)
some_examples = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def queries(demo: Demo) -> Iterator[AvailabilityQueries]:
    with AvailabilityQueries(demo.path) as opened:
        yield opened


Content = dict[str, dict[dt.date, tuple[int, dt.datetime]]]


@pytest.fixture(scope="module")
def content(demo: Demo) -> Content:
    """Size and last-modified of every file by contract and day, from the archive itself."""
    found: Content = {}
    for symbol in demo.archive.symbols():
        files = {day: demo.archive.file(symbol, day) for day in demo.archive.files(symbol)}
        found[symbol] = {day: (file.size, file.last_modified) for day, file in files.items() if file}
    return found


def facts(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [(row["date"], row["symbol"], row["file_size_bytes"], row["last_modified"]) for row in rows]


@some_examples
@given(day=st.sampled_from(DAYS))
def test_a_snapshot(queries: AvailabilityQueries, content: Content, day: dt.date) -> None:
    expected = [(day, symbol, *content[symbol][day]) for symbol in sorted(content) if day in content[symbol]]
    assert facts(queries.get_available_symbols_on_date(day)) == expected
    assert queries.get_available_symbols_on_date(day).arrow()["symbol"].to_pylist() == [
        row[1] for row in expected
    ]


@pytest.mark.parametrize("number", range(20))
def test_a_timeline(queries: AvailabilityQueries, content: Content, number: int) -> None:
    symbol = sorted(content)[number]
    files = content[symbol]
    days = [day for day in DAYS if day >= min(files)]
    expected = [(day, symbol, *files.get(day, (None, None))) for day in days]
    found = queries.get_symbol_availability_timeline(symbol.lower())
    assert facts(found) == expected
    assert [row["available"] for row in found] == [day in files for day in days]
    arrow = queries.get_symbol_availability_timeline(symbol).arrow()
    assert arrow["file_size_bytes"].to_pylist() == [row[2] for row in expected]


@some_examples
@given(ends=st.tuples(st.sampled_from(DAYS), st.integers(0, 40)))
def test_a_range_a_matrix_and_a_summary(
    queries: AvailabilityQueries, content: Content, ends: tuple[dt.date, int]
) -> None:
    days = list(DayRange(ends[0], min(ends[0] + dt.timedelta(days=ends[1]), LAST_DAY)))
    expected = [
        (day, symbol, *content[symbol][day])
        for day in days for symbol in sorted(content) if day in content[symbol]
    ]  # fmt: skip
    assert facts(queries.get_availability_range(days[0], days[-1])) == expected
    matrix = queries.availability_matrix(days[0], days[-1]).arrow().to_pydict()
    assert matrix.pop("date") == days
    assert matrix == {symbol: [day in content[symbol] for day in days] for symbol in sorted(content)}
    summary = queries.get_availability_summary(days[0], days[-1])
    assert [(row["date"], row["row_count"], row["file_count"]) for row in summary] == [
        (day, len(content), sum(row[0] == day for row in expected)) for day in days
    ]


def test_a_contract_that_goes_on_was_not_delisted(queries: AvailabilityQueries, content: Content) -> None:
    last = {symbol for symbol, files in content.items() if max(files) == LAST_DAY}
    assert len(last) > 10
    assert queries.detect_delistings(LAST_DAY) == []


def test_the_matrix_of_the_whole_history_fits_a_panel_of_prices(
    queries: AvailabilityQueries, content: Content
) -> None:
    matrix = queries.availability_matrix(DEFAULT_DATASET.first_day, LAST_DAY)
    frame = matrix.df().set_index("date")
    assert frame.shape == (len(DAYS), len(content))
    assert frame.sum().to_dict() == {symbol: len(files) for symbol, files in content.items()}
    prices = pd.DataFrame(1.0, index=frame.index, columns=frame.columns)
    assert prices.where(frame).count().to_dict() == frame.sum().to_dict()
    assert matrix.pl().select(pl.exclude("date").sum()).row(0) == tuple(frame.sum())


def test_frames_have_days_and_moments_without_a_zone(queries: AvailabilityQueries) -> None:
    timeline = queries.get_symbol_availability_timeline("btcusdt")
    frame = timeline.pl()
    assert (frame.schema["date"], frame.schema["last_modified"]) == (pl.Date, pl.Datetime("us"))
    assert str(timeline.df()["last_modified"].dtype) == "datetime64[us]"

"""Query patterns that no method of the Python API answers, compared with what other answers add up to."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import duckdb
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline_tests.documents import schemas
from availability_pipeline_tests.documents.patterns import PATTERNS, answer, examples_of


def ask(connection: duckdb.DuckDBPyConnection, name: str, **values: object) -> list[dict[str, Any]]:
    pattern = PATTERNS[name]
    return answer(connection, pattern, {**examples_of(pattern), **values})


def test_download_size_adds_up_files(
    connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    values = examples_of(PATTERNS["download_size"])
    files = list(queries.get_availability_range(**values))
    for row in ask(connection, "download_size"):
        sizes = [file["file_size_bytes"] for file in files if file["symbol"] == row["symbol"]]
        assert (row["files"], row["bytes"]) == (len(sizes), sum(size or 0 for size in sizes))


def test_first_and_last_files_are_those_of_timelines(
    connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    for row in ask(connection, "first_and_last_files"):
        days = [
            str(day["date"])
            for day in queries.get_symbol_availability_timeline(row["symbol"])
            if day["available"]
        ]
        assert (row["first_file_day"], row["last_file_day"], row["file_count"]) == (
            days[0],
            days[-1],
            len(days),
        )


@pytest.mark.parametrize("date", ["2019-12-31", "2022-11-25", "2026-11-19"])
def test_status_of_day_adds_up_to_the_summary(
    date: str, connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    [day] = queries.get_availability_summary(date, date)
    counts = Counter(row["status"] for row in ask(connection, "status_of_day", date=date))
    assert counts == {status: day[status] for status in counts}
    assert counts.total() == day["row_count"]


@pytest.mark.parametrize(
    ("date", "flat_before"),
    [
        ("2022-05-20", {}),
        ("2022-06-14", {"ICPUSDT": 26}),
        ("2022-06-15", {"ICPUSDT": 25}),
        ("2022-07-30", {"ICPUSDT": 0}),
    ],
)
def test_live_days_are_files_but_those_known_to_be_flat(
    date: str,
    flat_before: dict[str, int],
    connection: duckdb.DuckDBPyConnection,
    queries: AvailabilityQueries,
) -> None:
    """ICPUSDT is flat from 2022-06-11 on, which is known on the day."""
    start = dt.date.fromisoformat(date) - dt.timedelta(days=29)
    files = Counter(row["symbol"] for row in queries.get_availability_range(start, date))
    expected = {symbol: flat_before.get(symbol, count) for symbol, count in files.items()}
    found = {row["symbol"]: row["days"] for row in ask(connection, "live_days", date=date)}
    assert found == {symbol: days for symbol, days in expected.items() if days}


@pytest.mark.parametrize("date", ["2022-05-14", "2022-09-22", "2024-01-15"])
def test_awaited_are_those_of_the_day_before_that_are_not_there(
    date: str, connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    before = dt.date.fromisoformat(date) - dt.timedelta(days=1)
    there, had = (
        {row["symbol"] for row in queries.get_available_symbols_on_date(day)} for day in (date, before)
    )
    found = ask(connection, "awaited", date=date)
    assert [row["symbol"] for row in found] == sorted(had - there)
    assert {row["last_file_day"] for row in found} <= {str(before)}


def test_publication_and_last_collections_are_those_of_the_status(
    connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    status = queries.get_status()
    [publication] = ask(connection, "publication")
    [expected] = schemas.as_json([vars(status.publication)])
    assert publication == {name: expected[name] for name in publication}
    assert ask(connection, "last_collections") == schemas.as_json(status.runs)


@pytest.mark.parametrize("date", ["2022-05-12", "2024-01-15", "2026-11-19"])
def test_the_most_liquid_are_the_first_of_the_universe(
    date: str, connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    ranked = sorted(queries.get_universe(date, top=3), key=lambda row: row["rank"] or 0)
    assert ask(connection, "most_liquid", date=date) == [
        {"symbol": row["symbol"], "liquidity": row["liquidity"]} for row in ranked
    ]


def test_these_are_all_that_have_no_method() -> None:
    alone = {name for name, pattern in PATTERNS.items() if not pattern["method"]}
    of_one_day = {"status_of_day", "live_days", "awaited", "most_liquid"}
    assert alone == {"download_size", "first_and_last_files", "publication", "last_collections", *of_one_day}

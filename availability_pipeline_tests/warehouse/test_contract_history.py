"""What the exchange said, and when: every state is kept with its first and last answer, in any order of answers."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.writes import remove_unfinished_days, write_symbols
from availability_pipeline_tests.lifecycle.lives import database

TRADING = ListedContract("FTTUSDT", "PERPETUAL", "TRADING", dt.date(2022, 4, 15), None, "COIN")
SETTLING = dataclasses.replace(
    TRADING, status="SETTLING", delivery_date=dt.datetime.fromisoformat("2022-11-14 04:00")
)
OTHER = dataclasses.replace(TRADING, symbol="BTCUSDT")
UNKNOWN = ListedContract("FTTUSDT", None, None, None)

Row = tuple[object, ...]


def hour(number: int) -> dt.datetime:
    return dt.datetime.fromisoformat("2022-11-13 02:00") + dt.timedelta(hours=number)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "availability.duckdb") as opened:
        yield opened


def say(connection: duckdb.DuckDBPyConnection, number: int, *listed: ListedContract) -> None:
    """An answer of the exchange in an hour."""
    write_symbols(connection, [], listed, tracked=set(), now=hour(number))


def history(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    return connection.execute("FROM contract_history ORDER BY symbol, valid_from").fetchall()


def row(contract: ListedContract, first: int, last: int) -> Row:
    said = dataclasses.astuple(dataclasses.replace(contract, quote=None))[
        :-1
    ]  # the quote asset is in `symbols`
    return (*said, hour(first), hour(last))


def test_a_state_grows_while_it_is_said_again(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(3):
        say(connection, number, TRADING, OTHER)
    assert history(connection) == [row(OTHER, 0, 2), row(TRADING, 0, 2)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("contract_type", "CURRENT_QUARTER DELIVERING"),
        ("contract_type", None),
        ("status", "SETTLING"),
        ("onboard_date", dt.date(2022, 4, 16)),
        ("onboard_date", None),
        ("delivery_date", dt.datetime.fromisoformat("2022-11-14 04:00")),
        ("underlying_type", "INDEX"),
        ("underlying_type", None),
    ],
)
def test_another_state_is_another_row_and_so_is_the_former_one(
    connection: duckdb.DuckDBPyConnection, name: str, value: object
) -> None:
    other = dataclasses.replace(TRADING, **{name: value})  # type: ignore[arg-type]  # one of the fields
    for number, contract in enumerate([TRADING, TRADING, other, other, TRADING]):
        say(connection, number, contract)
    assert history(connection) == [row(TRADING, 0, 1), row(other, 2, 3), row(TRADING, 4, 4)]


def test_a_contract_that_is_no_longer_listed_stops_growing(connection: duckdb.DuckDBPyConnection) -> None:
    say(connection, 0, TRADING, OTHER)
    say(connection, 1, OTHER)
    say(connection, 2)
    assert history(connection) == [row(OTHER, 0, 1), row(TRADING, 0, 0)]


def test_contracts_without_a_folder_are_kept(connection: duckdb.DuckDBPyConnection) -> None:
    say(connection, 0, TRADING)
    assert connection.execute("SELECT count(*) FROM symbols").fetchall() == [(0,)]
    assert history(connection) == [row(TRADING, 0, 0)]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_an_answer_that_is_not_newer_changes_nothing(
    connection: duckdb.DuckDBPyConnection, number: int
) -> None:
    say(connection, 1, TRADING)
    say(connection, 3, SETTLING)
    before = history(connection)
    for contract in (TRADING, SETTLING, UNKNOWN):
        say(connection, number, contract)
    assert history(connection) == before


def test_a_failure_keeps_nothing(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(connection, 0, TRADING)
    before = history(connection)
    monkeypatch.setattr("availability_pipeline.warehouse.writes._NEW_STATE", "INSERT INTO nowhere VALUES (1)")
    with pytest.raises(duckdb.CatalogException):
        say(connection, 1, TRADING, OTHER)
    assert history(connection) == before


def test_moments_of_the_future_are_brought_back(connection: duckdb.DuckDBPyConnection) -> None:
    say(connection, 0, TRADING, OTHER)
    for number, contract in ((9, TRADING), (10, UNKNOWN), (11, SETTLING), (12, SETTLING)):
        say(connection, number, contract)
    remove_unfinished_days(connection, hour(5))
    assert history(connection) == [row(OTHER, 0, 0), row(TRADING, 0, 5), row(SETTLING, 5, 5)]
    say(connection, 5, TRADING)
    say(connection, 6, SETTLING, OTHER)
    assert history(connection) == [row(OTHER, 0, 6), row(TRADING, 0, 5), row(SETTLING, 5, 6)]


def expected(answers: Sequence[tuple[int, Sequence[ListedContract]]]) -> list[Row]:
    """The history as a plain loop makes it."""
    held: dict[str, list[tuple[ListedContract, int, int]]] = {}
    for number, listed in answers:
        for contract in listed:
            states = held.setdefault(contract.symbol, [])
            if states and number <= states[-1][2]:
                continue
            if states and states[-1][0] == contract:
                states[-1] = (contract, states[-1][1], number)
            else:
                states.append((contract, number, number))
    return [row(*state) for symbol in sorted(held) for state in held[symbol]]


CONTRACTS = st.sampled_from(
    [
        contract
        for one in (TRADING, SETTLING, UNKNOWN)
        for contract in (one, dataclasses.replace(one, symbol="X"))
    ]
)
ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 12), st.lists(CONTRACTS, max_size=2, unique_by=lambda contract: contract.symbol)
    ),
    max_size=10,
)


@settings(max_examples=20, deadline=None)
@given(answers=ANSWERS)
def test_any_answers_make_the_history_of_a_plain_loop(
    answers: list[tuple[int, list[ListedContract]]],
) -> None:
    with database() as connection:
        for number, listed in answers:
            say(connection, number, *listed)
        assert history(connection) == expected(answers)

"""The table of contracts: it remembers every folder it ever saw, and what exchangeInfo said last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.archive.names import parse_symbol
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.writes import SymbolsReport, tracked_symbols, write_symbols

FIRST = dt.datetime.fromisoformat("2026-10-05 02:00")
SECOND = FIRST + dt.timedelta(days=1)
NAMES = ["BTCUSDT", "BTCUSDT_261225", "ETHUSDC", "ICPUSDT_SETTLED", "币安人生USDT", "ODD"]
TRACKED = {"BTCUSDT", "ICPUSDT_SETTLED", "币安人生USDT"}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "availability.duckdb") as opened:
        yield opened


def see(
    connection: duckdb.DuckDBPyConnection,
    names: list[str],
    listed: list[ListedContract] | None = None,
    now: dt.datetime = FIRST,
    tracked: set[str] = TRACKED,
) -> SymbolsReport:
    symbols = [parse_symbol(DEFAULT_DATASET, name) for name in names]
    return write_symbols(connection, symbols, listed or [], tracked=tracked & set(names), now=now)


def listed(
    symbol: str, status: str = "TRADING", onboard: dt.date | None = dt.date(2019, 9, 25)
) -> ListedContract:
    return ListedContract(symbol, "PERPETUAL", status, onboard)


def row_of(connection: duckdb.DuckDBPyConnection, symbol: str) -> tuple[object, ...]:
    [row] = connection.execute("FROM symbols WHERE symbol = ?", [symbol]).fetchall()
    return tuple(row)


def test_folders_are_kept_with_what_their_names_say(connection: duckdb.DuckDBPyConnection) -> None:
    assert see(connection, NAMES) == SymbolsReport(6, 3, tuple(NAMES))
    assert row_of(connection, "ICPUSDT_SETTLED")[:5] == ("ICPUSDT_SETTLED", "settled", "USDT", True, FIRST)
    assert row_of(connection, "BTCUSDT_261225")[:5] == ("BTCUSDT_261225", "delivery", "USDT", False, FIRST)
    assert row_of(connection, "ODD") == ("ODD", "perpetual", None, False, FIRST, None, None, None, None)


def test_only_tracked_contracts_are_given_out_in_order(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES[::-1])
    assert tracked_symbols(connection) == sorted(TRACKED)


def test_seeing_a_folder_again_keeps_when_it_was_first_seen(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES)
    assert see(connection, NAMES, now=SECOND) == SymbolsReport(6, 3, ())
    assert row_of(connection, "BTCUSDT")[4] == FIRST


def test_only_new_folders_are_reported(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES[:2])
    assert see(connection, NAMES[:3], now=SECOND).new == ("ETHUSDC",)
    assert row_of(connection, "ETHUSDC")[4] == SECOND


def test_a_folder_that_is_gone_is_still_known(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES)
    assert see(connection, ["BTCUSDT"], now=SECOND).total == 6
    assert tracked_symbols(connection) == sorted(TRACKED)


def test_another_rule_changes_what_is_tracked(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES)
    see(connection, NAMES, tracked={"ETHUSDC"}, now=SECOND)
    assert tracked_symbols(connection) == ["ETHUSDC"]


def test_what_the_exchange_says_is_kept(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES, [listed("BTCUSDT"), listed("PENDINGUSDT")])
    assert row_of(connection, "BTCUSDT")[5:] == ("PERPETUAL", "TRADING", dt.date(2019, 9, 25), FIRST)
    assert connection.execute("SELECT count(*) FROM symbols").fetchall() == [(6,)]


def test_the_last_word_of_the_exchange_stays_while_it_is_silent(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    see(connection, NAMES, [listed("BTCUSDT")])
    see(connection, NAMES, [], now=SECOND)
    assert row_of(connection, "BTCUSDT")[5:] == ("PERPETUAL", "TRADING", dt.date(2019, 9, 25), FIRST)
    see(connection, NAMES, [listed("BTCUSDT", "SETTLING", None)], now=SECOND)
    assert row_of(connection, "BTCUSDT")[5:] == ("PERPETUAL", "SETTLING", None, SECOND)


def test_a_quote_that_only_the_exchange_knows_stays_while_it_is_silent(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    see(connection, ["ODD", "BTCUSDT"], [replace(listed("ODD"), quote="DD")])
    assert row_of(connection, "ODD")[2] == "DD"
    for silent in ([], [listed("ODD"), listed("BTCUSDT")]):
        see(connection, ["ODD", "BTCUSDT"], silent, now=SECOND)
        assert [row_of(connection, symbol)[2] for symbol in ("ODD", "BTCUSDT")] == ["DD", "USDT"]


def test_nothing_seen_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    see(connection, NAMES)
    assert see(connection, [], now=SECOND) == SymbolsReport(6, 0, ())


def test_a_failure_keeps_nothing(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("availability_pipeline.warehouse.writes._LISTED", "UPDATE nowhere SET x = 1")
    with pytest.raises(duckdb.CatalogException):
        see(connection, NAMES)
    assert connection.execute("SELECT count(*) FROM symbols").fetchall() == [(0,)]

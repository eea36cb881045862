"""What the exchange said reaches readers, and a universe uses only what had been said by its day."""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from availability_pipeline import (
    AvailabilityQueries,
    IncompleteDayWarning,
    PublishedDatabaseError,
    UsageError,
)
from availability_pipeline.cli.main import cli
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.archive.servers import canned
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.simulator import ScriptedArchive, serve

NAMES = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "LITUSDT"]
NO_END, END, LATER_END = 4_133_404_800_000, 1_709_629_200_000, 1_711_962_000_000
"""2100, 2024-03-05 09:00 and 2024-04-01 09:00."""

FIRST_DAY = dt.date(2024, 2, 20)
ANSWERS = {27: NO_END, 28: NO_END, 29: END, 30: END, 31: NO_END, 32: LATER_END}
"""By day of an update, counted from 2024-01-31, the end of LITUSDT that the exchange announced on it."""


def moment(day: int) -> dt.datetime:
    return dt.datetime(2024, 1, 31, 10, tzinfo=dt.UTC) + dt.timedelta(days=day)


def date(day: int) -> dt.date:
    return moment(day).date()


def answer(end: int) -> bytes:
    """An exchangeInfo with an end of LITUSDT."""
    symbols = [
        {
            "symbol": name, "contractType": "PERPETUAL", "status": "TRADING", "onboardDate": 1569398400000,
            "deliveryDate": end if name == "LITUSDT" else NO_END, "underlyingType": "COIN",
        }
        for name in (*NAMES, "COMINGUSDT")
    ]  # fmt: skip
    return json.dumps({"symbols": symbols}).encode()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AvailabilityQueries]:
    """Days collected on the mornings after them, each time with another answer of the exchange."""
    archive = ScriptedArchive.recorded(symbols=NAMES, now=moment(27))
    with serve(archive) as server:
        folder = tmp_path_factory.mktemp("told")
        settings = Settings.load(server.environment(), data_dir=str(folder), connections="4")
        for day, end in ANSWERS.items():
            archive.set_now(moment(day))
            with clock_at(moment(day), server), canned(200, answer(end)) as url:
                collect = pipeline.run_and_publish if day == max(ANSWERS) else pipeline.run
                collect(replace(settings, fapi_url=url), FIRST_DAY, date(day - 1))
        with AvailabilityQueries(settings.db_path) as queries:
            yield queries


def states(queries: AvailabilityQueries, symbol: str, **arguments: Any) -> list[tuple[Any, ...]]:
    return [
        (row["scheduled_end"] and row["scheduled_end"].date(), row["valid_from"].day, row["valid_to"].day)
        for row in queries.get_contract(symbol, **arguments)
    ]


def test_every_state_has_its_first_and_last_answer(told: AvailabilityQueries) -> None:
    march = dt.date(2024, 3, 5)
    assert states(told, "lit-usdt") == [
        (None, 27, 28), (march, 29, 1), (None, 2, 2), (dt.date(2024, 4, 1), 3, 3),
    ]  # fmt: skip
    assert states(told, "COMINGUSDT") == [(None, 27, 3)]
    [row] = told.get_contract("BTCUSDT")
    assert row == {
        "symbol": "BTCUSDT", "contract_type": "PERPETUAL", "status": "TRADING", "onboard_date": dt.date(2019, 9, 25),
        "scheduled_end": None, "underlying_type": "COIN", "valid_from": moment(27).replace(tzinfo=None),
        "valid_to": moment(32).replace(tzinfo=None),
    }  # fmt: skip
    assert told.get_contract("LITUSDT").arrow().to_pylist() == told.get_contract("LITUSDT")


def test_as_of_a_moment_there_is_what_had_been_said(told: AvailabilityQueries) -> None:
    march = dt.date(2024, 3, 5)
    assert states(told, "LITUSDT", as_of="2024-02-27T09:59:59") == []
    assert states(told, "LITUSDT", as_of=moment(27)) == [(None, 27, 27)]
    assert states(told, "LITUSDT", as_of="2024-02-29T23:00") == [(None, 27, 28), (march, 29, 29)]
    assert states(told, "LITUSDT", as_of="2030-01-01") == states(told, "LITUSDT")
    with pytest.raises(UsageError, match="as_of is 'noon', which is not a moment"):
        told.get_contract("LITUSDT", as_of="noon")


@pytest.mark.parametrize("name", ["LITUSD", 5, None])
def test_an_unknown_contract_is_named(told: AvailabilityQueries, name: Any) -> None:
    with pytest.raises(
        UsageError, match=r"no contract is called 'LITUSD'; similar|the contract is (5|None), but"
    ):
        told.get_contract(name)


def has_lit(queries: AvailabilityQueries, day: int, days: int) -> bool:
    return any(row["symbol"] == "LITUSDT" for row in queries.get_universe(date(day), exclude_ending=days))


def test_a_universe_uses_what_had_been_said_by_its_day(told: AvailabilityQueries) -> None:
    assert all(has_lit(told, day, 36_500) for day in (27, 28))
    assert [has_lit(told, 29, days) for days in (4, 5, 6)] == [True, False, False]
    assert [has_lit(told, 30, days) for days in (3, 4)] == [True, False]
    assert has_lit(told, 31, 36_500)
    rows = told.get_universe(date(29), exclude_ending=5, explain=True)
    assert [row["symbol"] for row in rows if row["reason"] == "ending"] == ["LITUSDT"]


@pytest.mark.parametrize("days", [0, 4, 5, 90])
def test_a_history_is_its_universes_one_by_one(told: AvailabilityQueries, days: int) -> None:
    found = told.universe_history(date(27), date(31), exclude_ending=days)
    expected = [
        {name: value for name, value in row.items() if name != "reason"}
        for day in range(27, 32)
        for row in told.get_universe(date(day), exclude_ending=days)
    ]
    assert found == expected


def test_days_before_the_first_answer_are_warned_of(told: AvailabilityQueries) -> None:
    said = "nothing that the exchange said is recorded before 2024-02-27, so exclude_ending excludes nothing"
    with pytest.warns(IncompleteDayWarning, match=said) as of_day:
        told.get_universe(date(26), exclude_ending=5)
    with pytest.warns(IncompleteDayWarning, match=said) as of_days:
        told.universe_history(date(25), date(31), exclude_ending=5)
    assert {warning.filename for warning in (*of_day, *of_days)} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told.get_universe(date(26))


def test_the_command_leaves_out_what_ends(told: AvailabilityQueries) -> None:
    line = ["query", "universe", "2024-02-29", "--exclude-ending", "5", "--explain", "--format", "table"]
    result = CliRunner(env={"AVAILABILITY_DB_PATH": str(told.path)}).invoke(cli, line, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    assert "3 contracts in the universe of 2024-02-29, 1 left out" in result.stdout
    [shown] = [text.split() for text in result.stdout.splitlines() if "LITUSDT" in text]
    assert shown[-1] == "ending"


def test_a_database_of_an_older_form_says_so(tmp_path: Path) -> None:
    path = sample.writable(sample.copy_published(tmp_path / "data").path)
    with duckdb.connect(path) as connection:
        connection.execute("DROP TABLE contract_history; UPDATE publication SET schema_version = 3")
    with AvailabilityQueries(path) as queries:
        queries.get_universe(sample.LAST_DAY)
        for ask in (
            lambda: queries.get_contract("BTCUSDT"),
            lambda: queries.get_universe(sample.LAST_DAY, exclude_ending=5),
        ):
            with pytest.raises(
                PublishedDatabaseError, match="did not record what the exchange said; run `publish`"
            ):
                ask()

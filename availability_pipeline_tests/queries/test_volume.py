"""Queries of volume and universes by liquidity against the same questions asked of plain rows, one row at a time."""

from __future__ import annotations

import datetime as dt
import random
import statistics
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from availability_pipeline.errors import IncompleteDayWarning, UsageError
from availability_pipeline.publishing.write import publish
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.warehouse.database import connect, write_info
from availability_pipeline.warehouse.volume import BARS, READ, write_volume

FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 4, 30)
DAYS = [FIRST + dt.timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
SYMBOLS = [f"S{number:02}USDT" for number in range(20)] + ["币安人生USDT"]

Bars = Mapping[tuple[dt.date, str], tuple[float, int]]
"""Traded value and trades by day and contract."""


def drawn() -> tuple[dict[tuple[dt.date, str], bool], dict[tuple[dt.date, str], tuple[float, int]]]:
    """Which files there are, and the bars: with holes, relistings, late listings, quiet days and equal values."""
    draw = random.Random(7)
    files, bars = {}, {}
    for number, symbol in enumerate(SYMBOLS):
        first = draw.randrange(60) if number % 3 else 0
        hole = range(50, 50 + 7 * (number % 7)) if number % 2 else range(0)
        for offset, day in enumerate(DAYS):
            files[day, symbol] = offset >= first and offset not in hole
            if draw.random() < 0.03:
                continue  # neither follows from the other
            if files[day, symbol] or draw.random() < 0.02:
                idle = draw.random() < 0.05
                value = 0.0 if idle else float(draw.choice((1000, 2500, draw.randrange(1, 10_000_000))))
                bars[day, symbol] = value, 0 if idle else draw.randrange(1, 5_000)
    return files, bars


FILES, BARS_OF = drawn()


@dataclass(frozen=True)
class Place:
    """A published database, and the same as plain rows."""

    path: Path
    bars: Bars


FILL = """
INSERT INTO availability BY NAME
SELECT
    date, symbol, available, if(available, 30000, NULL)::BIGINT AS file_size_bytes,
    if(available, date + INTERVAL 31 HOUR, NULL) AS last_modified, if(available, 200, 404) AS status_code,
    TIMESTAMP '2024-06-01' AS probe_timestamp
FROM files ORDER BY date, symbol
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("volume")
    rows = [
        {
            "date": day, "symbol": symbol, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "base_volume": value / 2,
            "quote_volume": value, "trades": trades, "taker_buy_base_volume": 0.0, "taker_buy_quote_volume": 0.0,
            "source": "daily", "file_last_modified": dt.datetime.combine(day, dt.time()),
        }
        for (day, symbol), (value, trades) in BARS_OF.items()
    ]  # fmt: skip
    with connect(folder / "working" / "availability.duckdb") as connection:
        fill(connection)
        write_volume(connection, READ.empty_table(), pa.Table.from_pylist(rows, BARS))
        publish(connection, folder / "availability.duckdb", "run")
    return Place(folder / "availability.duckdb", BARS_OF)


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    keys = [{"date": day, "symbol": symbol, "available": there} for (day, symbol), there in FILES.items()]
    schema = pa.schema({"date": pa.date32(), "symbol": pa.string(), "available": pa.bool_()})
    connection.register("files", pa.Table.from_pylist(keys, schema))
    connection.execute(FILL)
    connection.execute(
        "INSERT INTO symbols (symbol, contract, quote, tracked, first_seen) "
        "SELECT DISTINCT symbol, 'perpetual', 'USDT', true, TIMESTAMP '2024-01-01' FROM files"
    )
    connection.unregister("files")
    write_info(connection, "archive_url", "https://data.binance.vision")


@pytest.fixture(scope="module")
def queries(place: Place) -> Iterator[AvailabilityQueries]:
    with AvailabilityQueries(place.path) as opened:
        yield opened


COMES_TO = {
    "median": statistics.median, "mean": statistics.fmean, "sum": sum, "min": min, "max": max,
}  # fmt: skip

RULES = st.fixed_dictionaries(
    {"rank_by": st.sampled_from(("quote_volume", "trades")), "statistic": st.sampled_from(tuple(COMES_TO)),
     "window_days": st.sampled_from((1, 7, 30, 90))},
    optional={"top": st.integers(1, 25), "min_quote_volume": st.sampled_from((0.0, 1500.0, 2_000_000.0))},
)  # fmt: skip


def expected(day: dt.date, members: list[str], rules: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """The contracts, ranks and values that a universe should have."""
    comes_to, found = COMES_TO[rules["statistic"]], []
    for symbol in members:
        if BARS_OF.get((day, symbol), (0, 0))[1] == 0:
            continue
        window = [day - dt.timedelta(days=back) for back in range(rules["window_days"])]
        past = [BARS_OF[each, symbol] for each in window if (each, symbol) in BARS_OF]
        values = {
            "quote_volume": comes_to([value for value, _ in past]),
            "trades": comes_to([n for _, n in past]),
        }
        if values["quote_volume"] >= rules.get("min_quote_volume", 0):
            found.append((-values[rules["rank_by"]], symbol))
    ranked = [(symbol, rank, -value) for rank, (value, symbol) in enumerate(sorted(found), 1)]
    return sorted(row for row in ranked if row[1] <= rules.get("top", len(ranked)))


def asked(rules: Mapping[str, Any]) -> bool:
    return "top" in rules or "min_quote_volume" in rules


def shown(rows: Any) -> list[tuple[str, int, float]]:
    return [(row["symbol"], row["rank"], row["liquidity"]) for row in rows]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(day=st.sampled_from(DAYS), rules=RULES)
def test_a_universe_has_the_most_liquid_by_windows_of_calendar_days(
    queries: AvailabilityQueries, day: dt.date, rules: dict[str, Any]
) -> None:
    members = [row["symbol"] for row in queries.get_universe(day)]
    found = queries.get_universe(day, **rules)
    if asked(rules):
        assert shown(found) == approx(expected(day, members, rules))
    else:
        assert [(row["symbol"], row["rank"], row["liquidity"]) for row in found] == [
            (symbol, None, None) for symbol in members
        ]
    assert found.arrow().to_pylist() == list(found)


def approx(rows: list[tuple[str, int, float]]) -> list[tuple[str, int, Any]]:
    return [(symbol, rank, pytest.approx(value)) for symbol, rank, value in rows]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=RULES, step=st.integers(1, 9))
def test_the_history_of_universes_has_the_universe_of_each_day(
    queries: AvailabilityQueries, rules: dict[str, Any], step: int
) -> None:
    history = list(queries.universe_history(DAYS[10], DAYS[80], step=step, **rules))
    for day in DAYS[10:81:step]:
        assert [row for row in history if row["date"] == day] == [
            {key: value for key, value in row.items() if key != "reason"}
            | ({"liquidity": pytest.approx(row["liquidity"])} if row["liquidity"] is not None else {})
            for row in queries.get_universe(day, **rules)
        ]


def test_excluded_contracts_are_explained(queries: AvailabilityQueries) -> None:
    day, rules = DAYS[100], {"top": 5, "min_quote_volume": 2000.0}
    everything = {row["symbol"]: row for row in queries.get_universe(day, explain=True, **rules)}
    members = [row["symbol"] for row in queries.get_universe(day)]
    inside = {
        symbol
        for symbol, _, _ in expected(
            day, members, {"rank_by": "quote_volume", "statistic": "median", "window_days": 30, **rules}
        )
    }
    for symbol in members:
        traded = BARS_OF.get((day, symbol), (0, 0))[1] > 0
        reasons = {None} if symbol in inside else {"low_volume", "rank"} if traded else {"not_traded", "flat"}
        assert everything[symbol]["reason"] in reasons
    assert {row["reason"] for row in everything.values()} >= {None, "rank", "not_traded"}


def test_nothing_after_the_day_has_a_say(place: Place, tmp_path: Path) -> None:
    day = DAYS[60]
    with (
        connect(tmp_path / "working" / "availability.duckdb") as connection,
        AvailabilityQueries(place.path) as whole,
    ):
        fill(connection)
        bars = whole._connection.arrow("FROM published.daily_volume WHERE date <= ?", [day])
        write_volume(connection, READ.empty_table(), bars.cast(BARS))
        connection.execute("DELETE FROM availability WHERE date > ?", [day])
        publish(connection, tmp_path / "availability.duckdb", "run")
        with AvailabilityQueries(tmp_path / "availability.duckdb") as cut:
            assert list(cut.get_universe(day, top=7)) == list(whole.get_universe(day, top=7))
            assert list(cut.get_rankings(day)) == list(whole.get_rankings(day))


def ranks(day: dt.date) -> dict[str, int]:
    values = {symbol: value for (date, symbol), (value, trades) in BARS_OF.items() if date == day and trades}
    order = sorted(set(values.values()), reverse=True)
    return {symbol: order.index(value) + 1 for symbol, value in values.items()}


@pytest.mark.parametrize("day", [DAYS[0], DAYS[20], DAYS[33], DAYS[75], DAYS[-1]])
def test_rankings_compare_with_calendar_days_before(queries: AvailabilityQueries, day: dt.date) -> None:
    rows, own = list(queries.get_rankings(day)), ranks(day)
    assert {row["symbol"]: row["rank"] for row in rows} == own
    assert [(row["rank"], row["symbol"]) for row in rows] == sorted(
        (rank, symbol) for symbol, rank in own.items()
    )
    total = sum(BARS_OF[day, symbol][0] for symbol in own)
    for row in rows:
        symbol = row["symbol"]
        for back in (1, 7, 14, 30):
            before = ranks(day - dt.timedelta(days=back)).get(symbol)
            assert row[f"rank_change_{back}d"] == (None if before is None else own[symbol] - before)
        files = [FILES.get((day - dt.timedelta(days=back), symbol), False) for back in range(30)]
        assert row["days_available"] == sum(files)
        value = BARS_OF[day, symbol][0]
        assert row["market_share_pct"] == pytest.approx(100 * value / total, rel=1e-5)
        larger = sum(BARS_OF[day, other][0] > value for other in own)
        assert row["percentile"] == pytest.approx(100 * larger / max(1, len(own) - 1), rel=1e-5)


def test_the_file_of_rankings_has_the_ranks_of_every_day(queries: AvailabilityQueries, place: Place) -> None:
    [file] = place.path.parent.glob("generations/*/volume_rankings.parquet")
    relation = duckdb.sql(f"FROM '{file}'")
    assert list(zip(relation.columns, map(str, relation.types), strict=True)) == [
        ("date", "DATE"), ("symbol", "VARCHAR"), ("rank", "SMALLINT"), ("quote_volume_usdt", "DOUBLE"),
        ("trade_count", "BIGINT"), *((f"rank_change_{back}d", "SMALLINT") for back in (1, 7, 14, 30)),
        ("percentile", "FLOAT"), ("market_share_pct", "FLOAT"), ("days_available", "TINYINT"),
        ("generation_timestamp", "TIMESTAMP"),
    ]  # fmt: skip
    for day in (DAYS[3], DAYS[77]):
        found = duckdb.sql(
            f"SELECT * EXCLUDE (generation_timestamp) FROM '{file}' WHERE date = '{day}' ORDER BY rank, symbol"
        ).fetchall()
        assert found == [tuple(row.values()) for row in queries.get_rankings(day)]


def test_a_contract_has_its_bars(queries: AvailabilityQueries) -> None:
    for symbol in (SYMBOLS[1], "币安人生usdt"):
        rows = list(queries.get_volume(symbol))
        mine = {day: bar for (day, each), bar in BARS_OF.items() if each == symbol.upper()}
        assert [(row["date"], row["quote_volume"], row["trades"]) for row in rows] == [
            (day, *mine[day]) for day in sorted(mine)
        ]


def test_a_matrix_has_a_row_for_each_day_and_a_column_for_each_contract(queries: AvailabilityQueries) -> None:
    matrix = queries.volume_matrix(DAYS[5], DAYS[60], "trades")
    assert matrix.columns == ("date", *sorted(SYMBOLS))
    assert [row["date"] for row in matrix] == DAYS[5:61]
    for row in matrix:
        for symbol in SYMBOLS:
            assert row[symbol] == BARS_OF.get((row["date"], symbol), (None, None))[1]


def test_the_market_of_a_day_is_the_sum_of_its_bars(queries: AvailabilityQueries) -> None:
    day = DAYS[90]
    bars = sorted((bar for (date, _), bar in BARS_OF.items() if date == day), reverse=True)
    [found] = queries.get_market_summary(day)
    total = sum(value for value, _ in bars)
    assert (found["bars"], found["traded"]) == (len(bars), sum(trades > 0 for _, trades in bars))
    assert (found["quote_volume"], found["trades"]) == (total, sum(trades for _, trades in bars))
    assert found["top_10_share_pct"] == pytest.approx(100 * sum(value for value, _ in bars[:10]) / total)
    assert found["top_50_share_pct"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        *(
            ({"top": top}, f"top is {top!r}, but it must be a whole number from 1 to 2,147,483,647")
            for top in (0, 2**31, "5", 1.5, True, float("nan"))
        ),
        *(
            (
                {"top": 5, "window_days": days},
                f"window_days is {days!r}, but it must be a whole number from 1 to 3,650",
            )
            for days in (0, 3_651, "30", 30.5, None)
        ),
        ({"top": 5, "rank_by": "price"}, "rank_by is 'price', but it must be one of quote_volume, trades"),
        ({"top": 5, "statistic": "mode"}, "statistic is 'mode', but it must be one of median, mean"),
        ({"min_quote_volume": -1.0}, "min_quote_volume is -1.0, but it must be a number from 0 up"),
        ({"min_quote_volume": "1e6"}, "min_quote_volume is '1e6', but it must be a number from 0 up"),
        ({"min_quote_volume": 10**400}, "0, but it must be a number from 0 up"),
        ({"min_quote_volume": float("nan")}, "min_quote_volume is nan, but it must be a number from 0 up"),
    ],
)
def test_rules_out_of_range_are_refused(
    queries: AvailabilityQueries, rules: dict[str, Any], message: str
) -> None:
    for ask in (queries.get_universe, lambda day, **rest: queries.universe_history(day, day, **rest)):
        with pytest.raises(UsageError, match=message):
            ask(DAYS[50], **rules)


def test_numbers_of_numpy_are_numbers(queries: AvailabilityQueries) -> None:
    day, count, least = DAYS[50], np.int64(3), np.float32(0)
    asked = {"top": count, "window_days": count, "min_quote_volume": least, "exclude_ending": None}
    plain = {"top": 3, "window_days": 3, "min_quote_volume": 0.0}
    assert list(queries.get_universe(day, **asked)) == list(queries.get_universe(day, **plain))
    history = queries.universe_history(day, day, np.int64(1), np.int64(0), **asked)
    assert list(history) == list(queries.universe_history(day, day, **plain))


def test_a_number_that_bars_do_not_have_is_refused(queries: AvailabilityQueries) -> None:
    with pytest.raises(
        UsageError, match="field is 'vwap', but it must be one of open, high, low, close, base_volume"
    ):
        queries.volume_matrix(DAYS[0], DAYS[1], "vwap")


def test_a_day_whose_bars_are_not_there_yet_is_told(tmp_path: Path) -> None:
    with connect(tmp_path / "working" / "availability.duckdb") as connection:
        fill(connection)
        publish(connection, tmp_path / "availability.duckdb", "run")
    with AvailabilityQueries(tmp_path / "availability.duckdb") as queries:
        with pytest.warns(IncompleteDayWarning, match=f"there is no daily bar of {LAST} yet"):
            assert list(queries.get_universe(LAST, top=5)) == []
        with pytest.warns(
            IncompleteDayWarning, match=f"of {DAYS[-3]} and 2 more days yet, so no contract can be"
        ):
            assert list(queries.universe_history(DAYS[-3], LAST, top=5)) == []
        assert list(queries.get_rankings(LAST)) == []
        assert queries.get_market_summary(LAST)[0]["bars"] == 0


def test_a_day_on_which_all_bars_are_idle_is_no_day_without_bars(place: Place, tmp_path: Path) -> None:
    with (
        connect(tmp_path / "working" / "availability.duckdb") as connection,
        AvailabilityQueries(place.path) as whole,
    ):
        fill(connection)
        idle = whole._connection.arrow(
            "SELECT * REPLACE (0 AS trades) FROM published.daily_volume WHERE date = ?", [LAST]
        )
        connection.execute("UPDATE symbols SET contract_type = 'TRADIFI_PERPETUAL'")
        write_volume(connection, READ.empty_table(), idle.cast(BARS))
        publish(connection, tmp_path / "availability.duckdb", "run")
    with AvailabilityQueries(tmp_path / "availability.duckdb") as queries, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(queries.get_universe(LAST, top=5)) == []
        assert list(queries.universe_history(LAST, LAST, top=5)) == []


def test_a_contract_leaves_the_universe_on_its_first_day_without_a_trade(
    queries: AvailabilityQueries,
) -> None:
    for day in DAYS[::7]:
        traded = [
            symbol for symbol in SYMBOLS if FILES[day, symbol] and BARS_OF.get((day, symbol), (0, 1))[1] > 0
        ]
        assert [row["symbol"] for row in queries.get_universe(day)] == sorted(traded)
        listed = {row["symbol"] for row in queries.get_universe(day, include_flat=True)}
        assert listed == {symbol for symbol in SYMBOLS if FILES[day, symbol]}

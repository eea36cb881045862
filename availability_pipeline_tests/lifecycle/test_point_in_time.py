"""Nothing is said of a day that depends on later ones than it claims: tables cut at a day say what whole ones say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.queries.listings import UniverseRules, histories_of, member
from availability_pipeline.queries.universe import _CONTRACTS, _SPANS
from availability_pipeline_tests.lifecycle.lives import collect, database, day

pytestmark = pytest.mark.no_cover
"""What runs here is covered by other tests of the rules."""

GAP = 4
LENGTH = 40

SEGMENT = st.tuples(st.sampled_from("LLLwqsssb..?"), st.integers(1, 9))
LIFE = st.lists(SEGMENT, min_size=1, max_size=9).map(
    lambda segments: "".join(letter * length for letter, length in segments)[:LENGTH]
)
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT")
# With bars, and with some that are missing; stretches as long as the longest holiday of a stock.
SEGMENT_WITH_BARS = st.tuples(st.sampled_from("TTTiiiiIrLssq.n?"), st.integers(1, 9) | st.integers(7, 17))
LIFE_WITH_BARS = st.lists(SEGMENT_WITH_BARS, min_size=1, max_size=9).map(
    lambda segments: "".join(letter * length for letter, length in segments)[:LENGTH]
)
LIVES = st.fixed_dictionaries(dict.fromkeys(SYMBOLS, LIFE)) | st.fixed_dictionaries(
    dict.fromkeys(SYMBOLS, LIFE_WITH_BARS)
)
STOCKS = st.sets(st.sampled_from(["BUSDT", "CUSDT", "DUSDT"]))
LISTINGS = st.dictionaries(
    st.sampled_from(["AUSDT", "BUSDT"]),
    st.tuples(st.integers(0, LENGTH + 9), st.none() | st.integers(0, LENGTH)),
)

# The days of the whole table up to the cut whose verdict it claims to have been known then, and that of the cut table.
_VERDICTS = """
SELECT
    held.symbol, held.date, (whole.status, whole.evidence, whole.episode),
    (cut.status, cut.evidence, cut.episode), greatest(cut.known_from, held.date) <= $cut
FROM daily_availability AS held
JOIN whole_spans AS whole ON whole.symbol = held.symbol AND held.date BETWEEN whole.first_day AND whole.last_day
JOIN status_spans AS cut ON cut.symbol = held.symbol AND held.date BETWEEN cut.first_day AND cut.last_day
WHERE greatest(whole.known_from, held.date) <= $cut AND whole.status <> 'pending'
"""

_ENDS = """
SELECT
    symbol, episode, (whole.first_day, whole.last_trading_day, whole.is_open, whole.known_from),
    (cut.first_day, cut.last_trading_day, cut.is_open, cut.known_from)
FROM whole_lives AS whole LEFT JOIN symbol_lifecycle AS cut USING (symbol, episode) WHERE whole.known_from <= $cut
"""

_REASONS = """
SELECT if(whole.next_day <= $cut OR whole.end_reason <> 'relisted', whole.end_reason, NULL), cut.end_reason
FROM (
    SELECT *, lead(first_day) OVER (PARTITION BY symbol ORDER BY episode) AS next_day FROM whole_lives
) AS whole
JOIN symbol_lifecycle AS cut USING (symbol, episode) WHERE whole.known_from <= $cut
"""


def whole_table(
    lives: dict[str, str], listings: dict[str, Any], stocks: Collection[str] = ()
) -> duckdb.DuckDBPyConnection:
    connection = database()
    collect(connection, lives)
    connection.execute(
        "UPDATE symbols SET contract_type = 'TRADIFI_PERPETUAL' WHERE list_contains(?, symbol)",
        [sorted(stocks)],
    )
    for symbol, (seen, onboard) in listings.items():
        connection.execute(
            "UPDATE symbols SET status = 'TRADING', seen_at = ?, onboard_date = ? WHERE symbol = ?",
            [day(seen), None if onboard is None else day(onboard), symbol],
        )
    derive(connection, Rules(GAP, day(LENGTH + 9)))
    connection.execute("""
        CREATE TABLE whole_spans AS FROM status_spans;
        CREATE TABLE whole_lives AS FROM symbol_lifecycle;
    """)
    return connection


def cut_at(connection: duckdb.DuckDBPyConnection, cut: dt.date) -> None:
    """Derive what could be derived when the files and bars of a day are there, and none of the next one."""
    connection.execute("DELETE FROM availability WHERE date > ?", [cut])
    connection.execute("DELETE FROM daily_volume WHERE date > ?", [cut])
    derive(connection, Rules(GAP, cut + dt.timedelta(days=1)))


@settings(max_examples=8, deadline=None)
@example(
    # The exchange lists a contract within an absence that becomes too long.
    lives={"AUSDT": "L.....L", "BUSDT": "LLLLLLLL"},
    listings={"AUSDT": (2, None)},
    stocks=set(),
    cuts={3, 4, 6},
)
@example(
    # The first day after the last file that was collected comes late.
    lives={"AUSDT": "LLLL????.", "BUSDT": "LLLLL"}, listings={}, stocks=set(), cuts={7, 8},
)  # fmt: skip
@example(
    # Two have their last file on the same day, and of one the next days were collected later.
    lives={
        "AUSDT": "L" * 9,
        "BUSDT": "LL??????LLLLLLLL???????....LLLLLLLLL",
        "CUSDT": "L" * 15 + "?" + "L" * 24,
        "DUSDT": "L" * 16 + "." * 7,
        "EUSDT": "L" * 6,
    },
    listings={},
    stocks=set(),
    cuts={3, 4, 22},
)
@example(
    # Halts, an end and a holiday, by bars of which some are missing.
    lives={
        "AUSDT": "TTTiiiiiiiTTTiiiiiiiiTT",
        "BUSDT": "TTTTT" + "i" * 10 + "TT" + "i" * 16 + "TT",
        "CUSDT": "TTTsiiiiTTTsssssiiiTT",
        "DUSDT": "qqqsssss" + "i" * 12 + "qq",
        "EUSDT": "TTii.sii..iiiiTT" + "I" * 9,
    },
    listings={},
    stocks={"BUSDT"},
    cuts=set(range(3, LENGTH, 2)),
)
@given(
    lives=LIVES,
    listings=st.just({}) | LISTINGS,
    stocks=st.just(set()) | STOCKS,
    cuts=st.sets(st.integers(3, LENGTH), min_size=3, max_size=3),
)
def test_a_cut_table_says_what_the_whole_one_claims_to_have_been_known(
    lives: dict[str, str], listings: dict[str, Any], stocks: set[str], cuts: set[int]
) -> None:
    connection = whole_table(lives, listings, stocks)
    for number in sorted(cuts, reverse=True):
        values = {"cut": day(number)}
        cut_at(connection, day(number))
        for symbol, date, whole, cut, known in connection.execute(_VERDICTS, values).fetchall():
            assert (symbol, date, cut) == (symbol, date, whole)
            assert known, (symbol, date)
        for symbol, episode, whole, cut in connection.execute(_ENDS, values).fetchall():
            assert (symbol, episode, cut) == (symbol, episode, whole)
        for whole, cut in connection.execute(_REASONS, values).fetchall():
            assert cut == whole or (whole is None and cut in ("settled", "purged"))


@settings(max_examples=6, deadline=None)
@given(lives=LIVES)
def test_every_row_has_one_status_and_every_file_one_episode(lives: dict[str, str]) -> None:
    connection = whole_table(lives, {})
    found = connection.execute("""
        SELECT held.symbol, held.date, available, list(status), list(lives.episode)
        FROM daily_availability AS held
        LEFT JOIN status_spans AS spans
            ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
        LEFT JOIN symbol_lifecycle AS lives
            ON lives.symbol = held.symbol AND held.date BETWEEN lives.first_day AND lives.last_day
        GROUP BY ALL
    """).fetchall()
    assert len(found) == sum(len(life) - life.count("?") for life in lives.values())
    for _, _, available, statuses, episodes in found:
        assert len(statuses) == 1
        assert (statuses[0] in ("published", "flat")) == available
        assert not available or (len(episodes) == 1 and episodes[0] is not None)


Universe = list[tuple[str, str, dt.date | None]]


def universe_of(connection: duckdb.DuckDBPyConnection, date: dt.date, rules: UniverseRules) -> Universe:
    """Who is in the universe of a day, by the tables as they are."""
    spans, contracts = (
        connection.execute(query.replace("published.", "")).fetchall() for query in (_SPANS, _CONTRACTS)
    )
    lives = histories_of(spans, {symbol: (kind, successor) for symbol, kind, successor in contracts})
    found = [one for life in lives if (one := member(life, date, rules))]
    return [(one.history.symbol, one.status, one.listed_on) for one in found if one.reason is None]


UNIVERSE_RULES = st.builds(
    UniverseRules,
    min_age_days=st.integers(0, 6),
    days_in_window=st.none() | st.just((3, 6)),
    include_flat=st.booleans(),
)


COLLECTED = LIVES.map(lambda lives: {symbol: life.replace("?", ".") for symbol, life in lives.items()})


@settings(max_examples=8, deadline=None)
@given(
    lives=COLLECTED,
    listings=st.just({}) | LISTINGS,
    stocks=st.just(set()) | STOCKS,
    cuts=st.sets(st.integers(3, LENGTH - 1), min_size=3, max_size=3),
    rules=UNIVERSE_RULES,
)
def test_the_universe_of_a_day_is_that_of_a_table_which_ends_with_it(
    lives: dict[str, str],
    listings: dict[str, Any],
    stocks: set[str],
    cuts: set[int],
    rules: UniverseRules,
) -> None:
    connection = whole_table(lives, listings, stocks)
    whole = {number: universe_of(connection, day(number), rules) for number in cuts}
    for number in sorted(cuts, reverse=True):
        cut_at(connection, day(number))
        assert universe_of(connection, day(number), rules) == whole[number]

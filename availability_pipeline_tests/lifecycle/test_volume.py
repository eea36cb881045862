"""What bars decide: which files are flat at once, and whether days without a trade are a halt, a holiday or an end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import pytest

from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, SizeRules
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import IDLE_FILES, TRADIFI_IDLE_FILES, Rules
from availability_pipeline_tests.lifecycle.lives import (
    day,
    derived,
    episodes,
    status_of,
    statuses,
    write_bars,
)

CASES = {
    # With bars: T traded, r rarely traded in a small file, i idle, I idle in a large file, n a bar without a file.
    # Without: L live, s and b small, q quiet. Statuses: v flat by volume, f flat by size, u undecided.
    "one day without a trade": ("TTTi", "pppv"),
    "dead for longer than a halt": ("TTTiiiiiiiii", "pppvvvvvvvvv"),
    "a halt": ("TTTiiiTT", "pppvvvpp"),
    "a large file, and no trade in it": ("TTTITT", "pppvpp"),
    "large files without a trade": ("TTTIIIIIIIIII", "pppvvvvvvvvvv"),
    "small files, and trades in them": ("TTTrrrrrrrrrr", "p" * 13),
    "a quiet contract that ends": ("qqqqqiiiiiiiii", "pppppvvvvvvvvv"),
    "no trade on the first day": ("iTTT", "vppp"),
    "no trade ever": ("iiiii", "vvvvv"),
    "days without a file": ("TTTi.ii..TT", "pppvmvvmmpp"),
    "idle, then a rare trade, then idle": ("TTiiirii", "ppvvvpvv"),
    # A bar is missing or not there yet: sizes decide, and after an idle day a small file is one more of its kind.
    "the newest bar is pending": ("TTTiis", "pppvvv"),
    "bars are missing in a run": ("TTTisssiiiii", "pppvvvvvvvvv"),
    "and a large file among them has no bar": ("TTTiiLii", "pppvvpvv"),
    "the bars of the newest days are pending": ("TTTsss", "pppuuu"),
    "all bars of the run are missing": ("TTTsssss", "pppfffff"),
    "its first bar is missing": ("TTTsii", "pppuvv"),
    "its first bar is missing, and it was a halt": ("TTTsiiTT", "ppppvvpp"),
    "its first bar is missing, and it was an end": ("TTTs" + "i" * 9, "pppuvvvvvvvvv"),
    "its first bars are missing, and sizes tell": ("TTTsssss" + "i" * 4, "pppfffff" + "v" * 4),
    "its first bars are missing, and sizes do not tell": ("qqqsssss" + "i" * 4, "pppuuuuu" + "v" * 4),
    "a quiet contract whose first bars are missing": ("qqqsssss" + "iiTT", "pppuuuuu" + "vvpp"),
    # A bar alone is no file.
    "a bar without a file": ("TTTnTT", "pppmpp"),
    "bars without files": ("TTTnnnnnnnnn", "pppeeeeeeeee"),
}


@pytest.fixture(scope="module")
def all_cases() -> duckdb.DuckDBPyConnection:
    """Every case as a contract of its own."""
    return derived({case: life for case, (life, _) in CASES.items()}, gap=3)


@pytest.mark.parametrize("case", CASES)
def test_a_day_without_a_trade_is_flat_on_the_day_itself(
    all_cases: duckdb.DuckDBPyConnection, case: str
) -> None:
    assert statuses(all_cases, case) == CASES[case][1]


def test_a_day_without_a_trade_is_known_on_the_day_itself(all_cases: duckdb.DuckDBPyConnection) -> None:
    late = "SELECT count(*) FROM status_spans WHERE evidence = 'volume' AND known_from > first_day"
    assert all_cases.execute(late).fetchall() == [(0,)]


def life_of(life: str, **options: Any) -> list[tuple[Any, ...]]:
    """The episodes of a life: first and last day, last one of trading, reason of the end, known from, flat days."""
    found = episodes(derived({"AUSDT": life}, **options), "AUSDT")
    facts = ("first_day", "last_day", "last_trading_day", "end_reason", "known_from", "flat_days")
    return [tuple(episode[fact] for fact in facts) for episode in found]


@pytest.mark.parametrize("length", range(1, IDLE_FILES))
def test_a_halt_is_no_relisting(length: int) -> None:
    life = "TTT" + "i" * length + "TT"
    assert status_of(life) == "ppp" + "v" * length + "pp"
    assert life_of(life) == [(0, length + 4, length + 4, None, None, length)]
    assert life_of("TTT" + "i" * length) == [(0, length + 2, 2, None, None, length)]


@pytest.mark.parametrize("length", [IDLE_FILES, IDLE_FILES + 1, 19, 82])
def test_a_longer_stretch_is_an_end_and_trade_after_it_a_relisting(length: int) -> None:
    dead = "TTT" + "i" * length
    known = 2 + IDLE_FILES
    assert life_of(dead) == [(0, length + 2, 2, "settled", known, length)]
    assert life_of(dead + "TT") == [
        (0, length + 2, 2, "relisted", known, length),
        (length + 3, length + 4, length + 4, None, None, 0),
    ]


@pytest.mark.parametrize(
    ("life", "where_names_come_back", "elsewhere"),
    [
        ("TTT......TTT", "pppeeeeeeppp", "pppmmmmmmppp"),
        (
            "TTT" + "i" * IDLE_FILES + "..TT",
            "ppp" + "v" * IDLE_FILES + "eepp",
            "ppp" + "v" * IDLE_FILES + "mmpp",
        ),
    ],
    ids=["long absence", "absence after an end of trade"],
)
def test_an_absence_is_between_two_listings_only_where_names_come_back(
    life: str, where_names_come_back: str, elsewhere: str
) -> None:
    assert status_of(life, gap=3) == where_names_come_back
    assert status_of(life, gap=3, dataset=DATASETS["spot/klines/1m"]) == elsewhere


def test_a_gap_counts_the_same_in_a_halt() -> None:
    connection = derived({"AUSDT": "TTi.iTT.T"})
    assert statuses(connection, "AUSDT") == "ppvmvppmp"
    assert [episode["gaps"] for episode in episodes(connection, "AUSDT")] == [2]


def test_an_end_after_a_halt_is_dated_by_the_last_trade() -> None:
    [episode] = episodes(derived({"AUSDT": "TTTiii......", "BUSDT": "T" * 12}), "AUSDT")
    assert (episode["last_trading_day"], episode["end_reason"], episode["known_from"]) == (2, "purged", 9)


def test_a_few_missing_bars_do_not_make_a_halt_an_end() -> None:
    assert life_of("TTTs" + "i" * 5 + "TT") == [(0, 10, 10, None, None, 5)]
    assert life_of("TTTi" + "s" * 5 + "TT") == [(0, 10, 10, None, None, 6)]


def test_bars_date_an_end_that_sizes_cannot_tell() -> None:
    assert life_of("qqqsssss" + "i" * IDLE_FILES) == [(0, 15, 7, "settled", 15, IDLE_FILES)]
    assert life_of("qqqqq" + "s" * 20) == [(0, 24, 24, None, None, 0)]


RESTS = {
    "a weekend": ("TTTTTiiTT", "p" * 9),
    "four days": ("TTTTTiiiiTT", "p" * 11),
    "ten days": ("TTTTT" + "i" * 10 + "TT", "p" * 17),
    "as long as may be": ("TTTTT" + "i" * (TRADIFI_IDLE_FILES - 1) + "T", "p" * (TRADIFI_IDLE_FILES + 5)),
    "it rests now": ("TTTTTiii", "pppppuuu"),
    "an end": ("TTTTT" + "i" * TRADIFI_IDLE_FILES, "ppppp" + "v" * TRADIFI_IDLE_FILES),
    "a weekend with a missing bar": ("TTTTTsiTT", "p" * 9),
    "an end with missing bars": ("TTTTTss" + "i" * TRADIFI_IDLE_FILES, "pppppuu" + "v" * TRADIFI_IDLE_FILES),
}


@pytest.fixture(scope="module")
def stocks() -> duckdb.DuckDBPyConnection:
    return derived({case: life for case, (life, _) in RESTS.items()}, tradifi=True)


@pytest.mark.parametrize("case", RESTS)
def test_a_stock_stays_listed_while_its_exchange_is_closed(
    stocks: duckdb.DuckDBPyConnection, case: str
) -> None:
    assert statuses(stocks, case) == RESTS[case][1]
    [episode] = episodes(stocks, case)
    assert episode["is_open"] == ("v" not in RESTS[case][1])


def test_the_end_of_a_stock_is_known_after_the_longest_holiday() -> None:
    life = "TTTTT" + "i" * (TRADIFI_IDLE_FILES + 3)
    connection = derived({"AUSDT": life}, tradifi=True)
    assert life_of(life, tradifi=True) == [
        (0, len(life) - 1, 4, "settled", 4 + TRADIFI_IDLE_FILES, TRADIFI_IDLE_FILES + 3)
    ]
    known = "SELECT known_from FROM status_spans WHERE status = 'flat'"
    assert connection.execute(known).fetchall() == [(day(4 + TRADIFI_IDLE_FILES),)]


def test_bars_that_come_later_change_what_follows_from_sizes() -> None:
    connection, rules = derived({"AUSDT": "LLLLLssssssL"}), Rules(today=day(30))
    assert statuses(connection, "AUSDT") == "pppppffffffp"
    assert [episode["end_reason"] for episode in episodes(connection, "AUSDT")] == ["relisted", None]
    write_bars(connection, {("AUSDT", day(number)): 0 if 5 <= number < 11 else 900 for number in range(12)})
    derive(connection, rules)
    assert statuses(connection, "AUSDT") == "pppppvvvvvvp"
    assert [episode["end_reason"] for episode in episodes(connection, "AUSDT")] == [None]


@pytest.mark.parametrize("sizes", [None, DEFAULT_DATASET.sizes], ids=["none", "the default dataset's"])
def test_bars_decide_whether_sizes_say_something_or_not(sizes: SizeRules | None) -> None:
    connection = derived({"AUSDT": "TTT" + "i" * 9, "BUSDT": "LLL" + "s" * 9})
    derive(connection, Rules(today=day(30), dataset=replace(DEFAULT_DATASET, sizes=sizes)))
    assert statuses(connection, "AUSDT") == "ppp" + "v" * 9
    assert statuses(connection, "BUSDT") == "ppp" + ("f" if sizes else "p") * 9


def test_a_database_without_bars_is_derived_as_before() -> None:
    """Bars of one contract say nothing of another."""
    lives = {"AUSDT": "LLLLLsssss", "BUSDT": "qqqssLL", "CUSDT": "LLss"}
    alone, beside = derived(lives), derived({**lives, "DUSDT": "TTTiiiiiiiiT"}, age=8)
    for symbol in lives:
        assert statuses(alone, symbol) == statuses(beside, symbol)
        assert episodes(alone, symbol) == episodes(beside, symbol)

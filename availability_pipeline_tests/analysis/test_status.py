"""The status of single days: lives of a few letters whose answers anybody can check by hand."""

from __future__ import annotations

import duckdb
import pytest

from availability_pipeline.analysis import Rules, derive
from availability_pipeline_tests.analysis.lives import SIZES, day, derived, status_of, statuses

FLAT = {
    # what it is: the life, its statuses; L live, s without a trade, b small, q and w quiet, . no file
    "five small files": ("LLLLLsssss", "pppppfffff"),
    "four small files, and no more yet": ("LLLLLssss", "pppppuuuu"),
    "one small day": ("LLsLL", "ppppp"),
    "a quiet long weekend": ("LLssssLL", "pppppppp"),
    "a small first day": ("sLLLL", "ppppp"),
    "a small first day, and no more yet": ("s", "u"),
    "days without a file do not end a run": ("LLLss.ss.s", "pppffmffmf"),
    "a gap that is too long does": ("LLsss....sss", "ppuuueeeeuuu"),
    "flat before and after a long gap": ("LLsssss....sssss", "ppfffffeeeefffff"),
    "nothing but flat files": ("ssssssss", "ffffffff"),
    "nothing but small files that may have trades": ("bbbbbbbb", "uuuuuuuu"),
    "no live day before, one of five too large": ("ssbssss", "uuuuuuu"),
    "live, then small files that may have trades": ("LLLbbbbbb", "pppffffff"),
    "a quiet contract that becomes a little quieter": ("qqqqqbbbbbb", "pppppuuuuuu"),
    "a quiet contract that ends": ("qqqqqssssss", "pppppuuuuuu"),
    "a weak contract that ends": ("wwwwwssssss", "pppppffffff"),
    "a quiet contract that trades again": ("qqqqbbbbbbqq", "ppppuuuuuupp"),
    "the last thirty live days count": ("L" * 40 + "q" * 30 + "sssss", "p" * 70 + "uuuuu"),
    "and no small ones": ("L" * 30 + "ssL" * 3 + "sssss", "p" * 39 + "fffff"),
}


@pytest.mark.parametrize("case", FLAT)
def test_flat_is_a_run_of_small_files_far_below_the_contracts_own_level(
    all_cases: duckdb.DuckDBPyConnection, case: str
) -> None:
    assert statuses(all_cases, case) == FLAT[case][1]


ABSENT = {
    "before the first file": ("...LL", "---pp"),
    "no file at all": (".....", "-----"),
    "a hole": ("LL..LL", "ppmmpp"),
    "a hole as long as may be": ("LL...LL", "ppmmmpp"),
    "a longer one": ("LL....LL", "ppeeeepp"),
    "the end": ("LLL......", "pppeeeeee"),
    "a hole in a flat tail": ("LLsssss.s", "ppfffffmf"),
    "flat, then live again": ("LLsssssLL", "ppfffffpp"),
    "flat, then nothing, then live again": ("LLsssss..LL", "ppfffffeepp"),
    "flat, then live again for one day": ("LLsssssLsssss", "ppfffffpfffff"),
    "small for a while, then nothing, then live": ("LLss..LL", "ppppmmpp"),
    "days that nobody collected say nothing": ("LL?????LL", "pppp"),
    "nor do they lengthen a gap": ("LL.????.LL", "ppmmpp"),
}


@pytest.fixture(scope="module")
def all_cases() -> duckdb.DuckDBPyConnection:
    """Every case as a contract of its own."""
    return derived({case: life for case, (life, _) in (FLAT | ABSENT).items()}, gap=3)


@pytest.mark.parametrize("case", ABSENT)
def test_a_day_without_a_file_is_a_hole_or_an_end(all_cases: duckdb.DuckDBPyConnection, case: str) -> None:
    assert statuses(all_cases, case) == ABSENT[case][1]


def test_an_absence_is_a_hole_for_a_month_by_default() -> None:
    assert status_of("LL" + "." * 30 + "LL") == "pp" + "m" * 30 + "pp"
    assert status_of("LL" + "." * 31 + "LL") == "pp" + "e" * 31 + "pp"


@pytest.mark.parametrize(("small", "expected"), [(13, "p" * 13), (14, "f" * 14)])
def test_stocks_have_long_holidays(small: int, expected: str) -> None:
    assert status_of("LLLLL" + "s" * small + "LL", tradifi=True) == "ppppp" + expected + "pp"
    assert status_of("LLLLL" + "s" * 13, tradifi=True) == "ppppp" + "u" * 13


@pytest.mark.parametrize(("age", "expected"), [(1, "ppppww"), (2, "ppppww"), (3, "ppppee")])
def test_a_contract_without_its_last_files_is_late_and_then_has_ended(age: int, expected: str) -> None:
    market = {f"M{number}USDT": "LLLLLL" for number in range(20)}
    assert statuses(derived({"AUSDT": "LLLL..", **market}, age=age), "AUSDT") == expected


@pytest.mark.parametrize(("age", "expected"), [(3, "pppw"), (4, "pppm")])
def test_the_whole_market_is_late_and_then_misses_its_files(age: int, expected: str) -> None:
    connection = derived(dict.fromkeys(["AUSDT", "BUSDT", "CUSDT"], "LLL."), age=age)
    assert statuses(connection, "BUSDT") == expected


def test_a_young_hole_is_pending() -> None:
    assert status_of("LLLL.L", age=1) == "ppppwp"
    assert status_of("LLLL.L", age=3) == "ppppmp"


def test_files_that_come_late_or_are_replaced_change_what_follows_from_them() -> None:
    connection = derived({"AUSDT": "LLL.LLsssss"})
    assert statuses(connection, "AUSDT") == "pppmppfffff"
    change = "UPDATE daily_availability SET available = true, file_size_bytes = ? WHERE date = ?"
    connection.execute(change, [SIZES["L"], day(3)])
    derive(connection, Rules(today=day(20)))
    assert statuses(connection, "AUSDT") == "ppppppfffff"
    connection.execute(change, [SIZES["L"], day(7)])
    derive(connection, Rules(today=day(20)))
    assert statuses(connection, "AUSDT") == "ppppppppuuu"


LISTED = "UPDATE symbols SET status = 'TRADING', seen_at = ?, onboard_date = ? WHERE symbol = 'AUSDT'"


@pytest.mark.parametrize(
    ("seen", "onboard", "expected"),
    [(9, None, "ppmmmmmm"), (5, None, "ppmmmeee"), (9, 4, "ppeemmmm"), (99, None, "ppeeeeee")],
    ids=["still", "until it was no longer seen", "listed anew", "what it says after today does not count"],
)
def test_a_contract_that_the_exchange_lists_has_not_ended(
    seen: int, onboard: int | None, expected: str
) -> None:
    connection = derived({"AUSDT": "LL......"})
    connection.execute(LISTED, [day(seen), None if onboard is None else day(onboard)])
    derive(connection, Rules(today=day(20)))
    assert statuses(connection, "AUSDT") == expected

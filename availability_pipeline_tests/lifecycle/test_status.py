"""The status of single days: lives of a few letters whose answers anybody can check by hand."""

from __future__ import annotations

import io
import zipfile

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline_tests.lifecycle.lives import NO_FILE, SIZES, day, derived, status_of, statuses

GAP = 6

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
    "nothing but files of parts of days": ("tttttttt", "pppppppp"),
    "live, then parts of days": ("LLLtttttt", "ppppppppp"),
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
    "a gap": ("LL..LL", "ppmmpp"),
    "a gap as long as may be": ("LL...LL", "ppmmmpp"),
    "a longer one": ("LL....LL", "ppeeeepp"),
    "the end": ("LLL......", "pppeeeeee"),
    "a gap in a flat tail": ("LLsssss.s", "ppfffffmf"),
    "flat, then live again": ("LLsssssLL", "ppfffffpp"),
    "flat, then nothing, then live again": ("LLsssss..LL", "ppfffffeepp"),
    "flat, then live again for one day": ("LLsssssLsssss", "ppfffffpfffff"),
    "small for a while, then nothing, then live": ("LLss..LL", "ppppmmpp"),
    "days that nobody collected say nothing": ("LL?????LL", "pppp"),
    "nor do they lengthen a gap": ("LL.????.LL", "ppmmpp"),
}


ROWLESS = {
    # z: a file that is smaller than any zip of one row
    "nothing but files without a row": ("zzzz", "zzzz"),
    "before the first file": ("z.zzLL", "z-zzpp"),
    "and before a flat one": ("zsssss", "zfffff"),
    "inside a life": ("LLzLL", "ppzpp"),
    "instead of the files around it": ("LL.z.LL", "ppmzmpp"),
    "one more makes a gap too long": ("LL.zz.LL", "ppezzepp"),
    "they prolong nothing": ("LLLzzzzzz", "pppzzzzzz"),
    "nor do they begin anything": ("LLL....z..", "pppeeeezee"),
    "they are none of a flat run": ("LLsszsss", "ppffzfff"),
    "and make none": ("LLsszz", "ppuuzz"),
    "after a flat run": ("LLssssszL", "ppfffffzp"),
}


@pytest.fixture(scope="module")
def all_cases() -> duckdb.DuckDBPyConnection:
    """Every case as a contract of its own."""
    return derived(
        {case: life for case, (life, _) in (FLAT | ABSENT).items()}
        | {f"rowless, {case}": life for case, (life, _) in ROWLESS.items()},
        gap=3,
    )


@pytest.mark.parametrize("case", ABSENT)
def test_a_day_without_a_file_is_a_gap_or_an_end(all_cases: duckdb.DuckDBPyConnection, case: str) -> None:
    assert statuses(all_cases, case) == ABSENT[case][1]


@pytest.mark.parametrize("case", ROWLESS)
def test_a_file_without_a_row_says_so_and_nothing_else(
    all_cases: duckdb.DuckDBPyConnection, case: str
) -> None:
    assert statuses(all_cases, f"rowless, {case}") == ROWLESS[case][1]


@pytest.mark.parametrize("symbol", ["TUSDT", "BTCUSDT", "龙虾USDT", "1000000MOGUSDT"])
def test_no_zip_of_a_row_is_smaller_than_the_bound(symbol: str) -> None:
    """The smallest row that there can be, deflated as well as possible, against a zip of nothing."""
    smallest = len(zipped(symbol, "1599000000000,1,1,1,1,1,1599000059999,1,1,1,1,1"))
    life = [smallest, smallest - 1, len(zipped(symbol, "")), 22, 1, 0]
    assert statuses(derived({symbol: life}), symbol) == "pzzzzz"


def zipped(symbol: str, rows: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(f"{symbol}-1m-2020-09-01.csv", rows)
    return buffer.getvalue()


def test_an_absence_is_a_gap_for_a_month_by_default() -> None:
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


def test_an_outage_that_is_longer_than_a_gap_may_be_is_an_end() -> None:
    names = ["AUSDT", "BUSDT", "CUSDT"]
    assert statuses(derived(dict.fromkeys(names, "LL..."), gap=3), "BUSDT") == "ppmmm"
    assert statuses(derived(dict.fromkeys(names, "LL...."), gap=3), "BUSDT") == "ppeeee"


def test_a_young_gap_is_pending() -> None:
    assert status_of("LLLL.L", age=1) == "ppppwp"
    assert status_of("LLLL.L", age=3) == "ppppmp"


def test_files_that_come_late_or_are_replaced_change_what_follows_from_them() -> None:
    connection = derived({"AUSDT": "LLL.LLsssss"})
    assert statuses(connection, "AUSDT") == "pppmppfffff"
    change = "UPDATE availability SET available = true, file_size_bytes = ? WHERE date = ?"
    connection.execute(change, [SIZES["L"], day(3)])
    derive(connection, Rules(today=day(20)))
    assert statuses(connection, "AUSDT") == "ppppppfffff"
    connection.execute(change, [SIZES["L"], day(7)])
    derive(connection, Rules(today=day(20)))
    assert statuses(connection, "AUSDT") == "ppppppppuuu"


live, flat, gap, purge = (
    st.integers(least, most) for least, most in ((1, 12), (5, 12), (1, GAP), (GAP + 1, GAP + 9))
)
pause = st.integers(1, 4)


@st.composite
def lives_with_truth(draw: st.DrawFn) -> tuple[list[int | None], str]:
    """A life as bytes per day, and what each day of it is because it was made to be so."""
    parts = [(NO_FILE, "-", draw(st.integers(0, 5)))]
    for number in range(draw(st.integers(1, 3))):
        if number:  # after the end of an episode
            flat_end = parts[-1][1] == "f"
            parts.append((NO_FILE, "e", draw(st.integers(0, GAP) if flat_end else purge)))
        for _ in range(draw(st.integers(0, 2))):  # each time trading goes on afterwards
            parts += [("L", "p", draw(live)), *draw(interruptions())]
        parts.append(("L", "p", draw(live)))
        if draw(st.booleans()):
            parts.append(("s", "f", draw(flat)))
    if draw(st.booleans()):
        parts.append((NO_FILE, "e", draw(purge)))
    sizes = {"L": st.integers(25_000, 68_000), "s": st.integers(7_400, 8_900), NO_FILE: st.none()}
    life = [draw(sizes[letter]) for letter, _, length in parts for _ in range(length)]
    return life, "".join(truth * length for _, truth, length in parts)


def interruptions() -> st.SearchStrategy[list[tuple[str, str, int]]]:
    """What is not an end: a delay that became a gap, some small days, or both."""
    late = st.tuples(st.just(NO_FILE), st.just("m"), gap)
    small = st.tuples(st.just("s"), st.just("p"), pause)
    return st.lists(late, max_size=1).flatmap(
        lambda first: st.lists(small, max_size=1).map(lambda then: first + then)
    )


@settings(max_examples=10, deadline=None)
@given(lives=st.lists(lives_with_truth(), min_size=1, max_size=8))
def test_lives_are_recognised_for_what_they_were_made_to_be(
    lives: list[tuple[list[int | None], str]],
) -> None:
    connection = derived({f"A{number}": life for number, (life, _) in enumerate(lives)}, gap=GAP)
    for number, (_, truth) in enumerate(lives):
        assert statuses(connection, f"A{number}") == truth


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

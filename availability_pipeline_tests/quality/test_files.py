"""Completeness and gaps: pending, missing and nothing at all are told apart, and an end is not a gap."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import UsageError
from availability_pipeline.quality.check import Finding, Severity
from availability_pipeline.quality.files import completeness, gaps, known_gaps
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.quality.table import (
    TODAY,
    Lives,
    day,
    scope_of,
    settings_of,
    span,
    table,
    write,
)

FULL = span("02-01", "02-29")
OTHERS = {f"A{number}USDT": FULL for number in range(30)}


def complete(folder: Path, lives: Lives, *, start: str = "02-01", today: dt.date = TODAY) -> Finding:
    """Completeness of a table of February."""
    with table(folder, {**OTHERS, **lives}, FULL) as connection:
        return completeness(
            connection, scope_of(folder, days=DayRange(day(start), day("02-29")), today=today)
        )


def found_gaps(folder: Path, lives: Lives, today: dt.date = TODAY) -> Finding:
    with table(folder, {**OTHERS, **lives}, FULL) as connection:
        return gaps(connection, scope_of(folder, today=today))


def test_checks_of_one_scope_look_for_absences_once(tmp_path: Path) -> None:
    with table(tmp_path, {**OTHERS, "BTCUSDT": span("02-01", "02-29", "02-10")}, FULL) as connection:
        scope, another = scope_of(tmp_path), scope_of(tmp_path)
        assert completeness(connection, scope).numbers["missing"] == 1
        write(connection, {"BTCUSDT": FULL}, FULL, "run-2")
        assert gaps(connection, scope).numbers["gaps"] == 1
        assert gaps(connection, another).numbers["gaps"] == 0


def counts(finding: Finding) -> tuple[float, ...]:
    return tuple(finding.numbers[name] for name in ("pending", "missing", "empty_days"))


def test_days_with_all_files_are_complete(tmp_path: Path) -> None:
    finding = complete(tmp_path, {"BTCUSDT": FULL})
    assert finding.passed
    assert finding.numbers["expected"] == finding.numbers["files"] == 31 * 29
    assert finding.numbers["coverage"] == 1.0


@pytest.mark.parametrize(("age", "state"), [(1, "pending"), (2, "pending"), (3, "pending"), (4, "missing")])
def test_a_file_of_the_last_day_is_pending_for_three_days_and_then_missing(
    tmp_path: Path, age: int, state: str
) -> None:
    # Two contracts: more than one that stops at once, and more than 5 % of the market, is no delisting.
    late = {"BTCUSDT": FULL[:-1], "ETHUSDT": FULL[:-1]}
    finding = complete(tmp_path, late, today=day("02-29") + dt.timedelta(days=age))
    assert counts(finding) == ((2, 0, 0) if state == "pending" else (0, 2, 0))
    assert finding.severity is (Severity.WARN if state == "pending" else Severity.ERROR)
    assert not finding.passed
    assert {row["state"] for row in finding.offenders} == {state}
    assert "BTCUSDT" in finding.summary


@pytest.mark.parametrize("age", [1, 4])
def test_a_day_without_any_file_never_passes(tmp_path: Path, age: int) -> None:
    lives = dict.fromkeys(OTHERS, FULL[:-1])
    with table(tmp_path, lives, FULL) as connection:
        scope = scope_of(
            tmp_path, days=DayRange(day("02-29"), day("02-29")), today=day("02-29") + dt.timedelta(days=age)
        )
        finding = completeness(connection, scope)
    assert (finding.passed, finding.numbers["empty_days"]) == (False, 1)
    assert finding.severity is (Severity.WARN if age == 1 else Severity.ERROR)
    assert ("nothing is published yet of" if age == 1 else "nothing was ever published of") in finding.summary
    assert finding.offenders[0]["state"] == "nothing published"
    assert finding.numbers["coverage"] == 0.0


def test_a_table_of_one_day_without_any_file_does_not_pass(tmp_path: Path) -> None:
    with table(tmp_path, {"BTCUSDT": []}, [day("02-01")]) as connection:
        finding = completeness(connection, scope_of(tmp_path))
    assert finding.is_error
    assert finding.numbers["empty_days"] == 1


def test_days_before_the_market_had_files_are_nobodys_fault(tmp_path: Path) -> None:
    with table(
        tmp_path, {"BTCUSDT": []}, DayRange(DEFAULT_DATASET.first_day, dt.date(2019, 12, 30))
    ) as connection:
        assert completeness(connection, scope_of(tmp_path)).passed


def test_days_before_the_first_file_of_a_complete_history_neither(tmp_path: Path) -> None:
    # Contracts in another quote asset began later than the market.
    days = list(DayRange(DEFAULT_DATASET.first_day, dt.date(2020, 3, 1)))
    with table(tmp_path, {"BTCBUSD": days[-20:]}, days) as connection:
        assert completeness(connection, scope_of(tmp_path)).passed
        connection.execute("DELETE FROM availability WHERE date = '2020-01-15'")
        assert completeness(connection, scope_of(tmp_path)).numbers["empty_days"] > 0


def test_an_old_gap_is_missing(tmp_path: Path) -> None:
    finding = complete(tmp_path, {"SOLUSDT": span("02-01", "02-29", "02-10")})
    assert counts(finding) == (0, 1, 0)
    assert finding.is_error
    assert [(row["symbol"], row["date"]) for row in finding.offenders] == [("SOLUSDT", day("02-10"))]
    assert "`backfill --start 2024-02-10 --end 2024-02-10`" in finding.summary
    assert str(tmp_path / "known_gaps.csv") in finding.summary


def test_only_the_window_is_looked_at(tmp_path: Path) -> None:
    assert complete(tmp_path, {"SOLUSDT": span("02-01", "02-29", "02-10")}, start="02-11").passed


def test_a_contract_that_ends_is_not_missing(tmp_path: Path) -> None:
    assert complete(tmp_path, {"LUNAUSDT": span("02-01", "02-13")}).passed


def test_a_contract_that_ended_just_now_may_only_be_late(tmp_path: Path) -> None:
    finding = complete(tmp_path, {"LUNAUSDT": span("02-01", "02-27")})
    assert counts(finding) == (2, 0, 0)
    assert finding.severity is Severity.WARN


def test_a_contract_that_the_exchange_still_trades_has_not_ended(tmp_path: Path) -> None:
    with table(tmp_path, {**OTHERS, "SOLUSDT": span("02-01", "02-20")}, FULL) as connection:
        connection.execute(
            "UPDATE symbols SET status = 'TRADING', seen_at = '2024-02-24 02:00' WHERE symbol = 'SOLUSDT'"
        )
        finding = completeness(connection, scope_of(tmp_path))
    # It was last seen trading on the 24th; what it did afterwards is not known.
    assert counts(finding)[1] == 3
    assert finding.is_error


def test_a_name_that_is_listed_again_is_not_missing_before(tmp_path: Path) -> None:
    with table(tmp_path, {**OTHERS, "LITUSDT": span("02-01", "02-10")}, FULL) as connection:
        connection.execute(
            "UPDATE symbols SET status = 'TRADING', onboard_date = '2024-02-29', seen_at = '2024-03-01' "
            "WHERE symbol = 'LITUSDT'"
        )
        assert counts(completeness(connection, scope_of(tmp_path))) == (1, 0, 0)  # of the day of its listing


def test_a_listing_expects_nothing_of_the_days_before(tmp_path: Path) -> None:
    assert complete(tmp_path, {"NEWUSDT": span("02-15", "02-29")}).passed


def test_half_the_market_late_for_days_is_missing(tmp_path: Path) -> None:
    finding = complete(tmp_path, dict.fromkeys(list(OTHERS)[:15], FULL[:20]))
    assert counts(finding) == (15 * 3, 15 * 6, 0)
    assert finding.numbers["missing_days"] == 6


def test_the_whole_market_late_is_pending_and_missing_at_once(tmp_path: Path) -> None:
    finding = complete(tmp_path, dict.fromkeys(OTHERS, FULL[:20]))
    assert (
        finding.numbers["empty_days"],
        finding.numbers["missing_days"],
        finding.numbers["pending_days"],
    ) == (9, 6, 3)
    assert finding.is_error
    assert "nothing was ever published of 6 days from 2024-02-21 to 2024-02-26" in finding.summary
    assert "nothing is published yet of 2024-02-27, 2024-02-28, 2024-02-29" in finding.summary


def test_an_absence_longer_than_a_month_is_another_listing(tmp_path: Path) -> None:
    days = span("01-01", "02-29")
    with table(tmp_path, {"A1USDT": days, "LITUSDT": [days[0], days[31], days[-1]]}, days) as connection:
        # The last two days of the second absence are still young.
        finding = gaps(connection, scope_of(tmp_path))
    assert [(gap["first_day"], gap["days"]) for gap in finding.offenders] == [
        (day("02-02"), 25),
        (day("01-02"), 30),
    ]
    with table(tmp_path / "other", {"A1USDT": days, "LITUSDT": [days[0], days[32]]}, days) as connection:
        assert gaps(connection, scope_of(tmp_path)).passed


def test_an_uncollected_day_is_no_gap(tmp_path: Path) -> None:
    with table(tmp_path, {"BTCUSDT": FULL}, [each for each in FULL if each != day("02-10")]) as connection:
        assert gaps(connection, scope_of(tmp_path)).passed
        assert completeness(connection, scope_of(tmp_path)).passed


def test_gaps_are_counted_per_contract(tmp_path: Path) -> None:
    finding = found_gaps(
        tmp_path,
        {
            "SOLUSDT": span("02-01", "02-29", "02-10", "02-11", "02-20"),
            "XRPUSDT": span("02-05", "02-29", "02-07"),
        },
    )
    assert (finding.passed, finding.severity) == (False, Severity.WARN)
    assert {key: finding.numbers[key] for key in ("gaps", "new_gaps", "gap_days", "symbols")} == {
        "gaps": 3, "new_gaps": 3, "gap_days": 4, "symbols": 2,
    }  # fmt: skip
    assert [gap["symbol"] for gap in finding.offenders] == ["SOLUSDT", "SOLUSDT", "XRPUSDT"]


def test_a_young_gap_is_still_pending(tmp_path: Path) -> None:
    lives = {"SOLUSDT": span("02-01", "02-29", "02-28")}
    assert found_gaps(tmp_path, lives).passed
    assert found_gaps(tmp_path / "later", lives, today=day("03-03")).numbers["new_gaps"] == 1


def test_known_gaps_are_acknowledged(tmp_path: Path) -> None:
    days = [dt.date(2023, 11, number) for number in range(1, 30)]
    lives = {"A1USDT": days, "NMRUSDT": [each for each in days if each.day != 9]}
    with table(tmp_path, lives, days) as connection:
        finding, whole = gaps(connection, scope_of(tmp_path)), completeness(connection, scope_of(tmp_path))
    assert (finding.passed, finding.numbers["acknowledged_gaps"]) == (True, 1)
    assert (whole.passed, whole.numbers["acknowledged"]) == (True, 1)


def test_users_acknowledge_gaps_in_a_list_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "known_gaps.csv").write_text(
        "symbol,first_day,last_day,reason\nsolusdt,2024-02-10,2024-02-11,asked the exchange\n"
    )
    finding = found_gaps(tmp_path, {"SOLUSDT": span("02-01", "02-29", "02-10", "02-11", "02-20")})
    assert (finding.numbers["new_gaps"], finding.numbers["acknowledged_gaps"]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,day\n", "must begin with the line symbol,first_day,last_day,reason"),
        ("symbol,first_day,last_day,reason\nSOLUSDT,2024-02-10\n", "line 2 must have a symbol"),
        (
            "symbol,first_day,last_day,reason\nSOLUSDT,soon,2024-02-10,x\n",
            "first_day is 'soon', which is not a day",
        ),
        ("symbol,first_day,last_day,reason\nSOLUSDT,2024-02-11,2024-02-10,x\n", "2024-02-11"),
    ],
)
def test_a_list_that_is_not_understood_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "known_gaps.csv").write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        known_gaps(settings_of(tmp_path))
    assert "\n" not in str(raised.value)
    finding = found_gaps(tmp_path, {})
    assert (finding.is_error, finding.summary) == (True, f"could not be evaluated: {raised.value}")


def test_an_empty_table(tmp_path: Path) -> None:
    with connect(settings_of(tmp_path).working_path) as connection:
        assert completeness(connection, scope_of(tmp_path)).is_error
        assert gaps(connection, scope_of(tmp_path)).passed

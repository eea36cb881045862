"""Continuity and row invariants: exact counts, and nothing that is wrong passes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.quality.check import SAMPLE
from availability_pipeline.quality.continuity import continuity, history_continuity, row_invariants
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.quality.table import TODAY, day, scope_of, settings_of, span, table

DAYS = span("02-01", "02-29")
WINDOW = DayRange(DAYS[0], DAYS[-1])
LIVES = {"BTCUSDT": DAYS, "ETHUSDT": span("02-10", "02-20"), "币安人生USDT": DAYS}


def test_a_dense_window_passes(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        finding = continuity(connection, scope_of(tmp_path, days=WINDOW))
    assert (finding.passed, finding.numbers["missing_rows"], finding.numbers["days"]) == (True, 0, 29)


def test_a_gap_in_the_window_is_counted_and_named(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute("DELETE FROM availability WHERE symbol = '币安人生USDT' AND date = '2024-02-14'")
        connection.execute("DELETE FROM availability WHERE symbol = 'ETHUSDT' AND date >= '2024-02-28'")
        finding = continuity(connection, scope_of(tmp_path, days=WINDOW))
    assert finding.is_error
    assert (finding.numbers["missing_rows"], finding.numbers["incomplete_symbols"]) == (3, 2)
    assert finding.offenders[0] == {
        "symbol": "ETHUSDT", "missing_days": 2, "duplicates": 0,
        "first_missing_day": day("02-28"), "last_missing_day": day("02-29"),
    }  # fmt: skip
    assert "`backfill --start 2024-02-14`" in finding.summary


def test_what_is_outside_the_window_is_the_historys_business(tmp_path: Path) -> None:
    scope = scope_of(tmp_path, days=WINDOW)
    with table(tmp_path, LIVES, DAYS) as connection:
        assert continuity(connection, scope).passed
        finding = history_continuity(connection, scope)
    assert finding.is_error
    assert finding.numbers["missing_rows"] == 3 * (DAYS[0] - DEFAULT_DATASET.first_day).days
    assert finding.offenders[0]["first_missing_day"] == DEFAULT_DATASET.first_day


def test_without_a_window_the_whole_history_is_looked_at(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        assert (
            continuity(connection, scope_of(tmp_path)).numbers["missing_rows"]
            == 3 * (DAYS[0] - DEFAULT_DATASET.first_day).days
        )


def test_a_history_from_the_first_day_is_complete(tmp_path: Path) -> None:
    days = list(DayRange(DEFAULT_DATASET.first_day, dt.date(2019, 12, 31)))
    with table(tmp_path, LIVES, days) as connection:
        assert history_continuity(connection, scope_of(tmp_path)).passed


def test_a_run_for_some_contracts_answers_for_those(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute("DELETE FROM availability WHERE symbol = 'ETHUSDT'")
        assert continuity(connection, scope_of(tmp_path, days=WINDOW, symbols=("BTCUSDT",))).passed
        finding = continuity(connection, scope_of(tmp_path, days=WINDOW))
    assert finding.numbers["missing_rows"] == 29


def test_contracts_that_are_not_tracked_any_more_need_no_rows(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute("UPDATE symbols SET tracked = false WHERE symbol = 'ETHUSDT'")
        connection.execute("DELETE FROM availability WHERE symbol = 'ETHUSDT'")
        assert continuity(connection, scope_of(tmp_path, days=WINDOW)).passed


def test_a_row_that_is_there_twice_is_found(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute("CREATE TABLE copied AS FROM availability; DROP TABLE availability")
        connection.execute("ALTER TABLE copied RENAME TO availability")
        connection.execute("INSERT INTO availability FROM availability WHERE date = '2024-02-03'")
        finding = continuity(connection, scope_of(tmp_path, days=WINDOW))
    assert (finding.is_error, finding.numbers["duplicates"], finding.numbers["missing_rows"]) == (True, 3, 0)


def test_an_empty_table_is_not_continuous(tmp_path: Path) -> None:
    with connect(settings_of(tmp_path).working_path) as connection:
        for check in (continuity, history_continuity):
            finding = check(connection, scope_of(tmp_path))
            assert finding.is_error
            assert "backfill" in finding.summary


def test_the_sample_is_bounded_and_the_counts_are_exact(tmp_path: Path) -> None:
    many = {f"A{number}USDT": DAYS for number in range(SAMPLE + 20)}
    with table(tmp_path, many, DAYS) as connection:
        connection.execute("DELETE FROM availability WHERE date = '2024-02-05'")
        finding = continuity(connection, scope_of(tmp_path, days=WINDOW))
    assert (len(finding.offenders), finding.numbers["missing_rows"]) == (SAMPLE, SAMPLE + 20)


def test_rows_as_they_are_written_are_sound(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        finding = row_invariants(connection, scope_of(tmp_path))
    assert (finding.passed, finding.numbers["rows"]) == (True, 87)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("available = false", "contradictory"),
        ("status_code = 404", "contradictory"),
        ("status_code = 403", "contradictory"),
        ("file_size_bytes = NULL", "contradictory"),
        ("last_modified = NULL", "contradictory"),
        ("last_modified = '2024-02-13 23:59:59'", "too_early"),
    ],
)
def test_each_contradiction_is_found(tmp_path: Path, change: str, kind: str) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute(
            f"UPDATE availability SET {change} WHERE symbol = 'BTCUSDT' AND date = '2024-02-14'"
        )
        finding = row_invariants(connection, scope_of(tmp_path))
        outside = row_invariants(connection, scope_of(tmp_path, days=DayRange(day("02-15"), day("02-20"))))
    assert finding.is_error
    assert {name: count for name, count in finding.numbers.items() if count and name != "rows"} == {kind: 1}
    assert (finding.offenders[0]["symbol"], finding.offenders[0]["date"]) == ("BTCUSDT", day("02-14"))
    assert "`backfill --start 2024-02-14 --end 2024-02-14`" in finding.summary
    assert outside.passed


def test_an_absent_file_has_no_size(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute(
            "UPDATE availability SET file_size_bytes = 1 WHERE symbol = 'ETHUSDT' AND date = '2024-02-01'"
        )
        assert row_invariants(connection, scope_of(tmp_path)).numbers["contradictory"] == 1


def test_a_day_that_is_not_over_has_no_row(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, [*DAYS, TODAY]) as connection:
        finding = row_invariants(connection, scope_of(tmp_path))
    assert finding.numbers["in_the_future"] == 3


def test_a_row_of_an_unknown_contract_is_found(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute("DELETE FROM symbols WHERE symbol = 'ETHUSDT'")
        assert row_invariants(connection, scope_of(tmp_path)).numbers["unknown_contract"] == 29


def test_the_checks_only_read(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS):
        pass
    with connect(settings_of(tmp_path).working_path, read_only=True) as connection:
        for check in (continuity, history_continuity, row_invariants):
            check(connection, scope_of(tmp_path))
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("DELETE FROM availability")

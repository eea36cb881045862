"""The checks of the derived tables: they pass on what was derived, and see what was damaged or is out of date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.quality.check import Check, Finding, Severity
from availability_pipeline.quality.lifecycle import (
    episodes_do_not_overlap,
    every_file_has_an_episode,
    known_delistings,
)
from availability_pipeline_tests.quality.table import day, scope_of, span, table

DAYS = span("02-01", "02-29")
LIVES = {"BTCUSDT": DAYS, "LITUSDT": span("02-01", "02-29", "02-10"), "SOLUSDT": span("02-05", "02-20")}
RULES = Rules(today=day("03-20"))
CHECKS = (episodes_do_not_overlap, every_file_has_an_episode, known_delistings)


@pytest.fixture
def derived(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with table(tmp_path, LIVES, DAYS) as connection:
        derive(connection, RULES)
        yield connection


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_what_was_derived_passes(derived: duckdb.DuckDBPyConnection, tmp_path: Path, check: Check) -> None:
    finding = check(derived, scope_of(tmp_path))
    assert finding.passed


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize(
    "change",
    ["DROP TABLE status_spans", "DELETE FROM availability WHERE date = '2024-02-29'"],
    ids=["never derived", "other rows"],
)
def test_tables_that_do_not_fit_the_rows_are_not_judged(
    derived: duckdb.DuckDBPyConnection, tmp_path: Path, check: Check, change: str
) -> None:
    derived.execute(change)
    finding = check(derived, scope_of(tmp_path))
    assert (finding.passed, finding.severity) == (False, Severity.WARN)
    assert finding.summary.startswith("could not be evaluated")
    assert "run `publish`" in finding.summary


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("UPDATE status_spans SET last_day = last_day + 1 WHERE symbol = 'LITUSDT' AND status = 'missing'", "span"),
        ("UPDATE symbol_lifecycle SET last_day = '2024-01-01' WHERE symbol = 'LITUSDT'", "episode"),
        ("INSERT INTO symbol_lifecycle FROM symbol_lifecycle WHERE symbol = 'LITUSDT'", "episode"),
    ],
    ids=["spans overlap", "an end before the beginning", "an episode twice"],
)  # fmt: skip
def test_what_overlaps_is_seen(
    derived: duckdb.DuckDBPyConnection, tmp_path: Path, damage: str, kind: str
) -> None:
    derived.execute(damage)
    finding = episodes_do_not_overlap(derived, scope_of(tmp_path))
    assert finding.is_error
    assert finding.numbers["overlaps"] == 1
    assert [(offender["symbol"], offender["kind"]) for offender in finding.offenders] == [("LITUSDT", kind)]


@pytest.mark.parametrize(
    ("damage", "misfits"),
    [
        ("DELETE FROM symbol_lifecycle WHERE symbol = 'SOLUSDT'", 16),
        ("DELETE FROM status_spans WHERE symbol = 'SOLUSDT' AND status = 'not_listed'", 4),
        ("UPDATE status_spans SET status = 'missing' WHERE symbol = 'SOLUSDT' AND status = 'published'", 16),
        ("UPDATE status_spans SET episode = 7 WHERE symbol = 'SOLUSDT' AND status = 'published'", 16),
        ("UPDATE symbol_lifecycle SET first_day = '2024-02-07' WHERE symbol = 'SOLUSDT'", 2),
    ],
)
def test_rows_that_do_not_fit_are_seen(
    derived: duckdb.DuckDBPyConnection, tmp_path: Path, damage: str, misfits: int
) -> None:
    derived.execute(damage)
    finding = every_file_has_an_episode(derived, scope_of(tmp_path))
    assert finding.is_error
    assert finding.numbers == {"files": 29 + 28 + 16, "misfits": misfits}
    assert {offender["symbol"] for offender in finding.offenders} == {"SOLUSDT"}


def days_from(first: dt.date, count: int) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range(count)]


def delistings(folder: Path, last_file: dt.date, days: list[dt.date]) -> Finding:
    """What the check says where LUNAUSDT, which was purged after 2022-05-13, has files up to a day."""
    lives = {"BTCUSDT": days, "LUNAUSDT": [each for each in days if each <= last_file]}
    with table(folder, lives, days) as connection:
        derive(connection, RULES)
        return known_delistings(connection, scope_of(folder))


@pytest.mark.parametrize(("last_file", "passed"), [(13, True), (14, True), (15, False), (28, False)])
def test_a_recorded_delisting_is_found_to_the_day_or_a_day_beside_it(
    tmp_path: Path, last_file: int, passed: bool
) -> None:
    finding = delistings(tmp_path, dt.date(2022, 5, last_file), days_from(dt.date(2022, 5, 1), 28))
    assert (finding.passed, finding.severity) == (passed, Severity.WARN)
    assert finding.numbers == {"recorded": 1, "differing": 0 if passed else 1}
    if not passed:
        assert [offender["symbol"] for offender in finding.offenders] == ["LUNAUSDT"]
        assert "LUNAUSDT 2022-05-13" in finding.summary


@pytest.mark.parametrize("first", [dt.date(2022, 5, 14), dt.date(2022, 4, 1)], ids=["after it", "cut short"])
def test_only_collected_days_count(tmp_path: Path, first: dt.date) -> None:
    finding = delistings(tmp_path, dt.date(2022, 5, 28), days_from(first, 45 if first.month == 4 else 10))
    assert (finding.passed, finding.numbers["recorded"]) == (True, 0)
    assert finding.summary == "no day of a recorded delisting is collected"

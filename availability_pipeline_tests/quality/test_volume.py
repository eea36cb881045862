"""The checks of daily bars: impossible ones, days that lack theirs, and faulty files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from availability_pipeline.dates import DayRange
from availability_pipeline.quality.check import Scope
from availability_pipeline.quality.volume import volume_completeness, volume_consistency, volume_files
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.volume import BARS, READ, write_volume

TODAY, NOON = dt.date(2024, 1, 20), dt.datetime.fromisoformat("2024-01-20 12:00")
DAYS = [TODAY - dt.timedelta(days=back) for back in range(10, 0, -1)]
BAR = {
    "symbol": "AUSDT", "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "base_volume": 1.0, "quote_volume": 1.0,
    "trades": 1, "taker_buy_base_volume": 0.0, "taker_buy_quote_volume": 0.0, "source": "daily",
    "file_last_modified": dt.datetime.fromisoformat("2024-01-19"),
}  # fmt: skip


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """One contract with a file and a bar on each day."""
    with connect(tmp_path / "availability.duckdb") as opened:
        opened.register("days", pa.table({"date": pa.array(DAYS, pa.date32())}))
        opened.execute(
            "INSERT INTO availability BY NAME SELECT date, 'AUSDT' AS symbol, true AS available, 30000 AS "
            "file_size_bytes, date + INTERVAL 31 HOUR AS last_modified, 200 AS status_code, now()::TIMESTAMP AS "
            "probe_timestamp FROM days"
        )
        bars = pa.Table.from_pylist([{**BAR, "date": day} for day in DAYS], BARS)
        write_volume(opened, READ.empty_table(), bars)
        yield opened


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    return Scope(Settings.load({}, data_dir=str(tmp_path)), today=TODAY)


def test_nothing_is_wrong_with_possible_bars(connection: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    for check in (volume_consistency, volume_completeness, volume_files):
        assert check(connection, scope).passed


@pytest.mark.parametrize(
    "change", ["low = 1.2", "high = 1.2", "low = 0, open = 0", "trades = -1", "quote_volume = 'inf'", "twice"]
)
def test_a_bar_that_cannot_be_right_is_named(
    connection: duckdb.DuckDBPyConnection, scope: Scope, change: str
) -> None:
    wrong = "INSERT INTO daily_volume FROM daily_volume WHERE date = ?"
    if change != "twice":
        wrong = f"UPDATE daily_volume SET {change} WHERE date = ?"
    connection.execute(wrong, [DAYS[3]])
    finding = volume_consistency(connection, scope)
    assert finding.is_error
    assert finding.summary.startswith(f"1 bar is impossible or there twice: AUSDT {DAYS[3]}; no file is")


def test_a_day_that_is_old_enough_lacks_its_bar(connection: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    connection.execute("DELETE FROM daily_volume WHERE date >= ?", [TODAY - dt.timedelta(days=4)])
    finding = volume_completeness(connection, scope)
    assert (finding.passed, finding.is_error, dict(finding.numbers)) == (
        False,
        False,
        {"lacking": 1, "pending": 3},
    )
    assert finding.summary.startswith(
        f"1 file has no bar of the day: AUSDT {TODAY - dt.timedelta(days=4)}; the"
    )


def test_a_faulty_file_is_named_for_the_days_it_is_about(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    month = {
        "symbol": "AUSDT", "source": "monthly", "date": dt.date(2024, 1, 1), "last_day": dt.date(2024, 1, 31),
        "file_size_bytes": 9, "last_modified": NOON, "bars": 3, "fault": "duplicate_rows", "read_at": NOON,
    }  # fmt: skip
    write_volume(connection, pa.Table.from_pylist([month], READ), BARS.empty_table())
    settings = Settings.load({}, data_dir=str(tmp_path))
    finding = volume_files(connection, Scope(settings, DayRange(DAYS[-1], DAYS[-1]), today=TODAY))
    assert finding.summary == (
        "1 file is faulty: AUSDT 2024-01-01 duplicate_rows; bars that cannot be right are left out, and files are read "
        "again when the archive replaces them"
    )
    before = dt.date(2023, 12, 31)
    assert volume_files(connection, Scope(settings, DayRange(before, before), today=TODAY)).passed

"""The Parquet files of a generation hold the rows of the table, sorted, and unchanged years are the same file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import parquet
from availability_pipeline.publishing.audit import reading_back
from availability_pipeline.publishing.manifest import Manifest, read_manifest
from availability_pipeline.publishing.write import publish
from availability_pipeline.warehouse.writes import Block, write_collection
from availability_pipeline_tests.publishing import sample

LAST_YEAR = dt.date(2023, 5, 1)
"""A day of another year than the sample's."""


def manifest_of(folder: Path) -> Manifest:
    found = read_manifest(folder / "manifest.json")
    assert found is not None
    return found


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def two_years(folder: Path) -> None:
    """Make a working database with the sample and one day of the year before."""
    with sample.working_database(folder) as working:
        files = sample.arrow({(LAST_YEAR, "BTCUSDT"): (9_000, dt.datetime(2023, 5, 2))})  # noqa: DTZ001
        blocks = [Block([LAST_YEAR], sorted(sample.SPANS))]
        write_collection(working, blocks, files, sample.ARCHIVE_URL, sample.record("run-0"))


def test_a_year_holds_the_rows_of_the_table_sorted(tmp_path: Path) -> None:
    report = sample.publish_sample(tmp_path)
    files = sample.sample_files()
    expected = [
        sample.expected_row(day, symbol, files) for day in sample.DAYS for symbol in sorted(sample.SPANS)
    ]
    assert rows_of(report.folder / "daily_availability" / "2024.parquet") == expected


def test_the_latest_file_holds_the_last_day_that_has_files(tmp_path: Path) -> None:
    report = sample.publish_sample(tmp_path)
    found = rows_of(report.folder / "latest.parquet")
    files = sample.sample_files()
    assert {row["date"] for row in found} == {sample.LAST_DAY}
    assert found == [sample.expected_row(sample.LAST_DAY, "ETHUSDT", files)]


@pytest.mark.parametrize("table", ["contract_history", "status_spans", "symbol_lifecycle"])
def test_small_tables_are_files_too(tmp_path: Path, table: str) -> None:
    report = sample.publish_sample(tmp_path)
    with sample.working_database(tmp_path) as working:
        rows = working.sql(parquet._DERIVED[table]).to_arrow_table().to_pylist()
    assert rows
    assert rows_of(report.folder / f"{table}.parquet") == rows
    assert f"generations/{report.generation}/{table}.parquet" in {
        entry.path for entry in manifest_of(tmp_path).files
    }


def test_a_derived_file_that_does_not_read_back_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = parquet._DERIVED["symbol_lifecycle"]
    monkeypatch.setattr(parquet, "_DERIVED", {"symbol_lifecycle": f"SELECT random(), * FROM ({query})"})
    with pytest.raises(PublicationError, match=r"symbol_lifecycle.parquet failed its audit"):
        sample.publish_sample(tmp_path)


def test_the_latest_file_of_days_without_files_is_empty(tmp_path: Path) -> None:
    report = sample.publish_sample(tmp_path, {}, sample.DAYS[:2])
    assert pq.read_table(report.folder / "latest.parquet").num_rows == 0
    assert manifest_of(tmp_path).last_file_day is None


def test_files_are_compressed_with_zstd_and_have_the_columns_of_the_table(tmp_path: Path) -> None:
    report = sample.publish_sample(tmp_path)
    for path in (*report.folder.rglob("20*.parquet"), report.folder / "latest.parquet"):
        group = pq.read_metadata(path).row_group(0)
        columns = [group.column(number) for number in range(group.num_columns)]
        assert {column.compression for column in columns} == {"ZSTD"}
        assert [column.path_in_schema for column in columns] == [
            "date", "symbol", "available", "file_size_bytes", "last_modified", "url", "status_code", "probe_timestamp",
        ]  # fmt: skip


def test_there_is_a_file_for_each_year(tmp_path: Path) -> None:
    two_years(tmp_path)
    report = sample.publish_run(tmp_path, "run-1")
    years = {path.name: len(rows_of(path)) for path in (report.folder / "daily_availability").iterdir()}
    assert years == {
        "2023.parquet": len(sample.SPANS),
        "2024.parquet": len(sample.DAYS) * len(sample.SPANS),
    }


def test_an_unchanged_year_is_the_same_file_as_before(tmp_path: Path) -> None:
    two_years(tmp_path)
    first = sample.publish_run(tmp_path, "run-1").folder / "daily_availability"
    with sample.working_database(tmp_path) as working:
        # Another look at one day, which found nothing new.
        moment = sample.COLLECTED_AT + dt.timedelta(days=1)
        working.execute(
            "UPDATE availability SET probe_timestamp = ? WHERE date = ?", [moment, sample.LAST_DAY]
        )
    second = sample.publish_run(tmp_path, "run-2").folder / "daily_availability"
    assert (second / "2023.parquet").samefile(first / "2023.parquet")
    assert not (second / "2024.parquet").samefile(first / "2024.parquet")
    assert rows_of(second / "2024.parquet")[-1]["probe_timestamp"] == moment


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_year_that_was_damaged_is_not_taken_over(tmp_path: Path, damage: str) -> None:
    two_years(tmp_path)
    path = sample.publish_run(tmp_path, "run-1").folder / "daily_availability" / "2023.parquet"
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        sample.writable(path).write_bytes(whole[:-20] + b"\0" * 20)
    again = sample.publish_run(tmp_path, "run-2").folder / "daily_availability" / "2023.parquet"
    files = {(LAST_YEAR, "BTCUSDT"): (9_000, dt.datetime(2023, 5, 2))}  # noqa: DTZ001
    assert rows_of(again) == [sample.expected_row(LAST_YEAR, name, files) for name in sorted(sample.SPANS)]


TAMPERINGS = {
    "has 3 rows instead of 420": "SELECT * FROM daily_availability LIMIT 3",
    "differs from the working table in file_size_bytes":
        "SELECT * REPLACE (file_size_bytes + 1 AS file_size_bytes) FROM daily_availability ORDER BY date, symbol",
    "rows are duplicates or out of order": "SELECT * FROM daily_availability ORDER BY symbol, date",
    "has other columns than": "SELECT * EXCLUDE (url) FROM daily_availability ORDER BY date, symbol",
}  # fmt: skip


@pytest.mark.parametrize("message", TAMPERINGS)
def test_a_file_that_does_not_read_back_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    before = sample.copy_published(tmp_path).generation
    rows = TAMPERINGS[message].replace("FROM daily_availability", "FROM daily_availability WHERE $year > 0")
    # Of the years of files, which come first.
    monkeypatch.setattr(parquet, "_WRITE", f"COPY ({rows}) TO $path (FORMAT parquet)")
    with pytest.raises(PublicationError, match=f"2024.parquet failed its audit: .*{message}"):
        sample.publish_run(tmp_path, "run-2", seed=2)
    assert sample.generations(tmp_path) == [before]
    assert manifest_of(tmp_path).generation == before


def test_the_working_database_is_not_changed_by_an_export(tmp_path: Path) -> None:
    with sample.working_database(tmp_path) as working:
        before = working.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        publish(working, tmp_path / "availability.duckdb", "run-1")
        after = working.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        assert set(after) - set(before) == {("status_spans",), ("symbol_lifecycle",)}


def test_what_does_not_fit_into_memory_is_kept_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in the current folder, which a service may not be able to write to."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with reading_back(tmp_path / "there.duckdb") as connection:
        connection.execute("SET memory_limit = '64MB'")
        connection.execute(
            "CREATE TEMP TABLE large AS SELECT i, md5(i::VARCHAR) AS text FROM range(3_000_000) AS t(i)"
        )
        assert list((tmp_path / "there.duckdb.tmp").iterdir())
    assert list((tmp_path / "here").iterdir()) == []
    assert not (tmp_path / "there.duckdb.tmp").exists()

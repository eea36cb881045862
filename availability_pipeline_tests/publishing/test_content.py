"""What a published database holds: the same rows as the working one, in the form that readers were promised.

The file is opened by DuckDB alone, without the package's own reader, because that is what other people's tools do.
"""

from __future__ import annotations

import datetime as dt
import os
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from availability_pipeline import __version__
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.publishing.write import publish
from availability_pipeline_tests.publishing import sample

COLUMNS = [
    ("date", "DATE"),
    ("symbol", "VARCHAR"),
    ("available", "BOOLEAN"),
    ("file_size_bytes", "BIGINT"),
    ("last_modified", "TIMESTAMP"),
    ("url", "VARCHAR"),
    ("status_code", "INTEGER"),
    ("probe_timestamp", "TIMESTAMP"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    sample.publish_sample(folder)
    return folder


@pytest.fixture
def published(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(folder / "availability.duckdb", read_only=True) as connection:
        yield connection


@pytest.mark.parametrize("view", ["daily_availability", "symbol_timeline"])
def test_the_views_have_exactly_the_documented_columns(
    published: duckdb.DuckDBPyConnection, view: str
) -> None:
    described = published.execute(f"DESCRIBE {view}").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == COLUMNS


@pytest.mark.parametrize("view", ["daily_availability", "symbol_timeline"])
def test_the_views_hold_every_row(published: duckdb.DuckDBPyConnection, view: str) -> None:
    files = sample.sample_files()
    expected = [
        tuple(sample.expected_row(day, symbol, files).values())
        for day in sample.DAYS
        for symbol in sorted(sample.SPANS)
    ]
    assert published.execute(f"FROM {view} ORDER BY date, symbol").fetchall() == expected


@pytest.mark.parametrize(("table", "order"), [("by_date", "date, symbol"), ("by_symbol", "symbol, date")])
def test_rows_lie_in_the_order_of_the_tables_name(
    published: duckdb.DuckDBPyConnection, table: str, order: str
) -> None:
    stored = published.execute(f"SELECT date, symbol FROM availability_{table} ORDER BY rowid").fetchall()
    sorted_rows = published.execute(
        f"SELECT date, symbol FROM availability_{table} ORDER BY {order}"
    ).fetchall()
    assert stored == sorted_rows


def test_url_is_computed_not_stored(published: duckdb.DuckDBPyConnection) -> None:
    stored = published.execute(
        "SELECT DISTINCT table_name FROM duckdb_columns() WHERE column_name = 'url' AND NOT internal"
    ).fetchall()
    assert sorted(name for (name,) in stored) == ["daily_availability", "symbol_timeline"]
    assert not published.execute(
        "SELECT 1 FROM duckdb_tables() WHERE table_name = 'daily_availability'"
    ).fetchall()


@pytest.mark.parametrize("table", ["symbols", "availability_changes", "collection_runs"])
def test_the_other_tables_are_copied(tmp_path: Path, table: str) -> None:
    with sample.working_database(tmp_path) as working:
        sample.collect(working, sample.sample_files(seed=2), "run-2", sample.DAYS)
        publish(working, tmp_path / "availability.duckdb", "run-2")
        expected = working.execute(f"FROM {table} ORDER BY ALL").fetchall()
    with duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        assert published.execute(f"FROM {table} ORDER BY ALL").fetchall() == expected != []


def test_every_row_has_a_status(published: duckdb.DuckDBPyConnection) -> None:
    files = sample.sample_files()
    found = published.execute("SELECT date, symbol, status FROM availability_status").fetchall()
    statuses = {(day, symbol): status for day, symbol, status in found}
    assert len(found) == len(statuses) == len(sample.DAYS) * len(sample.SPANS)
    for (day, symbol), status in statuses.items():
        first, end = sample.SPANS[symbol]
        offset = (day - sample.FIRST_DAY).days
        if (day, symbol) in files:
            expected = "published"
        elif offset < first or first == end:
            expected = "not_listed"
        else:
            # Two contracts lack the last day, more than 5 % of the market, and the day is old.
            expected = "missing" if (symbol, offset) in sample.HOLES else "ended"
        assert (day, symbol, status) == (day, symbol, expected)


def test_days_count_their_statuses_and_bytes(published: duckdb.DuckDBPyConnection) -> None:
    files = sample.sample_files()
    result = published.execute("FROM published_days ORDER BY date")
    names = [column[0] for column in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    assert names == [
        "date", "row_count", "file_count", "bytes", "published", "flat", "pending", "missing", "not_listed", "ended",
    ]  # fmt: skip
    for row in rows:
        assert row["bytes"] == sum(size for (day, _), (size, _) in files.items() if day == row["date"])
    counts = {name: [row[name] for row in rows] for name in names}
    # On the 45th day: three contracts live, one not listed for ever, two ended.
    assert [counts[name][44] for name in ("published", "not_listed", "ended")] == [3, 1, 2]
    assert (counts["missing"][30], counts["missing"][69], sum(counts["missing"])) == (1, 2, 3)
    assert sum(counts["flat"] + counts["pending"]) == 0
    assert {sum(values) for values in zip(*(counts[name] for name in names[4:]), strict=True)} == {
        len(sample.SPANS)
    }


def test_derived_tables_are_those_of_the_working_database(tmp_path: Path) -> None:
    path = sample.publish_sample(tmp_path).path
    with sample.working_database(tmp_path) as working, duckdb.connect(path, read_only=True) as published:
        for table in ("status_spans", "symbol_lifecycle"):
            rows = published.execute(f"FROM {table}").fetchall()
            assert rows == working.execute(f"FROM {table}").fetchall() != []


def test_a_publication_derives_what_is_missing_or_out_of_date(tmp_path: Path) -> None:
    before = sample.publish_sample(tmp_path)
    with sample.working_database(tmp_path) as working:
        working.execute("DROP TABLE status_spans; DROP TABLE symbol_lifecycle")
        assert publish(working, tmp_path / "availability.duckdb", "run-2").rows == before.rows
        working.execute(
            "UPDATE availability SET available = true, status_code = 200, file_size_bytes = 9, "
            "last_modified = '2024-02-10' WHERE symbol = 'ETHUSDT' AND date = '2024-02-09'"
        )
        publish(working, tmp_path / "availability.duckdb", "run-3")
    with duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        gaps = published.execute("SELECT gaps FROM symbol_lifecycle WHERE symbol = 'ETHUSDT'").fetchall()
    assert gaps == [(0,)]


def test_the_file_says_what_it_is(published: duckdb.DuckDBPyConnection) -> None:
    result = published.execute("FROM publication")
    names = [column[0] for column in result.description or ()]
    facts = dict(zip(names, result.fetchone() or (), strict=True))
    age = dt.datetime.now(dt.UTC).replace(tzinfo=None) - facts.pop("published_at")
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=10)
    assert facts == {
        "schema_version": 6,
        "first_day": sample.FIRST_DAY,
        "data_through": sample.LAST_DAY,
        "last_file_day": sample.LAST_DAY,
        "row_count": len(sample.DAYS) * len(sample.SPANS),
        "file_count": len(sample.sample_files()),
        "symbol_count": len(sample.SPANS),
        "run_id": "run-1",
        "archive_url": sample.ARCHIVE_URL,
        "program_version": __version__,
        "dataset": "um/klines/1m",
        "rebuilt_at": facts["rebuilt_at"],
        "tail_from": None,
        "tail_symbols": [],
    }


def test_urls_follow_the_address_that_the_working_database_recorded(tmp_path: Path) -> None:
    address = "http://127.0.0.1:9000/it's-a-mirror"
    with sample.working_database(tmp_path) as working:
        files = sample.arrow(sample.sample_files())
        sample.write_collection(working, [], files, address, sample.record("run-2"))
        publish(working, tmp_path / "availability.duckdb", "run-2")
    with duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        urls = published.execute(
            "SELECT url FROM daily_availability WHERE symbol = 'ETHUSDT' LIMIT 1"
        ).fetchall()
    assert urls == [(f"{DEFAULT_DATASET.url_stem(address, 'ETHUSDT')}{sample.FIRST_DAY}.zip",)]


SYMBOLS = st.text(st.sampled_from(string.ascii_uppercase + string.digits + "_币安人生ÄЖ龙虾😀"), min_size=1)


@given(symbol=SYMBOLS)
def test_duckdb_encodes_symbols_as_the_archives_keys_do(symbol: str) -> None:
    [(encoded,)] = duckdb.execute("SELECT url_encode(?)", [symbol]).fetchall()
    assert DEFAULT_DATASET.url_stem("http://host", symbol).endswith(f"/{encoded}/1m/{encoded}-1m-")


def test_the_view_works_under_any_name_of_the_database(folder: Path) -> None:
    with duckdb.connect() as client:
        client.execute("ATTACH ? AS somewhere (READ_ONLY)", [str(folder / "availability.duckdb")])
        rows = client.execute("SELECT count(*) FROM somewhere.daily_availability").fetchone()
    assert rows == (len(sample.DAYS) * len(sample.SPANS),)


def test_duckdb_1_4_reads_it_and_a_copy_with_another_tail(tmp_path: Path) -> None:
    client = os.environ.get("DUCKDB_1_4_PATH")
    if not client:
        pytest.skip("DUCKDB_1_4_PATH does not name a folder with DuckDB 1.4 in it")
    program = (
        "import duckdb, sys; assert duckdb.__version__.startswith('1.4'), duckdb.__version__; "
        "c = duckdb.connect(sys.argv[1], read_only=True); "
        "q = 'SELECT count(*), count(DISTINCT url), sum(file_size_bytes) FROM daily_availability'; "
        "print(c.execute(q).fetchone(), c.execute('SELECT tail_from IS NULL FROM publication').fetchone()[0])"
    )
    rows = len(sample.DAYS) * len(sample.SPANS)
    size = sum(size for size, _ in sample.sample_files().values())
    for number, whole in enumerate((True, False)):
        with sample.working_database(tmp_path) as working:
            working.execute(
                "UPDATE availability SET probe_timestamp = probe_timestamp + INTERVAL 1 HOUR WHERE date = ?",
                [sample.LAST_DAY],
            )
            published = publish(working, tmp_path / "availability.duckdb", f"run-{number}")
        done = subprocess.run(
            [sys.executable, "-c", program, str(published.path)],
            env={**os.environ, "PYTHONPATH": client}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.stdout.strip(), done.stderr) == (f"({rows}, {rows}, {size}) {whole}", "")

"""A publication that only replaces the tail has the same content as one that writes all rows, and as good an order."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from availability_pipeline import dates
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import parquet, rows, write
from availability_pipeline.publishing.audit import content_of, differences
from availability_pipeline.publishing.export import export
from availability_pipeline.publishing.write import PublishReport, publish
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.publishing import sample

pytestmark = pytest.mark.no_cover
"""What runs here is covered by other publications, and tracing it would take a fifth more time."""

GROUP = 2048
"""Rows of a row group: the least that DuckDB takes, so that a small table has several."""

SYMBOLS = 60
DAYS = 200

FILL = f"""
INSERT INTO availability BY NAME
SELECT
    date::DATE AS date, printf('S%02dUSDT', number) AS symbol, available,
    if(available, 1000 + hash(date, number) % 60000, NULL)::BIGINT AS file_size_bytes,
    if(available, date + INTERVAL 30 HOUR, NULL) AS last_modified,
    if(available, 200, 404) AS status_code, TIMESTAMP '2024-09-01' AS probe_timestamp, available AS has_checksum
FROM (
    SELECT date, number, hash(number, date) % 20 > 0 AND date >= DATE '2024-01-01' + number::INTEGER AS available
    FROM generate_series(DATE '2024-01-01', DATE '2024-01-01' + {DAYS - 1}, INTERVAL 1 DAY) AS days(date),
         range({SYMBOLS}) AS symbols(number)
) ORDER BY date, symbol
"""

BARS = """
INSERT INTO daily_volume BY NAME
SELECT
    date, symbol, 1.5 AS open, 2 AS high, 1 AS low, 1.25 AS close, 7 AS base_volume,
    hash(symbol, date) % 1000 / 8 AS quote_volume, hash(date, symbol) % 9 AS trades, 3 AS taker_buy_base_volume,
    3.5 AS taker_buy_quote_volume, 'daily' AS source, last_modified AS file_last_modified
FROM availability WHERE available AND date >= DATE '2024-02-01' AND hash(date, symbol) % 30 > 0
"""

CONTENTS = """
INSERT INTO file_contents BY NAME
SELECT
    date, symbol, file_size_bytes, last_modified, 'agrees' AS checksum, 1440 AS rows, 0 AS first_minute,
    1439 AS last_minute, 0 AS missing_minutes, 0 AS duplicate_minutes, 0 AS unordered_minutes, 9 AS traded_minutes,
    7 AS base_volume, 8 AS quote_volume, 9 AS trades, false AS has_header, 'ms' AS time_unit, 'complete' AS verdict,
    probe_timestamp AS inspected_at
FROM availability ANTI JOIN file_contents USING (date, symbol, file_size_bytes, last_modified)
WHERE available AND date = $day
"""

# What may happen to the working database between two publications; $day and $number are drawn.
CHANGES = {
    "a day is collected again":
        "UPDATE availability SET probe_timestamp = probe_timestamp + INTERVAL 1 DAY WHERE date = $day",
    "a file is withdrawn":
        "UPDATE availability SET available = false, file_size_bytes = NULL, last_modified = NULL, status_code = 404, "
        "has_checksum = NULL WHERE date = $day AND symbol = printf('S%02dUSDT', $number)",
    "a file is replaced":
        "UPDATE availability SET file_size_bytes = file_size_bytes + 1 "
        "WHERE date = $day AND symbol = printf('S%02dUSDT', $number) AND available",
    "the last day is taken back": "DELETE FROM availability WHERE date = (SELECT max(date) FROM availability)",
    "a day is collected":
        "INSERT INTO availability SELECT * REPLACE (date + 1 AS date) FROM availability "
        "WHERE date = (SELECT max(date) FROM availability)",
    "a day is removed": "DELETE FROM availability WHERE date = $day",
    "a contract is new":
        "INSERT INTO availability SELECT * REPLACE ('NEW' || symbol AS symbol) FROM availability "
        "WHERE symbol = printf('S%02dUSDT', $number) AND NOT exists(FROM availability WHERE symbol LIKE 'NEW%')",
    "a contract is listed":
        "INSERT INTO availability BY NAME SELECT date, symbol, available, if(available, 7, NULL) AS file_size_bytes, "
        "if(available, date + INTERVAL 30 HOUR, NULL) AS last_modified, if(available, 200, 404) AS status_code, "
        "TIMESTAMP '2024-09-02' AS probe_timestamp, NULL AS has_checksum "
        "FROM (SELECT DISTINCT date, date >= $day AS available FROM availability), "
        "(SELECT printf('%s%02dLISTED', if($number % 2 = 0, 'A', 'T'), $number) AS symbol) "
        "WHERE NOT exists(FROM availability AS held WHERE held.symbol LIKE '%LISTED')",
    "bars are read":
        f"{BARS} AND (date, symbol) NOT IN (SELECT (date, symbol) FROM daily_volume) AND date >= $day",
    "bars come from a monthly file":
        "UPDATE daily_volume SET source = 'monthly', quote_volume = quote_volume + 1 "
        "WHERE symbol < printf('S%02dUSDT', $number) AND date >= $day AND date < $day + 30",
    "a day has no bars any more": "DELETE FROM daily_volume WHERE date = $day",
    "files are inspected": CONTENTS,
    "nothing": "SELECT 1",
}  # fmt: skip


@contextmanager
def large_database(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A working database whose rows fill several row groups."""
    with sample.working_database(folder, {}, sample.DAYS[:1]) as working:
        working.execute("DELETE FROM availability")
        working.execute(FILL)
        working.execute(BARS)
        yield working


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROW_GROUP_SIZE", GROUP)
    monkeypatch.setattr(
        parquet, "_WRITE", parquet._WRITE.replace(f"SIZE {parquet.ROW_GROUP_SIZE}", f"SIZE {GROUP}")
    )


def relations(path: Path) -> dict[str, pa.Table]:
    """All that a published database holds, but what it says of the publication itself."""
    with duckdb.connect(path, read_only=True) as published:
        names = [
            name
            for (name,) in published.execute("SELECT table_name FROM information_schema.tables").fetchall()
        ]
        found = {name: published.sql(f"FROM {name} ORDER BY ALL").to_arrow_table() for name in names}
        columns = "* EXCLUDE (run_id, published_at, rebuilt_at, tail_from, tail_symbols)"
        found["publication"] = published.sql(f"SELECT {columns} FROM publication").to_arrow_table()
    return found


def rankings(report: PublishReport) -> list[tuple[object, ...]]:
    """The rows of the file of rankings, without when they were computed, as they lie in the file."""
    found = pq.read_table(report.folder / "volume_rankings.parquet").drop_columns(["generation_timestamp"])
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def years(report: PublishReport) -> dict[str, pa.Table]:
    """What the files of years hold, by their names."""
    return {
        path.relative_to(report.folder).as_posix(): pq.read_table(path)
        for path in report.folder.glob("*/20*.parquet")
    }


def groups_read(path: Path, table: str, column: str) -> int:
    """The most row groups that may hold a value of a column, by their zone maps."""
    with duckdb.connect(path, read_only=True) as published:
        zones = published.execute(
            f"SELECT DISTINCT row_group_id, stats['min']::VARCHAR, stats['max']::VARCHAR "
            f"FROM pragma_storage_info('{table}') WHERE column_name = ? AND segment_type <> 'VALIDITY'", [column],
        ).fetchall()  # fmt: skip
        values = published.execute(f"SELECT DISTINCT {column}::VARCHAR FROM {table}").fetchall()
    return max(len({group for group, low, high in zones if low <= value <= high}) for (value,) in values)


def assert_as_good_as_a_rebuild(
    working: duckdb.DuckDBPyConnection, part: PublishReport, folder: Path
) -> None:
    assert differences(working, part.path) == []
    whole = publish(working, folder / "whole" / "availability.duckdb", "whole", full=True)
    assert whole.rebuilt == "that was asked for"
    assert relations(part.path) == relations(whole.path)
    assert rankings(part) == rankings(whole)
    assert years(part) == years(whole)
    for table, column in (("availability_by_date", "date"), ("availability_by_symbol", "symbol")):
        assert groups_read(part.path, table, column) <= groups_read(whole.path, table, column) + 2
    assert part.path.stat().st_size <= 3 * whole.path.stat().st_size
    with AvailabilityQueries(part.path) as few, AvailabilityQueries(whole.path) as all_rows:
        last = few.publication.data_through
        first = last  # of the last days without one that is missing
        while few.publication.first_day < first and first - dt.timedelta(days=1) in few._file_counts:
            first -= dt.timedelta(days=1)
        assert (
            few.availability_matrix(first, last).arrow() == all_rows.availability_matrix(first, last).arrow()
        )
        for symbol in ("S00USDT", "S31USDT", *few.publication.tail_symbols):
            timeline = list(few.get_symbol_availability_timeline(symbol))
            assert timeline == list(all_rows.get_symbol_availability_timeline(symbol))
        assert list(few.get_availability_range(first, last)) == list(
            all_rows.get_availability_range(first, last)
        )
        for day in (first, first + (last - first) / 2, last):
            snapshot = list(few.get_available_symbols_on_date(day))
            assert snapshot == list(all_rows.get_available_symbols_on_date(day))


@settings(
    max_examples=3,  # each takes seconds
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # making an example smaller takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 1000),
    steps=st.lists(
        st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 40)), max_size=3), min_size=1, max_size=4
    ),
)  # fmt: skip
def test_the_content_is_that_of_a_rebuild(seed: int, steps: list[list[tuple[str, int]]]) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, large_database(Path(name)) as working:
        folder = Path(name)
        report = publish(working, folder / "availability.duckdb", "first")
        for number, changes in enumerate(steps):
            for change, back in changes:
                [(last,)] = working.execute("SELECT max(date) FROM availability").fetchall()
                values = {"day": last - dt.timedelta(days=back), "number": draw.randrange(SYMBOLS)}
                working.execute(
                    CHANGES[change], {key: values[key] for key in values if f"${key}" in CHANGES[change]}
                )
            report = publish(working, folder / "availability.duckdb", f"run-{number}")
            assert report.remark is None
        assert_as_good_as_a_rebuild(working, report, folder)


def collect_again(working: duckdb.DuckDBPyConnection, days: int) -> None:
    working.execute(
        "UPDATE availability SET probe_timestamp = probe_timestamp + INTERVAL 1 DAY "
        "WHERE date > (SELECT max(date) FROM availability) - ?::INTEGER", [days],
    )  # fmt: skip


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large working database, published once; for copies."""
    folder = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch, large_database(folder) as connection:
        patch.setattr(rows, "ROW_GROUP_SIZE", GROUP)
        first = publish(connection, folder / "availability.duckdb", "run-0")
        assert (first.rebuilt, first.written) == ("there is no generation before", SYMBOLS * DAYS)
    return folder


@pytest.fixture
def working(published_once: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of it, the working database open."""
    sample.copy(published_once, tmp_path)
    with sample.working_database(tmp_path) as connection:
        yield connection


def again(working: duckdb.DuckDBPyConnection, folder: Path, *, full: bool = False) -> PublishReport:
    return publish(working, folder / "availability.duckdb", "run-1", full=full)


def test_only_the_changed_days_are_written(working: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert (again(working, tmp_path).written, again(working, tmp_path).rebuilt) == (0, None)
    collect_again(working, 3)
    report = again(working, tmp_path)
    assert (report.written, report.rebuilt, report.how) == (3 * SYMBOLS, None, "180 rows written")
    assert_as_good_as_a_rebuild(working, report, tmp_path)


def test_the_tail_never_becomes_shorter_until_it_is_too_long(
    working: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    collect_again(working, 10)
    again(working, tmp_path)
    collect_again(working, 1)
    assert again(working, tmp_path).written == 10 * SYMBOLS
    collect_again(working, GROUP // SYMBOLS + 1)
    report = again(working, tmp_path)
    assert (report.written, report.rebuilt) == (SYMBOLS * DAYS, "rows from 2024-06-14 on have changed")
    collect_again(working, 1)
    assert again(working, tmp_path).written == SYMBOLS


def test_many_copies_of_copies_take_no_more_space(working: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    sizes = []
    for _ in range(8):
        collect_again(working, 20)
        sizes.append(again(working, tmp_path).bytes)
    assert max(sizes[4:]) <= max(sizes[:4])


LISTED = CHANGES["a contract is listed"].replace("WHERE NOT", "WHERE true OR NOT")


def test_a_new_contract_goes_to_the_tail(working: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    [(last,)] = working.execute("SELECT max(date) FROM availability").fetchall()
    collect_again(working, 2)
    for number, back in ((3, 1), (4, 4)):
        working.execute(LISTED, {"number": number, "day": last - dt.timedelta(days=back)})
        report = again(working, tmp_path)
        # The tail begins with the first file of a new contract, and has the rows of others from then on.
        assert (report.written, report.rebuilt) == (
            {3: 2 * SYMBOLS + DAYS, 4: 5 * SYMBOLS + 2 * DAYS}[number],
            None,
        )
        assert_as_good_as_a_rebuild(working, report, tmp_path)
    working.execute(CHANGES["a day is collected"])
    report = again(working, tmp_path)
    assert (report.written, report.rebuilt) == (6 * SYMBOLS + 2 * (DAYS + 1), None)
    assert_as_good_as_a_rebuild(working, report, tmp_path)
    with AvailabilityQueries(report.path) as queries:
        assert queries.publication.tail_symbols == ["A04LISTED", "T03LISTED"]
    latest = pq.read_table(report.folder / "latest.parquet").column("symbol").to_pylist()
    assert {"A04LISTED", "T03LISTED"} <= set(latest)
    assert latest == sorted(latest)
    export(report.path, tmp_path / "exported", "parquet", force=False)
    for folder in (tmp_path / "exported", report.folder):
        year = pq.read_table(folder / "daily_availability" / "2024.parquet").select(["date", "symbol"])
        assert year.num_rows == (SYMBOLS + 2) * (DAYS + 1)
        assert year.equals(year.sort_by([("date", "ascending"), ("symbol", "ascending")]))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE availability SET probe_timestamp = probe_timestamp + INTERVAL 1 DAY WHERE symbol = 'A04LISTED'",
        "DELETE FROM availability WHERE symbol = 'A04LISTED'",
        """
        UPDATE availability SET available = true, file_size_bytes = 7, last_modified = date + 1, status_code = 200
        WHERE symbol = 'A04LISTED' AND date = DATE '2024-01-05'
        """,
    ],
)
def test_a_change_of_earlier_days_of_a_new_contract_means_all_rows(
    working: duckdb.DuckDBPyConnection, tmp_path: Path, change: str
) -> None:
    working.execute(LISTED, {"number": 4, "day": dt.date(2024, 7, 17)})
    assert again(working, tmp_path).rebuilt is None
    working.execute(change)
    report = again(working, tmp_path)
    assert (report.rebuilt or "").startswith("rows from 2024-01-0")
    assert_as_good_as_a_rebuild(working, report, tmp_path)


def test_a_new_contract_with_files_of_old_days_means_all_rows(
    working: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    working.execute(CHANGES["a contract is new"], {"number": 7})
    report = again(working, tmp_path)
    assert report.written == (SYMBOLS + 1) * DAYS
    assert report.rebuilt == "rows from 2024-01-08 on have changed"


@pytest.mark.parametrize(("days", "full"), [(6, False), (7, True), (-1, True)])
def test_all_rows_are_written_once_a_week(
    working: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, full: bool
) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    monkeypatch.setattr(dates, "_clock", lambda: later)
    report = again(working, tmp_path)
    assert (report.written == SYMBOLS * DAYS) == full
    assert ("all rows were last written at" in (report.rebuilt or "")) == full
    assert report.remark is None


def test_all_rows_are_written_when_asked_for(working: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    report = again(working, tmp_path, full=True)
    assert (report.written, report.rebuilt) == (SYMBOLS * DAYS, "that was asked for")


def test_only_days_that_may_have_another_rank_are_computed(
    working: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    def computed(report: PublishReport) -> set[dt.date]:
        """The days whose ranks are of the last publication."""
        table = pq.read_table(report.folder / "volume_rankings.parquet").to_pylist()
        newest = max(row["generation_timestamp"] for row in table)
        return {row["date"] for row in table if row["generation_timestamp"] == newest}

    first = again(working, tmp_path)
    assert min(computed(first)) == dt.date(2024, 2, 1)
    [(last,)] = working.execute("SELECT max(date) FROM daily_volume").fetchall()
    working.execute("UPDATE daily_volume SET quote_volume = 5 WHERE date = ? AND trades > 0", [last])
    assert computed(again(working, tmp_path)) == {last}
    day = last - dt.timedelta(days=60)
    working.execute("DELETE FROM daily_volume WHERE date = ?", [day])
    report = again(working, tmp_path)
    assert computed(report) == {day + dt.timedelta(days=back) for back in range(1, 31)}
    assert_as_good_as_a_rebuild(working, report, tmp_path)
    working.execute(CHANGES["a contract is new"], {"number": 59})  # with files, but none in the first days
    report = again(working, tmp_path)
    assert report.rebuilt
    assert min(computed(report)) == dt.date(2024, 2, 29)
    assert_as_good_as_a_rebuild(working, report, tmp_path)


YEARS = "daily_availability/2024.parquet", "daily_volume/2024.parquet"


def test_files_go_on_with_the_row_groups_of_the_ones_before(
    working: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parts(report: PublishReport) -> dict[str, list[bytes]]:
        """The row groups of each file, byte by byte."""
        found: dict[str, list[bytes]] = {}
        for name in (*YEARS, "volume_rankings.parquet"):
            path = report.folder / name
            about, text = pq.read_metadata(path), path.read_bytes()
            ends = [4]
            for number in range(about.num_row_groups):
                group = about.row_group(number)
                ends.append(
                    ends[-1] + sum(group.column(at).total_compressed_size for at in range(group.num_columns))
                )
            found[name] = [text[begin:end] for begin, end in pairwise(ends)]
        return found

    with monkeypatch.context() as patched:  # so that the same rows, written again, are other bytes
        patched.setattr(parquet, "_WRITE", parquet._WRITE.replace("zstd", "zstd, COMPRESSION_LEVEL 9"))
        first = parts(again(working, tmp_path, full=True))
    working.execute(CHANGES["a day is collected"])
    working.execute(BARS + " AND date = (SELECT max(date) FROM availability)")
    report = again(working, tmp_path)
    for name, groups in parts(report).items():
        assert len(first[name]) > 2
        assert groups[: len(first[name]) - 1] == first[name][:-1]
    assert_as_good_as_a_rebuild(working, report, tmp_path)


@pytest.mark.parametrize("damage", ["spoiled", "gone", "of another form", "of other rows"])
@pytest.mark.parametrize("name", YEARS)
def test_a_file_that_cannot_go_on_is_written_as_a_whole(
    working: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: str,
) -> None:
    with monkeypatch.context() as patched:
        if damage == "of another form":
            patched.setattr(parquet, "_WRITE", "COPY ($rows) TO $path (FORMAT parquet, ROW_GROUP_SIZE 2048)")
        folder = again(working, tmp_path, full=True).folder
    if damage == "spoiled":
        spoil(folder / name)
    if damage == "gone":
        (folder / name).unlink()
    if damage == "of other rows":  # with an entry in the manifest that is made to fit
        changed = f"FROM (SELECT * REPLACE (reverse(symbol) AS symbol) FROM read_parquet('{folder / name}'))"
        path = str(folder / "other.parquet")
        working.execute(parquet._WRITE.replace("$rows", changed), {"path": path})
        Path(path).replace(folder / name)
        monkeypatch.setattr(parquet, "is_intact", lambda *_: True)
    working.execute(CHANGES["a day is collected"])
    working.execute(BARS + " AND date = (SELECT max(date) FROM availability)")
    assert_as_good_as_a_rebuild(working, again(working, tmp_path), tmp_path)


@pytest.mark.parametrize("damage", ["gone", "of another generation", "no text"])
def test_what_the_days_were_is_found_out_where_it_is_not_written_down(
    working: duckdb.DuckDBPyConnection, tmp_path: Path, damage: str
) -> None:
    path = sample.writable(again(working, tmp_path, full=True).folder / "content.json")
    collect_again(working, 3)
    if damage == "gone":
        path.unlink()
    elif damage == "no text":
        path.write_bytes(b"\xff")
    else:  # that has the days as they are now
        path.write_text(content_of(working), encoding="utf-8")
    report = again(working, tmp_path)
    assert (report.written, report.remark) == (3 * SYMBOLS, None)
    assert_as_good_as_a_rebuild(working, report, tmp_path)


@pytest.mark.parametrize("name", ["volume_rankings.parquet", "availability.duckdb"])
def test_ranks_are_taken_over_from_no_damaged_generation(
    working: duckdb.DuckDBPyConnection, tmp_path: Path, name: str
) -> None:
    spoil(tmp_path / "generations" / sample.generations(tmp_path)[0] / name)
    working.execute("UPDATE daily_volume SET quote_volume = 5 WHERE trades = 3")
    assert_as_good_as_a_rebuild(working, again(working, tmp_path), tmp_path)


def spoil(path: Path) -> None:
    """Flip a bit in the middle, where rows are."""
    with sample.writable(path).open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def test_damage_is_not_carried_over(working: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    spoil(tmp_path / "availability.duckdb")
    collect_again(working, 1)
    report = again(working, tmp_path)
    assert report.written == SYMBOLS * DAYS
    assert "availability.duckdb does not have its checksum" in (report.remark or "")
    assert_as_good_as_a_rebuild(working, report, tmp_path)


def test_what_no_checksum_tells_fails_the_audit_and_is_written_anew(
    working: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with duckdb.connect(sample.writable(tmp_path / "availability.duckdb")) as published:
        published.execute(
            "UPDATE availability_by_symbol SET file_size_bytes = 7 WHERE symbol = 'S40USDT' AND date = '2024-03-01'"
        )
    monkeypatch.setattr(rows, "is_intact", lambda *_: True)
    monkeypatch.setattr(write, "check_target", lambda *_: None)
    collect_again(working, 1)
    report = again(working, tmp_path)
    assert report.written == SYMBOLS * DAYS
    assert report.remark
    assert_as_good_as_a_rebuild(working, report, tmp_path)


@pytest.mark.parametrize(
    ("module", "name", "value", "reason"),
    [
        (rows, "SCHEMA_VERSION", rows.SCHEMA_VERSION + 1, f"has schema version {rows.SCHEMA_VERSION}"),
        (rows, "__version__", "99.0", "was published by version"),
    ],
)
def test_a_generation_of_another_form_is_not_continued(  # noqa: PLR0917
    working: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    value: object,
    reason: str,
) -> None:
    monkeypatch.setattr(module, name, value)
    report = again(working, tmp_path)
    assert (report.written, report.remark) == (SYMBOLS * DAYS, None)
    assert reason in (report.rebuilt or "")


def test_a_generation_that_is_gone_is_not_continued(
    working: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    [generation] = sample.generations(tmp_path)
    (tmp_path / "generations" / generation / "availability.duckdb").unlink()
    report = again(working, tmp_path)
    assert report.written == SYMBOLS * DAYS
    assert report.remark


def test_the_generation_before_is_only_read(working: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "generations" / sample.generations(tmp_path)[0] / "availability.duckdb"
    before = path.read_bytes()
    collect_again(working, 3)
    again(working, tmp_path)
    assert path.read_bytes() == before


def test_wrong_rows_are_refused_however_few_were_written(
    working: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    before = (tmp_path / "availability.duckdb").read_bytes()
    working.execute(
        "UPDATE availability SET status_code = 403 WHERE date = (SELECT max(date) FROM availability)"
    )
    with pytest.raises(PublicationError, match="60 rows contradict themselves"):
        again(working, tmp_path)
    assert (tmp_path / "availability.duckdb").read_bytes() == before


def test_a_restored_database_is_compared_and_not_believed(
    working: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """A day that is as it was, and one that is not: whatever runs happened in between."""
    source = tmp_path / "working" / "availability.duckdb"
    working.execute("CHECKPOINT")
    shutil.copy(source, tmp_path / "backup.duckdb")
    collect_again(working, 5)
    again(working, tmp_path)
    with connect(tmp_path / "backup.duckdb") as restored:
        collect_again(restored, 2)
        report = publish(restored, tmp_path / "availability.duckdb", "run-2")
        # The three days before are as in the backup again.
        assert report.written == 5 * SYMBOLS
        assert_as_good_as_a_rebuild(restored, report, tmp_path)

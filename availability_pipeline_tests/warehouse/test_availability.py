"""The dense table and its ledger: what is found is available, the rest of the grid is not, and each change is told.

Real DuckDB files. Random windows are written in random order and repeated, and the table must be what the archive
has, because Dagster may run partitions in any order and again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline.archive.files import FILES
from availability_pipeline.errors import StoreError
from availability_pipeline.warehouse import writes
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.writes import Block, Collection, WriteReport, write_collection

URL = "https://data.binance.vision"
NOW = dt.datetime.fromisoformat("2024-02-01 02:00")
STAMP = dt.datetime.fromisoformat("2024-01-16 08:12:33")
SYMBOLS = ("AUSDT", "BTCUSDT", "龙虾USDT")

Found = Mapping[tuple[int, str], tuple[int, dt.datetime]]
"""By number of the day and symbol: size and last-modified."""


def day(number: int) -> dt.date:
    return dt.date(2024, 1, 1) + dt.timedelta(days=number)


def table_of(found: Found) -> pa.Table:
    rows = [
        {"date": day(number), "symbol": symbol, "file_size_bytes": size, "last_modified": modified}
        for (number, symbol), (size, modified) in found.items()
    ]
    return pa.Table.from_pylist(rows, schema=FILES)


def collection(run_id: str = "run", now: dt.datetime = NOW, days: Sequence[int] = (0,)) -> Collection:
    return Collection(run_id, "list", day(min(days)), day(max(days)), NOW, now, 5, 4, 30)


def write(
    connection: duckdb.DuckDBPyConnection,
    found: Found,
    days: Sequence[int] = (0, 1),
    symbols: Sequence[str] = SYMBOLS,
    *,
    url: str = URL,
    **record: Any,
) -> WriteReport:
    block = Block([day(number) for number in days], symbols)
    return write_collection(connection, [block], table_of(found), url, collection(days=days, **record))


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "availability.duckdb") as opened:
        yield opened


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def ledger(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return rows(
        connection,
        "SELECT kind, date, symbol, old_file_size_bytes, new_file_size_bytes, old_last_modified, new_last_modified, "
        "observed_at, run_id FROM availability_changes ORDER BY observed_at, date, symbol",
    )


def test_every_day_and_contract_gets_a_row(connection: duckdb.DuckDBPyConnection) -> None:
    report = write(connection, {(1, "BTCUSDT"): (65_000, STAMP)})
    head = f"{URL}/data/futures/um/daily/klines"
    assert report == WriteReport(6, 1, 65_000, {})
    assert len(rows(connection, "FROM daily_availability")) == 6
    assert rows(connection, "FROM daily_availability WHERE symbol = 'BTCUSDT' ORDER BY date") == [
        (day(0), "BTCUSDT", False, None, None, f"{head}/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip", 404, NOW),
        (day(1), "BTCUSDT", True, 65_000, STAMP, f"{head}/BTCUSDT/1m/BTCUSDT-1m-2024-01-02.zip", 200, NOW),
    ]


def test_urls_are_percent_encoded(connection: duckdb.DuckDBPyConnection) -> None:
    write(connection, {}, days=[0], symbols=["龙虾USDT"])
    name = "%E9%BE%99%E8%99%BEUSDT"
    assert rows(connection, "SELECT url FROM daily_availability") == [
        (f"{URL}/data/futures/um/daily/klines/{name}/1m/{name}-1m-2024-01-01.zip",)
    ]


def test_files_outside_the_blocks_are_ignored(connection: duckdb.DuckDBPyConnection) -> None:
    found = {(0, "AUSDT"): (1, STAMP), (5, "AUSDT"): (2, STAMP), (0, "OTHERUSDT"): (3, STAMP)}
    assert write(connection, found).bytes == 1
    assert rows(connection, "SELECT count(*), count(*) FILTER (available) FROM daily_availability") == [
        (6, 1)
    ]


def test_days_need_not_follow_each_other(connection: duckdb.DuckDBPyConnection) -> None:
    write(connection, {(9, "AUSDT"): (1, STAMP)}, days=[9, 0, 4])
    assert writes.held_days(connection) == [day(0), day(4), day(9)]


def test_several_blocks_are_one_write(connection: duckdb.DuckDBPyConnection) -> None:
    blocks = [Block([day(5)], SYMBOLS), Block([day(0), day(1)], ["AUSDT"])]
    report = write_collection(connection, blocks, table_of({(0, "AUSDT"): (1, STAMP)}), URL, collection())
    assert (report.rows, report.available) == (5, 1)
    assert writes.symbols_with_rows(connection) == set(SYMBOLS)


def test_nothing_to_write_is_recorded_too(connection: duckdb.DuckDBPyConnection) -> None:
    assert write(connection, {}, symbols=[]) == WriteReport(0, 0, 0, {})
    assert len(rows(connection, "FROM collection_runs")) == 1


@pytest.mark.parametrize("rows_per_slice", [1, 2, 7, 10**6])
def test_slices_do_not_matter(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, rows_per_slice: int
) -> None:
    monkeypatch.setattr(writes, "ROWS_PER_SLICE", rows_per_slice)
    found = {(number, symbol): (number + 1, STAMP) for number in range(0, 20, 2) for symbol in SYMBOLS[:2]}
    size = 2 * sum(range(1, 20, 2))
    assert write(connection, found, days=range(20)) == WriteReport(60, 20, size, {})
    totals = "SELECT count(*), count(*) FILTER (available), sum(file_size_bytes) FROM daily_availability"
    assert rows(connection, totals) == [(60, 20, size)]


def test_the_first_observation_is_no_change(connection: duckdb.DuckDBPyConnection) -> None:
    write(connection, {(0, "AUSDT"): (1, STAMP)})
    assert ledger(connection) == []


LATER = NOW + dt.timedelta(days=1)
NEWER = STAMP + dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, (7, STAMP), "published"),
        ((7, STAMP), (8, STAMP), "republished"),
        ((7, STAMP), (7, NEWER), "republished"),
        ((7, NEWER), (7, STAMP), "republished"),
        ((7, STAMP), None, "withdrawn"),
    ],
)
def test_each_change_is_told_once(
    connection: duckdb.DuckDBPyConnection,
    before: tuple[int, dt.datetime] | None,
    after: tuple[int, dt.datetime] | None,
    kind: str,
) -> None:
    key = (0, "AUSDT")
    write(connection, {key: before} if before else {})
    for run in ("second", "third"):
        report = write(connection, {key: after} if after else {}, run_id=run, now=LATER)
        assert report.changes == ({kind: 1} if run == "second" else {})
    old, new = before or (None, None), after or (None, None)
    assert ledger(connection) == [(kind, day(0), "AUSDT", old[0], new[0], old[1], new[1], LATER, "second")]


def test_the_row_follows_a_change(connection: duckdb.DuckDBPyConnection) -> None:
    for found in ({}, {(0, "AUSDT"): (7, STAMP)}, {(0, "AUSDT"): (8, NEWER)}, {}):
        write(connection, found)
        [row] = rows(
            connection,
            "SELECT available, file_size_bytes, last_modified, status_code FROM daily_availability "
            "WHERE date = '2024-01-01' AND symbol = 'AUSDT'",
        )
        size, modified = found.get((0, "AUSDT"), (None, None))
        assert row == (bool(found), size, modified, 200 if found else 404)


def test_the_ledger_only_grows(connection: duckdb.DuckDBPyConnection) -> None:
    for number, size in enumerate([1, 2, 1, 2]):
        write(
            connection,
            {(0, "AUSDT"): (size, STAMP)},
            run_id=str(number),
            now=NOW + dt.timedelta(hours=number),
        )
    assert [(entry[3], entry[4], entry[8]) for entry in ledger(connection)] == [
        (1, 2, "1"),
        (2, 1, "2"),
        (1, 2, "3"),
    ]


def test_days_outside_a_write_stay_as_they_are(connection: duckdb.DuckDBPyConnection) -> None:
    write(connection, {(0, "AUSDT"): (7, STAMP), (1, "AUSDT"): (7, STAMP)})
    write(connection, {}, days=[1], now=LATER)
    one = "SELECT probe_timestamp, available FROM daily_availability WHERE symbol = 'AUSDT' ORDER BY date"
    assert rows(connection, one) == [(NOW, True), (LATER, False)]


def test_a_run_is_recorded_with_what_it_took(connection: duckdb.DuckDBPyConnection) -> None:
    write(connection, {})
    write(connection, {(0, "AUSDT"): (7, STAMP)}, run_id="second", now=LATER)
    assert rows(connection, "FROM collection_runs ORDER BY finished_at") == [
        ("run", "list", day(0), day(1), NOW, NOW, 5, 4, 30, 6, 0),
        ("second", "list", day(0), day(1), NOW, LATER, 5, 4, 30, 6, 1),
    ]


def test_a_row_is_written_once_whatever_comes_in(connection: duckdb.DuckDBPyConnection) -> None:
    twice = ([day(0), day(1), day(0)], ["BTCUSDT", "AUSDT", "BTCUSDT"])
    write_collection(
        connection, [Block(*twice), Block(*twice)], table_of({(0, "AUSDT"): (7, STAMP)}), URL, collection()
    )
    write(connection, {}, days=[1, 2], symbols=["AUSDT"])
    counted = "SELECT count(*), count(DISTINCT (date, symbol)) FROM daily_availability"
    assert rows(connection, counted) == [(5, 5)]


def test_a_file_that_is_there_twice_is_refused_and_nothing_is_written(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    files = pa.concat_tables([table_of({(0, "AUSDT"): (7, STAMP)}), table_of({(0, "AUSDT"): (8, STAMP)})])
    with pytest.raises(
        StoreError, match="the files of 2024-01-01 to 2024-01-01 have a contract and day twice"
    ):
        write_collection(connection, [Block([day(0)], SYMBOLS)], files, URL, collection())
    assert rows(connection, "FROM daily_availability") == rows(connection, "FROM collection_runs") == []


def with_checksum(connection: duckdb.DuckDBPyConnection, has_checksum: bool | None, **changed: Any) -> Any:
    """What is known of a file's checksum after it was found with or without one, or only probed."""
    row = {"date": day(0), "symbol": "BTCUSDT", "file_size_bytes": 7, "last_modified": STAMP, **changed}
    files = pa.Table.from_pylist([{**row, "has_checksum": has_checksum}], schema=FILES)
    write_collection(connection, [Block([day(0)], ["BTCUSDT", "AUSDT"])], files, URL, collection())
    known = "SELECT has_checksum FROM availability WHERE symbol = 'BTCUSDT'"
    return rows(connection, known)[0][0]


def test_what_a_listing_said_of_a_checksum_stays_known_while_the_file_is_the_same(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert with_checksum(connection, None) is None
    assert with_checksum(connection, False) is False
    assert with_checksum(connection, None) is False
    assert with_checksum(connection, True) is True
    assert with_checksum(connection, None) is True
    assert with_checksum(connection, None, file_size_bytes=8) is None
    assert rows(connection, "SELECT has_checksum FROM availability WHERE NOT available") == [(None,)]


def test_another_archive_url_is_that_of_every_row(connection: duckdb.DuckDBPyConnection) -> None:
    write(connection, {(0, "AUSDT"): (7, STAMP)}, days=range(5))
    write(connection, {}, days=[4], url="http://mirror")
    urls = rows(connection, "SELECT DISTINCT url[:20], count(*) FROM daily_availability GROUP BY 1")
    assert urls == [("http://mirror/data/f", 15)]
    assert ledger(connection) == []


@pytest.mark.parametrize(
    "files",
    [
        table_of({}).drop_columns(["symbol"]),
        table_of({(0, "AUSDT"): (1, STAMP)}).set_column(2, "file_size_bytes", pa.array(["many"])),
    ],
    ids=["a column too few", "no number"],
)
def test_a_write_that_fails_changes_nothing(connection: duckdb.DuckDBPyConnection, files: pa.Table) -> None:
    write(connection, {(0, "AUSDT"): (7, STAMP)}, days=range(3))
    before = rows(connection, "FROM daily_availability ORDER BY ALL")
    with pytest.raises(duckdb.Error):
        write_collection(
            connection, [Block([day(0), day(9)], SYMBOLS)], files, "http://mirror", collection("bad")
        )
    assert rows(connection, "FROM daily_availability ORDER BY ALL") == before
    assert len(rows(connection, "FROM collection_runs")) == 1
    assert rows(connection, "SELECT value FROM database_info WHERE key = 'archive_url'") == [(URL,)]


@pytest.mark.parametrize("step", ["_write_slice", "_changes_of", "_record"])
def test_a_write_that_breaks_off_at_any_step_changes_nothing(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write(connection, {(0, "AUSDT"): (7, STAMP)}, days=range(3))
    before = rows(connection, "FROM daily_availability ORDER BY ALL")
    right, calls = getattr(writes, step), []

    def breaks(*arguments: object) -> object:
        calls.append(1)
        result = right(*arguments)
        if len(calls) == (3 if step == "_write_slice" else 1):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(writes, "ROWS_PER_SLICE", 3)
    monkeypatch.setattr(writes, step, breaks)
    with pytest.raises(KeyboardInterrupt):
        write(connection, {}, days=range(9), now=LATER)
    assert rows(connection, "FROM daily_availability ORDER BY ALL") == before
    assert (len(rows(connection, "FROM collection_runs")), ledger(connection)) == (1, [])


def test_a_write_after_a_failed_one_succeeds_on_the_same_connection(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    with pytest.raises(duckdb.Error):
        write_collection(connection, [Block([day(0)], SYMBOLS)], pa.table({"x": [1]}), URL, collection("bad"))
    assert write(connection, {(0, "AUSDT"): (7, STAMP)}).available == 1


def test_a_write_on_a_closed_connection_is_an_error(tmp_path: Path) -> None:
    with connect(tmp_path / "a.duckdb") as connection:
        connection.close()
        with pytest.raises(duckdb.ConnectionException):
            write(connection, {})


windows = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(lambda ends: range(min(ends), max(ends) + 1))
facts = st.dictionaries(
    st.tuples(st.integers(0, 11), st.sampled_from(SYMBOLS)),
    st.tuples(st.integers(1, 10**9), st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2026, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=0)
    )),
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path_factory.mktemp("shared") / "availability.duckdb") as opened:
        yield opened


@given(facts, st.lists(windows, min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_windows_in_any_order_and_repeated_give_the_same_table(
    shared: duckdb.DuckDBPyConnection, found: Found, chosen: list[range]
) -> None:
    shared.execute("DELETE FROM availability")
    for window in [*chosen, chosen[0]]:
        write(shared, found, days=window)
    expected = sorted(
        (day(number), symbol, (number, symbol) in found, *found.get((number, symbol), (None, None)))
        for number in {number for window in chosen for number in window}
        for symbol in SYMBOLS
    )
    got = rows(
        shared,
        "SELECT date, symbol, available, file_size_bytes, last_modified FROM daily_availability ORDER BY ALL",
    )
    assert sorted(got) == expected
    assert rows(shared, "FROM availability_changes") == []


@given(st.lists(st.tuples(facts, windows), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_the_ledger_explains_every_difference(
    shared: duckdb.DuckDBPyConnection, observed: list[tuple[Found, range]]
) -> None:
    shared.execute("DELETE FROM availability")
    shared.execute("DELETE FROM availability_changes")
    seen: dict[tuple[int, str], tuple[int, dt.datetime] | None] = {}
    expected = []
    for found, window in observed:
        write(shared, found, days=window)
        for key in [(number, symbol) for number in window for symbol in SYMBOLS]:
            old, new = seen.get(key), found.get(key)
            if key in seen and old != new:
                kind = "published" if old is None else "withdrawn" if new is None else "republished"
                expected.append((day(key[0]), key[1], kind, old and old[0], new and new[0]))
            seen[key] = new
    entries = "SELECT date, symbol, kind, old_file_size_bytes, new_file_size_bytes FROM availability_changes"
    assert sorted(rows(shared, entries), key=str) == sorted(expected, key=str)


def test_what_the_table_holds_can_be_asked(connection: duckdb.DuckDBPyConnection) -> None:
    write(
        connection,
        {(0, "AUSDT"): (7, STAMP), (2, "AUSDT"): (7, STAMP), (1, "BTCUSDT"): (7, STAMP)},
        days=range(4),
    )
    assert writes.held_days(connection) == [day(number) for number in range(4)]
    assert writes.symbols_with_rows(connection) == set(SYMBOLS)
    assert writes.last_files_before(connection, day(2)) == {"AUSDT": day(0), "BTCUSDT": day(1)}
    assert writes.last_files_before(connection, day(0)) == {}


def test_a_day_is_complete_with_a_row_of_every_tracked_contract(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for symbol in SYMBOLS:
        connection.execute(
            "INSERT INTO symbols (symbol, contract, tracked, first_seen) VALUES (?, 'perpetual', ?, ?)",
            [symbol, symbol != "AUSDT", NOW],
        )
    write(connection, {}, days=[0, 1], symbols=["BTCUSDT"])
    assert writes.complete_days(connection) == [day(0), day(1)]
    write(connection, {}, days=[1, 2], symbols=["龙虾USDT", "AUSDT"])
    assert writes.complete_days(connection) == [day(1)]

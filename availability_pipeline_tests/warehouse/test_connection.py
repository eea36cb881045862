"""Opening the working database: made right, refused when it is not ours, never half made or left open.

Other processes are real ones, because a lock that this process holds does not keep itself out.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest

from availability_pipeline.errors import DatabaseInUse, StoreError
from availability_pipeline.warehouse import database as store
from availability_pipeline.warehouse import opening
from availability_pipeline.warehouse.database import check_usable, connect, read_info, transaction, write_info
from availability_pipeline_tests.conftest import run_python, start_python

COLUMNS = {
    "availability": [
        ("date", "DATE", "NO", None),
        ("symbol", "VARCHAR", "NO", None),
        ("available", "BOOLEAN", "NO", None),
        ("file_size_bytes", "BIGINT", "YES", None),
        ("last_modified", "TIMESTAMP", "YES", None),
        ("status_code", "INTEGER", "NO", None),
        ("probe_timestamp", "TIMESTAMP", "NO", "CURRENT_TIMESTAMP"),
        ("has_checksum", "BOOLEAN", "YES", None),
    ],
    "daily_availability": [
        ("date", "DATE", "YES", None),
        ("symbol", "VARCHAR", "YES", None),
        ("available", "BOOLEAN", "YES", None),
        ("file_size_bytes", "BIGINT", "YES", None),
        ("last_modified", "TIMESTAMP", "YES", None),
        ("url", "VARCHAR", "YES", None),
        ("status_code", "INTEGER", "YES", None),
        ("probe_timestamp", "TIMESTAMP", "YES", None),
    ],
    "symbols": [
        ("symbol", "VARCHAR", "NO", None),
        ("contract", "VARCHAR", "NO", None),
        ("quote", "VARCHAR", "YES", None),
        ("tracked", "BOOLEAN", "NO", None),
        ("first_seen", "TIMESTAMP", "NO", None),
        ("contract_type", "VARCHAR", "YES", None),
        ("status", "VARCHAR", "YES", None),
        ("onboard_date", "DATE", "YES", None),
        ("seen_at", "TIMESTAMP", "YES", None),
    ],
    "contract_history": [
        ("symbol", "VARCHAR", "NO", None),
        ("contract_type", "VARCHAR", "YES", None),
        ("status", "VARCHAR", "YES", None),
        ("onboard_date", "DATE", "YES", None),
        ("delivery_date", "TIMESTAMP", "YES", None),
        ("underlying_type", "VARCHAR", "YES", None),
        ("valid_from", "TIMESTAMP", "NO", None),
        ("valid_to", "TIMESTAMP", "NO", None),
    ],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "working" / "availability.duckdb"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOCK_TIMEOUT_SECONDS", 0.3)


def rows(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with connect(path, read_only=True) as connection:
        return connection.execute(sql, values).fetchall()


def made_by_others(path: Path, sql: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(path) as connection:
        connection.execute(sql)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_are_the_documented_ones(path: Path, name: str) -> None:
    with connect(path) as connection:
        found = connection.execute(
            "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_name = ? ORDER BY ordinal_position",
            [name],
        ).fetchall()
    assert [
        (*row[:3], row[3] and row[3].replace("get_current_timestamp()", "CURRENT_TIMESTAMP")) for row in found
    ] == (COLUMNS[name])


def test_there_are_the_documented_tables_and_no_secondary_index(path: Path) -> None:
    with connect(path):
        pass
    assert {name for (name,) in rows(path, "SELECT table_name FROM duckdb_tables()")} == {
        "availability", "symbols", "contract_history", "availability_changes", "collection_runs", "database_info",
            "daily_volume", "file_contents", "volume_files",
    }  # fmt: skip
    assert rows(path, "SELECT index_name FROM duckdb_indexes()") == []


DEFAULT_TIME = """
    import sys
    from pathlib import Path
    from availability_pipeline.warehouse.database import connect

    with connect(Path(sys.argv[1])) as connection:
        connection.execute(
            "INSERT INTO availability (date, symbol, available, status_code) "
            "VALUES ('2024-01-15', 'BTCUSDT', false, 404)"
        )
        print(connection.execute("SELECT probe_timestamp FROM daily_availability").fetchall()[0][0])
"""


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_default_time_is_utc_whatever_the_machines_time_zone(path: Path, zone: str) -> None:
    written = dt.datetime.fromisoformat(run_python(DEFAULT_TIME, path, TZ=zone).strip())
    assert abs(written - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=2)


def test_a_new_database_has_the_schema_version_and_is_opened_again(path: Path) -> None:
    for _ in range(2):
        with connect(path) as connection:
            assert read_info(connection, "schema_version") == str(store.SCHEMA_VERSION)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_facts_are_replaced(path: Path) -> None:
    with connect(path) as connection:
        write_info(connection, "k", "1")
        write_info(connection, "k", "2")
        assert [read_info(connection, name) for name in ("k", "other")] == ["2", None]


def test_reading_does_not_write(path: Path) -> None:
    with connect(path):
        pass
    before = path.read_bytes()
    with connect(path, read_only=True) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM symbols")
    assert path.read_bytes() == before


def test_reading_makes_no_database(path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no working database .*; `backfill` makes one"):
        rows(path, "SELECT 1")
    assert not path.parent.exists()


def test_a_newer_database_is_left_alone(path: Path) -> None:
    with connect(path) as connection:
        write_info(connection, "schema_version", str(store.SCHEMA_VERSION + 1))
    before = path.read_bytes()
    for read_only in (True, False):
        with (
            pytest.raises(StoreError, match=r"schema version 4, .* knows only 3; upgrade"),
            connect(path, read_only=read_only),
        ):
            pass
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    for content in (b"hello " * 5000, b"", b"x"):
        path.write_bytes(content)
        with (
            pytest.raises(StoreError, match=r"not a DuckDB database .*or move it away and run `backfill`"),
            connect(path),
        ):
            pass
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE prices (day DATE)",
        "CREATE TABLE database_info (n INTEGER)",
        "CREATE TABLE daily_availability (n INT)",
    ],
)
def test_a_database_of_something_else_is_left_alone(path: Path, sql: str) -> None:
    made_by_others(path, sql)
    before = path.read_bytes()
    with (
        pytest.raises(StoreError, match="is a DuckDB database of something else; set AVAILABILITY_DATA_DIR"),
        connect(path),
    ):
        pass
    assert path.read_bytes() == before


def test_a_database_without_a_table_becomes_ours(path: Path) -> None:
    made_by_others(path, "SELECT 1")
    with connect(path) as connection:
        assert read_info(connection, "schema_version") == str(store.SCHEMA_VERSION)


def test_a_damaged_database_is_called_one(path: Path) -> None:
    with connect(path):
        pass
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:4100] + b"\xff" + whole[4101:]):
        path.write_bytes(broken)
        with (
            pytest.raises(StoreError, match=f"^the working database {path} is damaged") as refusal,
            connect(path),
        ):
            pass
        assert "\n" not in str(refusal.value)


def test_a_directory_is_no_database(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be opened"), connect(path):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_path_that_speaks_of_locks_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "could not set a lock" / "blocks.duckdb"
    path.parent.mkdir()
    path.write_bytes(b"hello " * 5000)
    with pytest.raises(StoreError, match="not a DuckDB database"), connect(path):
        pass


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "working" / "availability.duckdb"
    for use in (lambda: check_usable(below), lambda: connect(below).__enter__()):
        with pytest.raises(
            StoreError, match=r"file/working cannot be made \(Not a directory\); set AVAILABILITY_DATA_DIR"
        ):
            use()


NOT_ALLOWED = """
    import os, sys
    from pathlib import Path
    from availability_pipeline.errors import StoreError
    from availability_pipeline.warehouse.database import check_usable, connect

    if os.geteuid() == 0:
        os.setuid(65534)  # root may write everywhere
    for use in (check_usable, lambda path: connect(path).__enter__()):
        try:
            use(Path(sys.argv[1]))
        except StoreError as error:
            print(error)
"""


def test_a_folder_that_cannot_be_written_to_is_named(open_folder: Path) -> None:
    path = open_folder / "working" / "availability.duckdb"
    with connect(path):
        pass
    path.chmod(0o444)
    path.parent.chmod(0o555)
    first, second = run_python(NOT_ALLOWED, path).splitlines()
    assert first == f"the folder {path.parent} cannot be written to; {opening.ELSEWHERE}"
    assert (
        second
        == f'the working database {path} cannot be opened (IO Error: Cannot open file "{path}": Permission '
        "denied); allow this user to use it, or choose another place"
    )


def test_a_folder_that_cannot_be_looked_into_is_named(open_folder: Path) -> None:
    path = open_folder / "working" / "availability.duckdb"
    with connect(path):
        pass
    path.parent.chmod(0o700 if os.geteuid() == 0 else 0)
    for line in run_python(NOT_ALLOWED, path).splitlines():
        assert line.endswith(opening.ELSEWHERE)
    path.parent.chmod(0o700)


def test_what_is_usable_is_made_and_checked(path: Path, tmp_path: Path) -> None:
    check_usable(path, tmp_path / "published" / "availability.duckdb")
    assert (path.parent.is_dir(), path.exists(), (tmp_path / "published").is_dir()) == (True, False, True)
    path.write_bytes(b"hello " * 5000)
    with pytest.raises(StoreError, match="not a DuckDB database"):
        check_usable(path)


HOLD = """
    import sys, time
    from pathlib import Path
    from availability_pipeline.warehouse.database import connect

    with connect(Path(sys.argv[1])):
        print("open", flush=True)
        time.sleep(float(sys.argv[2]))
"""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_that_another_process_has_open_is_in_use(path: Path, *, read_only: bool) -> None:
    with start_python(HOLD, path, 60) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with (
            pytest.raises(DatabaseInUse, match=f"{holder.pid}.*wait for it or end it"),
            connect(path, read_only=read_only),
        ):
            pass
        holder.kill()


def test_a_writer_waits_for_another_one(path: Path) -> None:
    with start_python(HOLD, path, 0.5) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with connect(path) as connection:
            assert read_info(connection, "schema_version") == str(store.SCHEMA_VERSION)


def test_a_writer_that_waits_longer_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_python(HOLD, path, 60) as holder:
        assert holder.stdout
        holder.stdout.readline()
        said: list[str] = []

        def hear(message: str, *values: object) -> None:
            said.append(message % values)
            holder.kill()

        monkeypatch.setattr(opening._log, "warning", hear)
        with connect(path):
            pass
    assert said == [f"Waiting for the process that has {path} open."]


def test_a_file_that_loses_its_name_while_it_is_opened_is_not_written_to(path: Path, tmp_path: Path) -> None:
    for name in (path, tmp_path / "new.duckdb"):
        with connect(name) as connection:
            write_info(connection, "name", name.name)
    opened = []

    def open_late() -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(path)
        if not opened:
            (tmp_path / "new.duckdb").replace(path)
        opened.append(connection)
        return connection

    with opening.when_free(path, open_late) as connection:
        assert read_info(connection, "name") == "new.duckdb"
    assert len(opened) == 2


@pytest.mark.usefixtures("impatient")
def test_this_process_can_have_it_open_as_well(path: Path) -> None:
    with (
        connect(path),
        pytest.raises(DatabaseInUse, match="different configuration"),
        connect(path, read_only=True),
    ):
        pass


def test_only_the_pipeline_can_look_into_the_folder_of_the_database(path: Path) -> None:
    with connect(path):
        pass
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_exception_leaves_the_file_closed(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), connect(path):
        raise ZeroDivisionError
    assert run_python(HOLD, path, 0) == "open\n"


def test_a_wrong_statement_is_no_broken_disk(path: Path) -> None:
    with connect(path) as connection, pytest.raises(duckdb.CatalogException):
        connection.execute("FROM nowhere")
    with pytest.raises(duckdb.CatalogException):
        rows(path, "FROM nowhere")


def write_and_fail(connection: duckdb.DuckDBPyConnection, failure: type[BaseException]) -> None:
    with transaction(connection):
        write_info(connection, "k", "1")
        raise failure


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_transaction_is_all_or_nothing(path: Path, failure: type[BaseException]) -> None:
    with connect(path) as connection:
        with pytest.raises(failure):
            write_and_fail(connection, failure)
        assert read_info(connection, "k") is None
        with transaction(connection):
            write_info(connection, "k", "2")
    assert rows(path, "SELECT value FROM database_info WHERE key = 'k'") == [("2",)]


def later_version(monkeypatch: pytest.MonkeyPatch, *steps: str) -> None:
    monkeypatch.setattr(store, "MIGRATIONS", dict(enumerate(steps, store.SCHEMA_VERSION)))
    monkeypatch.setattr(store, "SCHEMA_VERSION", store.SCHEMA_VERSION + len(steps))


def test_an_older_database_is_migrated_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(path):
        pass
    later_version(monkeypatch, "CREATE TABLE more (n INTEGER)", "INSERT INTO more VALUES (7)")
    with connect(path) as connection:
        assert read_info(connection, "schema_version") == "5"
    assert rows(path, "FROM more") == [(7,)]


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(path):
        pass
    later_version(monkeypatch, "CREATE TABLE more (n INTEGER)", "INSERT INTO nowhere VALUES (7)")
    with pytest.raises(duckdb.CatalogException), connect(path):
        pass
    monkeypatch.undo()
    assert rows(path, "SELECT value FROM database_info WHERE key = 'schema_version'") == [("3",)]
    assert rows(path, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'more'") == []


def test_readers_do_not_migrate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(path):
        pass
    before = path.read_bytes()
    later_version(monkeypatch, "CREATE TABLE more (n INTEGER)")
    with pytest.raises(StoreError, match="an older version of this program; run `publish`"):
        rows(path, "SELECT 1")
    assert path.read_bytes() == before


VERSION_1 = """
CREATE TABLE database_info (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
INSERT INTO database_info VALUES ('schema_version', '1'), ('archive_url', 'https://example.org');
CREATE TABLE daily_availability (
    date DATE NOT NULL, symbol VARCHAR NOT NULL, available BOOLEAN NOT NULL, file_size_bytes BIGINT,
    last_modified TIMESTAMP, url VARCHAR NOT NULL, status_code INTEGER NOT NULL,
    probe_timestamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (date, symbol)
);
INSERT INTO daily_availability
SELECT '2024-01-01', 'S' || n || 'USDT', true, n, '2024-01-02 07:00', 'stored', 200, '2024-01-02 08:00'
FROM range(9) AS numbers (n)
"""


def test_a_database_of_version_1_keeps_its_rows_and_gets_todays_form(path: Path) -> None:
    made_by_others(path, VERSION_1)
    form = "FROM (DESCRIBE {}) WHERE column_name <> 'key'"
    with connect(path) as connection, connect(path.with_name("new.duckdb")) as new:
        found = connection.execute("FROM daily_availability ORDER BY symbol").fetchall()
        for relation in ("availability", "daily_availability", "contract_history"):
            query = form.format(relation)
            assert connection.execute(query).fetchall() == new.execute(query).fetchall()
    assert [row[3] for row in found] == list(range(9))
    assert {row[5].split("/data/")[0] for row in found} == {"https://example.org"}

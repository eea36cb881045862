"""The write-ahead log: cut off, damaged, of another database, without a database, and what the messages advise then.

Every log is a real one, left by a process that was killed after one write and in the middle of the next.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from availability_pipeline.errors import AvailabilityError, StoreError
from availability_pipeline.warehouse.copies import snapshot, without_writers
from availability_pipeline.warehouse.database import connect, write_info
from availability_pipeline.warehouse.opening import logs
from availability_pipeline_tests.conftest import start_python

KILLED = """
    import os, signal, sys
    import duckdb

    connection = duckdb.connect(sys.argv[1], config={"checkpoint_threshold": "1TB"})
    rows = "SELECT 'k' || range, hash(range)::VARCHAR FROM range({}, {})"
    connection.execute("INSERT INTO database_info " + rows.format(0, 2000))
    connection.execute("INSERT INTO database_info " + rows.format(2000, 6000))
    connection.execute("BEGIN TRANSACTION")
    connection.execute("INSERT INTO database_info " + rows.format(6000, 9000))
    os.kill(os.getpid(), signal.SIGKILL)
"""

ROWS = (0, 2000, 6000)
"""What can be there: nothing of what was written, the first write, or both."""


class Left(NamedTuple):
    """What the process left."""

    database: bytes
    log: bytes


def left_in(folder: Path) -> Left:
    path = folder / "availability.duckdb"
    with connect(path):
        pass
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), path], check=False)
    return Left(path.read_bytes(), log_of(path).read_bytes())


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return left_in(tmp_path_factory.mktemp("left"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return left_in(tmp_path_factory.mktemp("other"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "working").mkdir()
    return tmp_path / "working" / "availability.duckdb"


def put(path: Path, database: bytes | None, log: bytes) -> None:
    if database is not None:
        path.write_bytes(database)
    log_of(path).write_bytes(log)


def written(path: Path) -> int:
    """How many of the rows are there; another one can be written."""
    with connect(path) as connection:
        write_info(connection, "another", "1")
    with connect(path, read_only=True) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM database_info WHERE key LIKE 'k%'").fetchall()
    return int(found)


def test_a_whole_log_is_taken_over(path: Path, left: Left) -> None:
    put(path, *left)
    assert written(path) == 6000
    assert logs(path) == []


@pytest.mark.parametrize("part", [0, 1, 7, 20, 53, 54, 90, 0.1, 0.3, 0.35, 0.5, 0.9, 0.999])
def test_a_log_that_was_cut_off_is_taken_over_as_far_as_it_goes(path: Path, left: Left, part: float) -> None:
    put(path, left.database, left.log[: int(part * len(left.log)) if 0 < part < 1 else int(part)])
    assert written(path) in ROWS
    assert logs(path) == []


@pytest.mark.parametrize("place", [8, 16, 50, 60, 70, 90, 200, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.99])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_log_is_named_and_moving_it_away_helps(
    path: Path, left: Left, place: float, *, read_only: bool
) -> None:
    broken = bytearray(left.log)
    broken[int(place * len(broken)) if 0 < place < 1 else int(place)] ^= 0xFF
    put(path, left.database, bytes(broken))
    try:
        with connect(path, read_only=read_only):
            pass
    except StoreError as error:
        assert (path.read_bytes(), log_of(path).read_bytes()) == (left.database, bytes(broken))
        check_advice(path, str(error))
    else:  # DuckDB takes the wrong length of an entry for the end of a log that was cut off
        assert place < 100
        assert written(path) in ROWS


def check_advice(path: Path, message: str) -> None:
    """Do what the message says, and nothing else."""
    before, _, after = message.partition(str(log_of(path)))
    assert before == "the write-ahead log "
    assert after.endswith("; move it away, then run `backfill`, which collects again what only the log had")
    assert "\n" not in message
    log_of(path).rename(path.parent.parent / "away")
    assert written(path) == 0


def test_a_log_of_another_database_is_named(path: Path, left: Left, other: Left) -> None:
    put(path, left.database, other.log)
    with pytest.raises(StoreError, match="WAL does not match database file") as raised, connect(path):
        pass
    check_advice(path, str(raised.value))


def test_a_log_that_cannot_be_read_is_not_called_damaged(path: Path, left: Left) -> None:
    path.write_bytes(left.database)
    log_of(path).mkdir()
    with (
        pytest.raises(StoreError, match=r"cannot be opened \(.*Is a directory\); correct the path"),
        connect(path),
    ):
        pass


@pytest.mark.parametrize("ending", [".wal", ".wal.checkpoint", ".wal.recovery"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda log: log,
        lambda log: log[:0],
        lambda log: log[:1000],
        lambda log: log[:0] + b"hello " * 500,
        lambda log: log[:99] + b"\xff" + log[99:],
    ],
    ids=["whole", "empty", "torn", "text", "damaged"],
)
def test_a_log_without_a_database_does_not_get_into_a_new_one(
    path: Path, left: Left, ending: str, spoil: Callable[[bytes], bytes]
) -> None:
    log = path.with_name(path.name + ending)
    log.write_bytes(spoil(left.log))
    assert written(path) == 0
    assert logs(path) == []
    kept = path.with_name(f"{log.name}.orphaned")
    assert kept.read_bytes() == spoil(left.log)
    assert {file.name for file in path.parent.iterdir()} == {path.name, kept.name}


MAKE = """
    import sys
    from pathlib import Path
    from availability_pipeline.warehouse.database import connect, write_info

    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(5):
        with connect(Path(sys.argv[1])) as connection:
            write_info(connection, f"k{sys.argv[2]}-{number}", "1")
"""


def test_processes_that_make_it_at_once_lose_nothing_of_each_other(path: Path, other: Left) -> None:
    put(path, None, other.log)
    makers = [start_python(MAKE, path, number, stdin=subprocess.PIPE) for number in range(4)]
    for maker in makers:
        assert maker.stdout
        maker.stdout.readline()
    for maker in makers:  # all begin before the first one is waited for
        assert maker.stdin
        maker.stdin.write("\n")
        maker.stdin.flush()
    ended = [maker.communicate(timeout=120) for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 4, ended
    assert written(path) == 20
    assert log_of(path).with_name(f"{log_of(path).name}.orphaned").read_bytes() == other.log


@pytest.mark.parametrize("log", [b"", b"hello " * 100, "header", "torn"])
@pytest.mark.parametrize("ending", [".wal", ".wal.checkpoint", ".wal.recovery"])
def test_a_log_with_nothing_in_it_keeps_nobody_from_copying(
    path: Path, left: Left, log: bytes | str, ending: str, tmp_path: Path
) -> None:
    content = {"header": left.log[:40], "torn": left.log[:1000]}[log] if isinstance(log, str) else log
    path.write_bytes(left.database)
    path.with_name(path.name + ending).write_bytes(content)
    snapshot(path, tmp_path / "copy.duckdb")
    assert written(tmp_path / "copy.duckdb") == 0
    with without_writers(path, tmp_path / "scratch") as connection:
        assert connection.execute("SELECT count(*) FROM daily_availability").fetchall() == [(0,)]
        assert logs(path) == []


def test_a_damaged_log_keeps_its_database_from_being_copied_and_is_named(
    path: Path, left: Left, other: Left, tmp_path: Path
) -> None:
    put(path, left.database, other.log)
    for copy in (
        lambda: snapshot(path, tmp_path / "copy.duckdb"),
        lambda: without_writers(path, tmp_path / "scratch").__enter__(),
    ):
        with pytest.raises(AvailabilityError, match=f"^the write-ahead log {log_of(path)} is damaged"):
            copy()
    assert (path.read_bytes(), log_of(path).read_bytes()) == (left.database, other.log)


def test_a_log_that_does_not_fit_does_not_cost_what_the_database_has(
    path: Path, other: Left, tmp_path: Path
) -> None:
    with connect(path) as connection:
        write_info(connection, "k1", "kept")
    shutil.copyfile(path, tmp_path / "before")
    log_of(path).write_bytes(other.log)
    with pytest.raises(StoreError), connect(path):
        pass
    assert path.read_bytes() == (tmp_path / "before").read_bytes()
    log_of(path).unlink()
    with duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("SELECT value FROM database_info WHERE key = 'k1'").fetchall() == [
            ("kept",)
        ]

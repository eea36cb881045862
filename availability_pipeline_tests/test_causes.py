"""What proves a file damaged, and what does not: real files and real refusals of the system, each in its own process.

The same fault is met by the working and by the published database, so both are tried with each.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.errors import (
    AvailabilityError,
    PublishedDatabaseError,
    StoreError,
    cause_of,
    is_damaged,
    known_cause,
)
from availability_pipeline.publishing.opening import check_target, open_published, reading
from availability_pipeline.warehouse import opening
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.conftest import run_python
from availability_pipeline_tests.publishing import sample

ADVICE = ("move", "restore", "delete", "remove")
"""What is advised only where a file was proved damaged."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with a few blocks."""
    path = tmp_path_factory.mktemp("whole") / "x.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS n, hash(range)::VARCHAR AS s FROM range(60000)")
    return path.read_bytes()


def read_all(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("ATTACH ? AS it (READ_ONLY, TYPE duckdb)", [str(path)])
        connection.execute("SELECT sum(hash(t)) FROM it.t AS t").fetchall()


def failure(path: Path, use: Callable[[Path], object] = read_all) -> duckdb.Error:
    with pytest.raises(duckdb.Error) as raised:
        use(path)
    return raised.value


@pytest.mark.parametrize("part", [0, 1, 11, 12, 100, 4096, 8192, 12288, 0.3, 0.6, -1, -5000])
def test_a_file_that_was_cut_off_is_damaged(whole: bytes, part: float, tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_bytes(whole[: int(part * len(whole)) if 0 < part < 1 else int(part)])
    assert is_damaged(tmp_path / "x.duckdb", failure(tmp_path / "x.duckdb"))


@pytest.mark.parametrize("place", [0, 8, 9, 12, 30, 100, 4096, 4110, 8192, 8210, 12288, 12300, 0.2, 0.5])
def test_a_flipped_byte_is_damage(whole: bytes, place: float, tmp_path: Path) -> None:
    broken = bytearray(whole)
    broken[int(place * len(whole)) if 0 < place < 1 else int(place)] ^= 0xFF
    (tmp_path / "x.duckdb").write_bytes(broken)
    assert is_damaged(tmp_path / "x.duckdb", failure(tmp_path / "x.duckdb"))


def test_a_file_that_shrinks_while_it_is_read_is_damaged(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    path.write_bytes(whole)

    def shrunk(path: Path) -> None:
        with duckdb.connect(path) as connection:
            os.truncate(path, 20_000)
            connection.execute("SELECT sum(hash(t)) FROM t").fetchall()

    assert is_damaged(path, failure(path, shrunk))


def test_damage_of_another_file_is_not_this_ones(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.duckdb").write_bytes(whole[:20_000])
    error = failure(tmp_path / "other.duckdb")
    assert is_damaged(tmp_path / "other.duckdb", error)
    assert not is_damaged(tmp_path / "x.duckdb", error)


def test_a_relative_path_and_a_link_are_the_same_file(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.duckdb").write_bytes(whole[:20_000])
    (tmp_path / "link.duckdb").symlink_to("x.duckdb")
    monkeypatch.chdir(tmp_path)
    for name in ("x.duckdb", "link.duckdb"):
        assert is_damaged(Path(name), failure(Path(name)))


def test_names_of_files_prove_nothing(tmp_path: Path) -> None:
    path = tmp_path / 'Corrupt "database file", closed, Could not set lock' / "x.duckdb"
    path.parent.mkdir()
    error = failure(path)
    assert not is_damaged(path, error)
    assert "database does not exist" in cause_of(error).reason


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room on the disk"),
        (errno.EDQUOT, "make room within the quota"),
        (errno.EMFILE, "raise the limit of open files (`ulimit -n`)"),
        (errno.EAGAIN, "raise the limit of processes (`ulimit -u`), or end some"),
        (errno.EIO, "check the disk"),
        (errno.EACCES, "allow this user to use it, or choose another place"),
    ],
)
def test_a_number_of_the_system_means_the_same_whoever_tells_it(number: int, remedy: str) -> None:
    said = os.strerror(number)
    passed_on = f'Async write failed: {{"exception_type":"IO","exception_message":"oh","errno":"{number}"}}'
    for error in (
        OSError(number, said),
        duckdb.IOException(f'IO Error: Could not write file "/a: b": {said}'),
        duckdb.TransactionException(f'Failed to commit: Cannot open file "/a": {said}\n\nand more'),
        duckdb.IOException(passed_on),
        ConnectionError(f"no connection (Caused by NewConnectionError('[Errno {number}] {said}'))"),
    ):
        assert cause_of(error).remedy == remedy
        assert cause_of(error).reason.endswith(said)
        assert "\n" not in cause_of(error).reason


def test_what_nothing_is_known_to_help_against_says_so() -> None:
    for error in (OSError("it is odd"), duckdb.InternalException("INTERNAL Error: it is odd")):
        assert cause_of(error).remedy == "try again, and report it if it stays"
        assert known_cause(error) is None


USE = """
    import os, resource, signal, sys
    from pathlib import Path
    from availability_pipeline.errors import AvailabilityError
    from availability_pipeline.publishing.opening import open_published, reading
    from availability_pipeline.publishing.opening import check_target
    from availability_pipeline.warehouse.database import connect

    working, published, fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if fault.startswith("files"):
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + int(fault[5:]), free + int(fault[5:])))
    elif fault == "user":
        os.setuid(65534)

    def write():
        with connect(working) as connection:
            if fault == "size":
                connection.execute("SELECT 1")
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
                connection.execute("CREATE TABLE more AS SELECT hash(range) AS n FROM range(500000)")
            if fault == "memory":
                connection.execute("SET memory_limit = '1MB'")
                connection.execute("CREATE TABLE more AS SELECT DISTINCT hash(range) AS n FROM range(500000)")

    def read():
        connection, _ = open_published(published)
        with connection, reading(published):
            if fault == "memory":
                connection.execute("SET memory_limit = '1MB'; SET temp_directory = ''")
                connection.execute("SELECT DISTINCT hash(range) AS n FROM range(500000)").fetchall()

    for use in (write, read, lambda: check_target(published, None)):
        try:
            use()
            print("fine")
        except AvailabilityError as error:
            print(error)
"""

REFUSED = {
    "files0": ("Too many open files", "raise the limit of open files (`ulimit -n`)"),
    "files1": ("Too many open files", "raise the limit of open files (`ulimit -n`)"),
    "user": ("Permission denied", "allow this user to use it, or choose another place"),
    "size": ("File too large", "raise the limit of the size of files (`ulimit -f`)"),
    "memory": ("Out of Memory Error: ", "make more memory available"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_the_system_refuses_is_no_damage(fault: str, open_folder: Path) -> None:
    if fault == "user" and os.geteuid() != 0:
        pytest.skip("becoming another user takes rights that this process does not have")
    published = sample.copy_published(open_folder).path
    working = open_folder / "working" / "availability.duckdb"
    before = working.read_bytes(), published.read_bytes()
    for path in (working, published):
        path.chmod(0o600)
    (open_folder / "working").chmod(0o755)
    reason, remedy = REFUSED[fault]
    said = [line for line in run_python(USE, working, published, fault).splitlines() if line != "fine"]
    assert said
    for line in said:
        assert reason in line
        assert remedy in line
        assert not any(word in line for word in ADVICE)
    assert (working.read_bytes(), published.read_bytes()) == before


def test_a_file_that_is_open_in_this_process_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LOCK_TIMEOUT_SECONDS", 0.1)
    published = sample.writable(sample.copy_published(tmp_path).path)
    working = tmp_path / "working" / "availability.duckdb"
    with duckdb.connect(published), duckdb.connect(working, read_only=True):
        for use in (lambda: open_published(published), lambda: connect(working).__enter__()):
            with pytest.raises(
                AvailabilityError, match=r"open in this process already .*; close it there"
            ) as e:
                use()
            assert not any(word in str(e.value) for word in ADVICE)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path),
    ],
)
def test_what_is_at_the_path_is_not_called_damaged_unseen(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "x.duckdb"
    make(path)
    for use in (lambda: open_published(path), lambda: connect(path).__enter__()):
        with pytest.raises(AvailabilityError) as raised:
            use()
        assert not any(word in str(raised.value) for word in ADVICE)


@pytest.mark.parametrize("statement", ["SELECT 'x'::INTEGER", "FROM nowhere", "SELECT", "SELECT error('no')"])
def test_a_wrong_statement_is_no_damage(tmp_path: Path, statement: str) -> None:
    connection, _ = open_published(path := sample.copy_published(tmp_path).path)
    with connection, pytest.raises(PublishedDatabaseError) as raised, reading(path):
        connection.execute(statement).fetchall()
    assert "cannot be read (" in str(raised.value)
    assert not any(word in str(raised.value) for word in ADVICE)


def test_a_database_of_another_program_is_none(tmp_path: Path) -> None:
    path = tmp_path / "working" / "availability.duckdb"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (n)")
        other.commit()
    with pytest.raises(StoreError, match="damaged or not a DuckDB database"), connect(path):
        pass


@pytest.mark.parametrize("place", [9, 5000, 12_300, 20_000])
def test_a_damaged_published_database_is_made_anew_as_its_message_advises(tmp_path: Path, place: int) -> None:
    path = sample.writable(sample.copy_published(tmp_path).path)
    broken = bytearray(path.read_bytes())
    broken[place] ^= 0xFF
    path.unlink()
    path.write_bytes(broken)
    with pytest.raises(
        PublishedDatabaseError, match=r"is damaged or not a DuckDB database .*; move it away, then run"
    ):
        read_published(path)
    path.rename(tmp_path / "away")
    sample.publish_sample(tmp_path)
    read_published(path)


def read_published(path: Path) -> None:
    connection, _ = open_published(path)
    with connection, reading(path):
        connection.execute("SELECT sum(hash(t)) FROM published.daily_availability AS t").fetchall()
        connection.execute("SELECT sum(hash(t)) FROM published.availability_changes AS t").fetchall()


def test_the_log_beside_a_published_database_is_named_and_not_needed(tmp_path: Path) -> None:
    path = sample.writable(sample.copy_published(tmp_path).path)
    log = other_log(tmp_path / "elsewhere", path)
    with pytest.raises(
        PublishedDatabaseError, match=f"the write-ahead log {log} of .*; move it away, readers need none"
    ):
        read_published(path)
    with pytest.raises(AvailabilityError, match=f"^{log}, a write-ahead log, .*; move it away$"):
        check_target(path, None)
    log.rename(tmp_path / "away")
    read_published(path)
    check_target(path, None)


WRITE_AND_DIE = """
    import os, signal, sys
    import duckdb

    connection = duckdb.connect(sys.argv[1], config={"checkpoint_threshold": "1TB"})
    connection.execute("CREATE TABLE t (n INTEGER)")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def other_log(folder: Path, path: Path) -> Path:
    """Put the log of another database beside a database."""
    folder.mkdir()
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "\n".join(line.strip() for line in WRITE_AND_DIE.splitlines()),
            folder / "x.duckdb",
        ],
        check=False,
    )
    assert dead.returncode < 0
    log = path.with_name(f"{path.name}.wal")
    shutil.copyfile(folder / "x.duckdb.wal", log)
    assert stat.S_ISREG(log.stat().st_mode)
    return log


@pytest.mark.parametrize(
    "error", [ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), socket.gaierror(2, "Name unknown")]
)
def test_numbers_that_are_not_the_systems_mean_nothing(error: OSError) -> None:
    assert known_cause(error) is None

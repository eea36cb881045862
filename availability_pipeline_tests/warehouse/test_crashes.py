"""A process that dies while it writes: the database opens again, with all of a write or nothing of it.

`kill -9`, at random moments, of a real process that makes the database and then writes it again and again; and a
disk that fills up, where the machine lets a small one be mounted.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from availability_pipeline.errors import StoreError
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.conftest import run_python, start_python

WRITER = """
    import datetime as dt, itertools, sys
    from pathlib import Path
    import pyarrow as pa
    from availability_pipeline.archive.files import FILES
    from availability_pipeline.warehouse import writes as availability
    from availability_pipeline.warehouse.writes import Block, Collection, write_collection
    from availability_pipeline.warehouse.database import connect

    path, days, writes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    availability.ROWS_PER_SLICE = 5_000
    now = dt.datetime(2024, 1, 1)
    dates = [dt.date(2020, 1, 1) + dt.timedelta(days=number) for number in range(days)]
    names = [f"A{number}USDT" for number in range(100)]
    print("ready", flush=True)
    for number in range(writes):
        with connect(path) as connection:
            [(before,)] = connection.execute("SELECT count(*) FROM collection_runs").fetchall()
            sizes, times = [before + 1] * (100 * days), [now] * (100 * days)
            columns = [dates * 100, [name for name in names for _ in dates], sizes, times, [True] * (100 * days)]
            files = pa.table(columns, schema=FILES)
            record = Collection(str(before), "list", dates[0], dates[-1], now, now, 0, 0, 0)
            write_collection(connection, [Block(dates, names)], files, "http://x", record)
        print(before + 1, flush=True)
"""

WHOLE = """
    SELECT count(*), count(DISTINCT (file_size_bytes, available)), coalesce(max(file_size_bytes), 0),
        (SELECT count(*) FROM collection_runs), (SELECT count(DISTINCT run_id) FROM availability_changes)
    FROM daily_availability
"""


def written(path: Path) -> int:
    """How many whole writes a database has; every row must be of the last one."""
    with connect(path) as connection:
        [(rows, versions, size, runs, ledger)] = connection.execute(WHOLE).fetchall()
    assert (rows, versions, size, ledger) == ((20_000, 1, runs, runs - 1) if runs else (0, 0, 0, 0))
    return int(runs)


def killed_after(path: Path, seconds: float, *, writes: int = 0) -> int:
    """Start the writer, kill it that long after it finished so many writes; how many it finished in all."""
    with start_python(WRITER, path, 200, 1000) as process:
        assert process.stdout
        for _ in range(1 + writes):
            process.stdout.readline()
        time.sleep(seconds)
        process.kill()
        return writes + len(process.stdout.read().splitlines())


def test_a_process_killed_at_any_moment_leaves_whole_writes(tmp_path: Path) -> None:
    path, moments, total = tmp_path / "working" / "availability.duckdb", random.Random(20240115), 0
    for writes in (1, 0, 0, 0, 0):
        reported = total + killed_after(path, moments.uniform(0.05, 0.9), writes=writes)
        total = written(path)
        # What was reported is there; one more may have been finished and not reported.
        assert total - reported in (0, 1)
    assert run_python(WRITER, path, 200, 1).split() == ["ready", str(total + 1)]


@pytest.mark.parametrize("milliseconds", [0, 15, 35])
def test_a_process_killed_while_it_makes_the_database_leaves_none_or_a_whole_one(
    tmp_path: Path, milliseconds: int
) -> None:
    path = tmp_path / "working" / "availability.duckdb"
    killed_after(path, milliseconds / 1000)
    assert written(path) >= 0


def test_a_full_disk_leaves_the_data_as_it_was(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * (3 * 2**20))  # room for ten writes or so
    path = small_disk / "availability.duckdb"
    run_python(WRITER, path, 200, 1)
    with start_python(WRITER, path, 200, 1000) as process:
        output, errors = process.communicate(timeout=600)
    assert "StoreError: the working database" in errors.splitlines()[-1]
    assert "No space left on device); make room on the disk; the data is unchanged" in errors.splitlines()[-1]
    assert written(path) == int(output.split()[-1].replace("ready", "1"))


def test_a_full_disk_makes_no_database(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * (7 * 2**20 - 8192))
    path = small_disk / "availability.duckdb"
    with pytest.raises(StoreError, match=f"working database {path} "), connect(path):
        pass
    assert [file.name for file in small_disk.iterdir()] == ["ballast"]

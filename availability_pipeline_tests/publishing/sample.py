"""A small working database made through the store, and the same content as plain Python to compare answers with.

No file of it follows from a rule that the code under test could share: days, sizes and times are drawn once, seeded.
"""

from __future__ import annotations

import atexit
import dataclasses
import datetime as dt
import functools
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.archive.files import FILES
from availability_pipeline.archive.names import parse_symbol
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.publishing.write import PublishReport, publish
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.writes import Block, Collection, write_collection, write_symbols

ARCHIVE_URL = "https://data.binance.vision"
FIRST_DAY = dt.date(2024, 1, 10)
DAYS = [FIRST_DAY + dt.timedelta(days=offset) for offset in range(70)]
LAST_DAY = DAYS[-1]
COLLECTED_AT = dt.datetime(2024, 4, 1, 2, 0, 3, 250_000)  # noqa: DTZ001 - as the database stores UTC

SPANS = {
    "BTCUSDT": (0, 70),
    "ETHUSDT": (20, 70),
    "LUNAUSDT": (5, 33),
    "NEWUSDT": (0, 0),
    "ICPUSDT_SETTLED": (0, 9),
    "币安人生USDT": (44, 70),
}
"""By tracked contract, the offsets of its first day with a file and of the day after its last."""

SAID = [
    ListedContract("PENDINGUSDT", "PERPETUAL", "PENDING_TRADING", dt.date(2024, 4, 9), None, "COIN"),
    ListedContract(
        "LUNABUSD",
        "CURRENT_QUARTER DELIVERING",
        "SETTLING",
        None,
        dt.datetime.fromisoformat("2024-03-11 09:00"),
        "INDEX",
    ),
]
"""What the exchange says: nothing of the contracts that have files."""

HOLES = {("ETHUSDT", 30), ("BTCUSDT", 69), ("币安人生USDT", 69)}
"""Days without a file between the two."""

UNTRACKED = "BTCBUSD"

Files = dict[tuple[dt.date, str], tuple[int, dt.datetime]]
"""Size and last-modified by day and contract, of every file there is."""


def sample_files(seed: int = 1) -> Files:
    """The files of the sample; another seed gives other sizes and times."""
    draw = random.Random(seed)
    return {
        (DAYS[offset], symbol): (
            draw.randrange(7_400, 68_000),
            dt.datetime.combine(DAYS[offset], dt.time())
            + dt.timedelta(days=1, seconds=draw.randrange(30_000)),
        )
        for symbol, (first, end) in SPANS.items()
        for offset in range(first, end)
        if (symbol, offset) not in HOLES
    }


def arrow(files: Files) -> pa.Table:
    rows = [
        {
            "date": day,
            "symbol": symbol,
            "file_size_bytes": size,
            "last_modified": modified,
            "has_checksum": True,
        }
        for (day, symbol), (size, modified) in files.items()
    ]
    return pa.Table.from_pylist(rows, FILES)


def expected_row(day: dt.date, symbol: str, files: Files) -> dict[str, Any]:
    """A row as DESIGN has it, from the plain content."""
    size, modified = files.get((day, symbol), (None, None))
    return {
        "date": day,
        "symbol": symbol,
        "available": size is not None,
        "file_size_bytes": size,
        "last_modified": modified,
        "url": DEFAULT_DATASET.file_url(ARCHIVE_URL, symbol, day),
        "status_code": 404 if size is None else 200,
        "probe_timestamp": COLLECTED_AT,
    }


def record(run_id: str) -> Collection:
    began = COLLECTED_AT - dt.timedelta(seconds=9)
    return Collection(run_id, "list", DAYS[0], LAST_DAY, began, COLLECTED_AT, 12, 10, 500)


def collect(connection: duckdb.DuckDBPyConnection, files: Files, run_id: str, days: list[dt.date]) -> None:
    """Write the files of some days as a run would."""
    names = [*SPANS, UNTRACKED]
    write_symbols(
        connection,
        [parse_symbol(DEFAULT_DATASET, name) for name in names],
        SAID,
        tracked=set(SPANS),
        now=COLLECTED_AT,
    )
    write_collection(connection, [Block(days, sorted(SPANS))], arrow(files), ARCHIVE_URL, record(run_id))


@contextmanager
def working_database(
    folder: Path, files: Files | None = None, days: list[dt.date] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The sample's working database in a folder, made if it is not there, open."""
    path = folder / "working" / "availability.duckdb"
    fresh = not path.exists()
    with connect(path) as connection:
        if fresh or files is not None:
            collect(connection, sample_files() if files is None else files, "run-1", days or DAYS)
        yield connection


def publish_sample(
    folder: Path, files: Files | None = None, days: list[dt.date] | None = None
) -> PublishReport:
    """Publish the sample into a folder, as `availability.duckdb`."""
    with working_database(folder, files, days) as connection:
        return publish(connection, folder / "availability.duckdb", "run-1")


def copy_published(folder: Path) -> PublishReport:
    """Have the sample published in a folder without publishing it there, which takes much longer than a copy."""
    made, report = _published_once()
    copy(made, folder)
    places = ("path", "folder", "manifest")
    return dataclasses.replace(
        report, **{name: folder / getattr(report, name).relative_to(made) for name in places}
    )


@functools.cache
def _published_once() -> tuple[Path, PublishReport]:
    """A folder of this process with the sample published."""
    folder = folder_of_process()
    return folder, publish_sample(folder)


def folder_of_process() -> Path:
    """A new folder that goes with this process."""
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place, "sample")


def copy(source: Path, target: Path) -> None:
    """Copy a folder into one that may be there; what is one file under two names stays that."""
    copied: dict[int, str] = {}

    def copied_once(file: str, to: str) -> None:
        node = os.stat(file).st_ino  # noqa: PTH116 - as copytree calls it
        if node in copied:
            os.link(copied[node], to)
        else:
            copied[node] = shutil.copy2(file, to)

    shutil.copytree(source, target, copy_function=copied_once, dirs_exist_ok=True)


def publish_incomplete(folder: Path, only: dict[dt.date, list[str]]) -> Path:
    """Publish the sample without its last days, which are collected afterwards for the contracts named only."""
    held = [day for day in DAYS if day not in only]
    with working_database(folder, sample_files(), held) as connection:
        for day, symbols in only.items():
            blocks = [Block([day], symbols)]
            write_collection(connection, blocks, arrow(sample_files()), ARCHIVE_URL, record("run-2"))
        return publish(connection, folder / "availability.duckdb", "run-2").path


def publish_run(folder: Path, run_id: str, seed: int | None = None) -> PublishReport:
    """Publish the working database of a folder as a run of this name, first with other files if a seed is given."""
    with working_database(folder, None if seed is None else sample_files(seed)) as connection:
        return publish(connection, folder / "availability.duckdb", run_id)


def total_bytes(seed: int = 1) -> int:
    """The size of all files of the sample."""
    return sum(size for size, _ in sample_files(seed).values())


def generations(folder: Path) -> list[str]:
    """The ids of the generations of a folder, oldest first."""
    return sorted(path.parent.name for path in (folder / "generations").glob("[0-9]*/manifest.json"))


def republish(folder: Path) -> Path:
    """Publish the working database of a folder as it is."""
    return publish_run(folder, "run-3").path


def writable(path: Path) -> Path:
    """The same file after its owner has opened it to writing, as nobody should."""
    path.chmod(0o644)
    return path

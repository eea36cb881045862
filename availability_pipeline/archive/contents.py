"""What is inside a file: the minutes of a day in which there was a trade.

Only a few files are ever asked for, to confirm what sizes say; nothing of them is kept.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import zipfile
import zlib
from collections.abc import Collection
from functools import partial
from threading import Lock

import requests

from availability_pipeline.archive.batch import Job, run_side_by_side
from availability_pipeline.archive.http import FAILURES, Session, problem
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.settings import Settings

MAX_BYTES = 4_000_000
"""What neither a file nor what is packed in it may exceed; a busy day has 70,000 bytes, unpacked 200,000."""

VOLUME = 5
"""The column with the traded quantity of the base asset."""

_UNREADABLE = (
    ValueError, IndexError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

File = tuple[str, dt.date]
"""A contract and a UTC day."""


def traded_minutes(settings: Settings, files: Collection[File]) -> dict[File, int]:
    """How many minutes of each file have a trade, with one GET per file.

    Args:
        settings: Where the files are served, and how many requests may be under way at once.
        files: Files that exist.

    Raises:
        ArchiveError: A file could not be had or read; ArchiveFailures if several could not.
        UsageError: The configuration of the network cannot be used.
    """
    minutes: dict[File, int] = {}
    lock = Lock()

    def look(session: requests.Session, file: File) -> list[Job]:
        found = _look(session, settings, *file)
        with lock:
            minutes[file] = found
        return []

    with Session(settings.connections, anonymous=True) as session:
        jobs: list[Job] = [partial(look, session, file) for file in files]
        run_side_by_side(jobs, threads=settings.connections, attempted=len(files))
    return minutes


def _look(session: requests.Session, settings: Settings, symbol: str, day: dt.date) -> int:
    url = settings.dataset.file_url(settings.archive_url, symbol, day)
    date = str(day)
    try:
        with session.get(
            url,
            timeout=settings.timeout_seconds,
            headers={"Accept-Encoding": "identity"},
            stream=True,
        ) as answer:
            body = answer.raw.read(MAX_BYTES + 1) if answer.status_code == 200 else b""
    except FAILURES as error:
        why = problem(error, settings.timeout_seconds)
        raise ArchiveUnreachable(why, url=url, symbol=symbol, date=date) from error
    if answer.status_code != 200:
        why = f"the archive answered HTTP {answer.status_code}"
        raise ArchiveRefused(why, url=url, symbol=symbol, date=date, status=answer.status_code)
    try:
        return _minutes(body)
    except _UNREADABLE as error:
        why = f"the file is no zip of klines ({error})"
        raise UnexpectedAnswer(why, url=url, symbol=symbol, date=date, status=200) from error


def _minutes(body: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        [entry] = packed.infolist()
        if entry.file_size > MAX_BYTES:
            raise ValueError(f"{entry.file_size:,} bytes are packed in it")
        text = packed.read(entry).decode("ascii")
    rows = list(csv.reader(io.StringIO(text)))
    if rows and not rows[0][0].isdigit():
        del rows[0]  # files of the later years begin with the names of the columns
    if not rows:
        raise ValueError("it is empty")
    return sum(float(row[VOLUME]) > 0 for row in rows)

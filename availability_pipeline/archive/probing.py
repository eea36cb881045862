"""Whether single files exist, by HEAD: one request per contract for one day.

200 and 404 are the only answers that say something about a file; everything else raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from threading import Lock
from typing import TypedDict

import pyarrow as pa

from availability_pipeline.archive.batch import Job, run_side_by_side
from availability_pipeline.archive.files import FILES
from availability_pipeline.archive.http import FAILURES, Session, problem
from availability_pipeline.archive.wire import Answer
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.settings import Settings

MAX_DIGITS = 16
"""Sizes with so many digits are no sizes."""


def probe_files(
    settings: Settings,
    symbols: Sequence[str],
    day: dt.date,
    *,
    on_probed: Callable[[int], None] = lambda _: None,
) -> pa.Table:
    """The files of one day, with exactly one HEAD per contract.

    Args:
        settings: Where the files are served, and how many requests may be under way at once.
        symbols: The contracts.
        day: The UTC day.
        on_probed: Called with 1 after each answer, from several threads.

    Returns:
        `files.FILES`: one row per contract whose file exists.

    Raises:
        ArchiveError: A contract's file could not be probed; ArchiveFailures if several could not.
        UsageError: The configuration of the network cannot be used.
    """
    rows: list[tuple[str, int, dt.datetime]] = []
    lock = Lock()

    def probe(session: Session, symbol: str) -> list[Job]:
        found = _probe(session, settings, symbol, day)
        if found:
            with lock:
                rows.append((symbol, *found))
        on_probed(1)
        return []

    with Session(settings.connections, anonymous=True) as session:
        jobs: list[Job] = [partial(probe, session, symbol) for symbol in symbols]
        run_side_by_side(jobs, threads=settings.connections, attempted=len(symbols))
    names, sizes, modified = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        [[day] * len(rows), names, sizes, modified, pa.nulls(len(rows), pa.bool_())], schema=FILES
    )


class About(TypedDict):
    """What a request was about, for errors."""

    url: str
    symbol: str | None
    date: str | None


def _probe(session: Session, settings: Settings, symbol: str, day: dt.date) -> tuple[int, dt.datetime] | None:
    """Size in bytes and last-modified in UTC, or None if there is no file."""
    url = settings.dataset.file_url(settings.archive_url, symbol, day)
    about: About = {"url": url, "symbol": symbol, "date": str(day)}
    try:
        answer = session.ask("HEAD", url, settings.timeout_seconds)
        answer.raw.drain_conn()  # or the connection could not be used again
    except FAILURES as error:
        raise ArchiveUnreachable(problem(error, settings.timeout_seconds), **about) from error
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        why = f"the archive answered HTTP {answer.status_code}"
        raise ArchiveRefused(why, status=answer.status_code, **about)
    return size_and_time(answer, about)


def size_and_time(answer: Answer, about: About) -> tuple[int, dt.datetime]:
    """Size in bytes and last-modified, naive in UTC, of an answer's file; raises UnexpectedAnswer if it is none."""
    try:
        return _size_and_time(answer.headers)
    except (ValueError, OverflowError) as error:
        why = f"the answer does not describe a file: {error}"
        raise UnexpectedAnswer(why, status=200, **about) from error


def _size_and_time(headers: Mapping[str, str]) -> tuple[int, dt.datetime]:
    if headers.get("content-type", "").lower().startswith("text/html"):
        raise ValueError("it is a web page")
    length, modified = headers.get("content-length"), headers.get("last-modified")
    if length is None or modified is None:
        raise ValueError("it has no Content-Length or no Last-Modified")
    if not (length.isascii() and length.isdigit() and len(length) < MAX_DIGITS):
        raise ValueError("its Content-Length is no number of bytes")
    if headers.get("content-encoding", "identity") != "identity":
        raise ValueError("it is compressed, so its Content-Length is not the file's")
    moment = parsedate_to_datetime(modified)
    if moment.utcoffset():
        raise ValueError("its Last-Modified is not in UTC")
    return int(length), moment.replace(tzinfo=None)

"""Whole files of the archive: a GET that is streamed to the disk and hashed, and the checksum beside the file.

What is fetched and where it goes is for the caller to decide; nothing is read into memory but one chunk.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from availability_pipeline.archive.contents import MAX_CHECKSUM_BYTES, fetch, parse_checksum
from availability_pipeline.archive.http import FAILURES, Session, problem
from availability_pipeline.archive.probing import About, size_and_time
from availability_pipeline.archive.wire import Answer
from availability_pipeline.catalogue.datasets import CHECKSUM
from availability_pipeline.errors import ArchiveError, ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch."""

    url: str
    """Percent-encoded."""
    symbol: str
    day: dt.date

    def about(self, ending: str = "") -> About:
        """What errors say of it, or of what has its name with an ending."""
        return {"url": self.url + ending, "symbol": self.symbol, "date": str(self.day)}


@dataclass(frozen=True)
class Received:
    """A file as a GET gave it."""

    bytes: int
    last_modified: dt.datetime
    """Naive, UTC."""
    sha256: str


class Transfer:
    """Fetches files over one session, from several threads.

    Args:
        session: A session without credentials.
        timeout_seconds: Seconds without a byte after which a request fails.
    """

    def __init__(self, session: Session, timeout_seconds: int) -> None:
        self._session, self._seconds = session, timeout_seconds

    def receive(self, file: RemoteFile, target: BinaryIO) -> Received:
        """Write the body of a file into an open one.

        Raises:
            ArchiveError: It did not arrive in whole, or is none.
            OSError: The target could not be written.
        """
        digest, about = hashlib.sha256(), file.about()
        with closing(self._get(about)) as answer:
            if answer.status_code != 200:
                raise _refused(answer, about)
            size, modified = size_and_time(answer, about)
            for chunk in self._body(answer, about):
                digest.update(chunk)
                target.write(chunk)
        return Received(size, modified, digest.hexdigest())

    def checksum(self, file: RemoteFile) -> str | None:
        """The SHA-256 that the archive gives for a file, lower case; None if it gives none.

        Raises:
            ArchiveError: The checksum could not be fetched, or is none.
        """
        about = file.about(CHECKSUM)
        found = fetch(self._session, timeout_seconds=self._seconds, limit=MAX_CHECKSUM_BYTES, **about)
        if found is None:
            return None
        sha256 = parse_checksum(found.body)
        if sha256 is None:
            why = "the checksum beside the file is none"
            raise UnexpectedAnswer(why, status=200, **about)
        return sha256

    def _get(self, about: About) -> Answer:
        try:
            return self._session.ask("GET", about["url"], self._seconds)
        except FAILURES as error:
            raise self._unreachable(error, about) from error

    def _body(self, answer: Answer, about: About) -> Iterator[bytes]:
        """The chunks of a body, which raise if it breaks off; errors of their consumer are not of the network."""
        try:
            yield from answer.raw.stream(CHUNK_BYTES)
        except FAILURES as error:
            raise self._unreachable(error, about) from error

    def _unreachable(self, error: Exception, about: About) -> ArchiveUnreachable:
        return ArchiveUnreachable(problem(error, self._seconds), **about)


def _refused(answer: Answer, about: About) -> ArchiveError:
    if answer.status_code == 404:
        why = "the archive does not have the file any more (HTTP 404); run `update` for its day to see what is there"
    else:
        why = f"the archive answered HTTP {answer.status_code}"
    return ArchiveRefused(why, status=answer.status_code, **about)

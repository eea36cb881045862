"""`download`: files of the archive into a folder, verified, side by side; only what is missing or was replaced since.

Which files there should be is what the published database says; what comes is what the archive has now.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from threading import Lock
from typing import cast

from availability_pipeline.archive.batch import Job, Progress, run_side_by_side
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.transfer import Received, RemoteFile, Transfer
from availability_pipeline.catalogue.columns import AvailabilityRow
from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.collecting.mirror import Entry, Mirror, has_time, hash_of, set_time
from availability_pipeline.collecting.urls import readable_size
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import (
    ArchiveError,
    ArchiveFailures,
    AvailabilityError,
    UnexpectedAnswer,
    cause_of,
)
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import counted

FILES_PER_BATCH = 1_000
"""Files whose requests are queued at once; after each batch the manifest may be saved."""

_FILES_AT_ONCE = 50_000
"""Files that are compared with the manifest at once, which bounds the memory of a whole history."""

_SHARE_PER_SAVE = 0.05
"""Share of the files that are fetched between two saves at least: a save writes the whole manifest."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file as the published database has it."""

    path: str
    """The archive's key."""
    symbol: str
    day: dt.date
    bytes: int
    last_modified: dt.datetime
    held: Entry | None = None
    """The manifest's entry of a file that is there and has to be compared with it."""
    is_there: bool = False
    """Whether a file is there that may be the right one, and has to be verified."""


@dataclass
class Report:
    """What a download did, counted while it does it."""

    folder: Path
    dry_run: bool = False
    missing: list[Wanted] = field(default_factory=list)
    """What has to be fetched or verified."""
    unchanged: int = 0
    """Files that were there, so nothing was asked."""
    verified: int = 0
    """Files that were there and not noted, or touched, and are right."""
    fetched: int = 0
    fetched_bytes: int = 0
    replaced: int = 0
    """Fetched files that are not the ones that were published, because the archive replaced them."""
    without_checksum: int = 0
    """Fetched or verified files without a checksum in the archive."""

    def __str__(self) -> str:
        parts = [self._first()]
        if self.unchanged:
            parts.append(f"{counted(self.unchanged, 'file')} there already")
        if self.verified:
            parts.append(f"{counted(self.verified, 'file')} verified again")
        if self.replaced:
            parts.append(
                f"{counted(self.replaced, 'file')} replaced by the archive since the data was published"
            )
        if self.without_checksum:
            parts.append(f"{counted(self.without_checksum, 'file')} without a checksum in the archive")
        return f"{self.folder}: {'; '.join(parts)}"

    def _first(self) -> str:
        if not self.dry_run:
            return f"{counted(self.fetched, 'file')} fetched, {readable_size(self.fetched_bytes)}"
        size = readable_size(sum(file.bytes for file in self.missing if not file.is_there))
        there = sum(file.is_there for file in self.missing)
        verify = f"; {counted(there, 'file')} to verify" if there else ""
        return f"{counted(len(self.missing) - there, 'file')} to fetch, {size}{verify}"


def compare(rows: Iterable[AvailabilityRow], mirror: Mirror, dataset: Dataset, report: Report) -> None:
    """Find out which files have to be fetched or verified, without a request.

    Args:
        rows: The files that there should be.
        mirror: The folder.
        dataset: What the files are of.
        report: Gets what was found out.

    Raises:
        AvailabilityError: The manifest cannot be read.
    """
    entries, wanted = mirror.entries(), (_wanted(row, dataset) for row in rows)
    while some := list(islice(wanted, _FILES_AT_ONCE)):
        held = entries(file.path for file in some)
        for file in some:
            found = _compared(file, held.get(file.path), f"{mirror.folder}/{file.path}")
            if found is None:
                report.unchanged += 1
            else:
                report.missing.append(found)


def _wanted(row: AvailabilityRow, dataset: Dataset) -> Wanted:
    # Every file has both.
    size, modified = cast("int", row["file_size_bytes"]), cast("dt.datetime", row["last_modified"])
    symbol = sys.intern(row["symbol"])
    return Wanted(dataset.key(symbol, row["date"]), symbol, row["date"], size, modified)


def _compared(file: Wanted, held: Entry | None, path: str) -> Wanted | None:
    """What has to be done for a file; None if nothing."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of a whole history, making paths takes longer than this
    except OSError:
        return file
    size, modified = file.bytes, file.last_modified
    if held is not None:
        # A file that is newer than what was published was replaced before it was fetched.
        if (held.last_modified, held.bytes) != (modified, size) and held.last_modified <= modified:
            return file
        size, modified = held.bytes, held.last_modified
    if status.st_size != size:
        return file
    if has_time(status, modified):
        return None if held else replace(file, is_there=True)
    return replace(file, is_there=True, held=held) if held else file


def fetch(
    mirror: Mirror, report: Report, settings: Settings, archive_url: str, progress: Progress | None = None
) -> None:
    """Fetch or verify what is missing; what has succeeded stays, whatever happens to the others.

    Args:
        mirror: The folder.
        report: What is missing; gets what was done.
        settings: Dataset, connections and time-out.
        archive_url: Where the files are served.
        progress: Gets one unit per file.

    Raises:
        ArchiveError: A file could not be fetched or is not what its checksum says; ArchiveFailures for several.
        AvailabilityError: The folder cannot be written to.
        UsageError: The configuration of the network cannot be used.
    """
    progress = progress or Progress()
    progress.stage("downloading", len(report.missing), "files")
    with (
        _translated(mirror.folder),
        mirror.scratch() as drafts,
        Session(settings.connections, anonymous=True) as session,
    ):
        download = _Download(mirror, report, drafts, Transfer(session, settings.timeout_seconds), progress)
        url = partial(settings.dataset.file_url, archive_url)
        failures: list[ArchiveError] = []
        try:
            for batch in _batches(report.missing):
                done = download.done
                jobs = [partial(download.one, file, url(file.symbol, file.day)) for file in batch]
                failures += _failures_of(jobs, settings.connections)
                if failures and download.done == done:
                    break  # the source is down
                if mirror.unsaved >= _SHARE_PER_SAVE * len(report.missing):
                    mirror.save()
        finally:
            mirror.save()
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ArchiveFailures(failures, len(report.missing), "files failed, and the others stay")


def _batches(files: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    return (files[start : start + FILES_PER_BATCH] for start in range(0, len(files), FILES_PER_BATCH))


def _failures_of(jobs: Sequence[Job], threads: int) -> Sequence[ArchiveError]:
    try:
        run_side_by_side(jobs, threads=threads, attempted=len(jobs))
    except ArchiveFailures as error:
        return error.failures
    except ArchiveError as error:
        return [error]
    return ()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """What goes wrong with the folder as an error that says so."""
    try:
        yield
    except OSError as error:
        cause = cause_of(error)
        raise AvailabilityError(
            f"the files could not be written to {folder} ({cause.reason}); those that are complete stay there; "
            f"{cause.remedy}, then run the same again"
        ) from error


class _Download:
    """The files of one download, fetched from several threads."""

    def __init__(
        self, mirror: Mirror, report: Report, drafts: Path, transfer: Transfer, progress: Progress
    ) -> None:
        self.done = 0
        self._mirror, self._report, self._drafts = mirror, report, drafts
        self._transfer, self._progress = transfer, progress
        self._lock, self._numbers = Lock(), count(1)

    def one(self, file: Wanted, url: str) -> list[Job]:
        """Verify or fetch a file."""
        remote = RemoteFile(url, file.symbol, file.day)
        entry = self._verified(file, remote) if file.is_there else None
        is_fetched = entry is None
        if entry is None:
            entry = self._fetched(file, remote)
        with self._lock:
            self._note(file, entry, is_fetched=is_fetched)
        self._progress.advance()
        return []

    def _note(self, file: Wanted, entry: Entry, *, is_fetched: bool) -> None:
        self.done += 1
        self._mirror.add(entry)
        self._report.without_checksum += entry.checksum == "none"
        if is_fetched:
            self._report.fetched += 1
            self._report.fetched_bytes += entry.bytes
            self._report.replaced += (entry.bytes, entry.last_modified) != (file.bytes, file.last_modified)
        else:
            self._report.verified += 1

    def _verified(self, file: Wanted, remote: RemoteFile) -> Entry | None:
        """The entry of a file that is there, if it is the right one: as the manifest says, or else the archive."""
        path = self._mirror.folder / file.path
        sha256 = hash_of(path)
        if file.held is not None:
            if sha256 != file.held.sha256:
                return None
            set_time(path, file.held.last_modified)
            return file.held
        expected = self._transfer.checksum(remote)
        if expected not in (None, sha256):
            return None
        return _entry(file, Received(file.bytes, file.last_modified, sha256), expected)

    def _fetched(self, file: Wanted, remote: RemoteFile) -> Entry:
        draft = self._drafts / f"{next(self._numbers)}.zip"
        try:
            with draft.open("wb") as target:
                received = self._transfer.receive(remote, target)
            if received.last_modified < file.last_modified:
                why = (
                    f"the archive gave the version of {received.last_modified} UTC, older than the published one of "
                    f"{file.last_modified}; a cache on the way may be old, so try again later"
                )
                raise UnexpectedAnswer(why, status=200, **remote.about())
            expected = self._transfer.checksum(remote)
            if expected not in (None, received.sha256):
                why = f"the file has the SHA-256 {received.sha256}, and its checksum says {expected}; it was not kept"
                raise UnexpectedAnswer(why, status=200, **remote.about())
            self._mirror.put(draft, file.path, received.last_modified)
        finally:
            draft.unlink(missing_ok=True)
        return _entry(file, received, expected)


def _entry(file: Wanted, received: Received, checksum: str | None) -> Entry:
    said = "none" if checksum is None else "agrees"
    return Entry(
        file.path,
        file.symbol,
        file.day,
        received.bytes,
        received.last_modified,
        received.sha256,
        said,
        utc_now(),
    )

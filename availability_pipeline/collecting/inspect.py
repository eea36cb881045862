"""Inspection of 1-minute files: whether they are whole, and what they add up to.

Only versions of files that were never inspected are downloaded. What was found is written slice by slice, so that
memory is bounded and an interrupted inspection goes on where it ended.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Lock

import pyarrow as pa

from availability_pipeline.archive.batch import Job, Progress, run_side_by_side
from availability_pipeline.archive.contents import (
    MAX_CHECKSUM_BYTES,
    MINUTES,
    MinuteFile,
    fetch,
    inspect_minutes,
)
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.klines import Fault
from availability_pipeline.catalogue import CHECKSUM
from availability_pipeline.dates import utc_now
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.contents import CONTENTS, FileVersion

FILES_PER_SLICE = 2_000
"""Files whose results are written together; each takes two requests and some 45,000 bytes."""

HARMLESS = (None, Fault.DUPLICATE_ROWS, Fault.UNORDERED_ROWS)
"""What does not make a file unreadable: its minutes can be told all the same."""


@dataclass
class Inspection:
    """What an inspection did."""

    files: int = 0
    requests: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    """Files that the archive did not have any more."""
    problem: str | None = None
    """Why files were left out, if any were."""


def inspect_files(
    files: Sequence[FileVersion],
    settings: Settings,
    progress: Progress,
    write: Callable[[pa.Table], object],
) -> Inspection:
    """Download and inspect files, and write what was found.

    Args:
        files: The files.
        settings: Where they are served, and how many requests may be under way at once.
        progress: Told of each file.
        write: Writes a slice of rows, as `warehouse.contents.CONTENTS`.

    Raises:
        ArchiveError: A request failed; ArchiveFailures for several. What was found before, and in other files of the
            slice, is written.
    """
    progress.stage("inspecting files", len(files), "files")
    done = Inspection()
    with Session(settings.connections, anonymous=True) as session:
        for part in _slices(files):
            worker = _Inspector(settings, session, progress)
            try:
                worker.run(part)
            finally:
                if worker.rows:
                    write(pa.Table.from_pylist(worker.rows, CONTENTS))
                _count(done, worker)
    return done


def _slices(files: Sequence[FileVersion]) -> Iterator[Sequence[FileVersion]]:
    return (files[start : start + FILES_PER_SLICE] for start in range(0, len(files), FILES_PER_SLICE))


def _count(done: Inspection, worker: _Inspector) -> None:
    done.files += len(worker.rows)
    done.requests += worker.requests
    done.gone += worker.gone
    for row in worker.rows:
        verdict = str(row["verdict"])
        done.verdicts[verdict] = done.verdicts.get(verdict, 0) + 1


@dataclass
class _Inspector:
    """The inspection of one slice; `_inspect` runs in several threads."""

    settings: Settings
    session: Session
    progress: Progress
    rows: list[dict[str, object]] = field(default_factory=list)
    requests: int = 0
    gone: int = 0
    _lock: Lock = field(default_factory=Lock)

    def run(self, files: Sequence[FileVersion]) -> None:
        """Inspect files side by side; raises ArchiveError at the end."""
        jobs: list[Job] = [partial(self._inspect, file) for file in files]
        run_side_by_side(jobs, threads=self.settings.connections, attempted=len(files))

    def _inspect(self, file: FileVersion) -> list[Job]:
        dataset = self.settings.dataset
        url = dataset.file_url(self.settings.archive_url, file.symbol, file.date)
        get = partial(
            fetch,
            self.session,
            timeout_seconds=self.settings.timeout_seconds,
            symbol=file.symbol,
            date=str(file.date),
        )
        fetched = get(url)
        checksum = None
        if fetched is not None and file.has_checksum is not False:
            answer = get(url + CHECKSUM, limit=MAX_CHECKSUM_BYTES)
            checksum = answer.body if answer else None
        found = (
            inspect_minutes(fetched.body, dataset.file_name(file.symbol, file.date), file.date, checksum)
            if fetched
            else None
        )
        with self._lock:
            self.requests += 1 + (fetched is not None and file.has_checksum is not False)
            if fetched is None or found is None:
                self.gone += 1
            else:
                self.rows.append(row_of(file, fetched.size, fetched.last_modified, found))
        self.progress.advance()
        return []


def row_of(file: FileVersion, size: int, last_modified: dt.datetime, found: MinuteFile) -> dict[str, object]:
    """What was found in the version of a file that was downloaded, as a row of `file_contents`."""
    facts = asdict(found)
    del facts["fault"]
    return {
        "date": file.date,
        "symbol": file.symbol,
        "file_size_bytes": size,
        "last_modified": last_modified,
        **facts,
        "verdict": verdict_of(found),
        "inspected_at": utc_now(),
    }


def verdict_of(found: MinuteFile) -> str:
    """The verdict as far as the file alone tells: nothing of first and last days."""
    if found.checksum == "disagrees":
        return "bad_checksum"
    if found.fault not in HARMLESS or found.first_minute is None or found.last_minute is None:
        return "unreadable"
    if not found.missing_minutes:
        return "complete"
    whole_until_end = found.first_minute == 0 and found.missing_minutes == MINUTES - 1 - found.last_minute
    return "truncated" if whole_until_end else "gaps"

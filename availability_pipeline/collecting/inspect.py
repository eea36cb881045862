"""Inspection of 1-minute files: whether they are whole, and what they add up to.

Only versions of files that were never inspected, or disagreed with their checksum, are downloaded. What was found is
written slice by slice, so that memory is bounded and an interrupted inspection goes on where it ended. With
`AVAILABILITY_MIRROR_DIR`, what was downloaded is kept there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock

import pyarrow as pa

from availability_pipeline.archive.batch import Job, Progress, run_side_by_side
from availability_pipeline.archive.contents import (
    MAX_CHECKSUM_BYTES,
    MINUTES,
    Fetched,
    MinuteFile,
    fetch,
    inspect_minutes,
)
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.klines import Fault
from availability_pipeline.catalogue.datasets import CHECKSUM
from availability_pipeline.collecting.mirror import Entry, Mirror
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import ArchiveError, ArchiveFailures, AvailabilityError, cause_of
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.contents import CONTENTS, FileVersion

FILES_PER_SLICE = 2_000
"""Files whose results are written together; each takes two requests and some 45,000 bytes."""

HARMLESS = (None, Fault.DUPLICATE_ROWS, Fault.UNORDERED_ROWS)
"""What does not make a file unreadable: its minutes can be told all the same."""


@dataclass
class Inspection:
    """What an inspection did, counted while it does it."""

    files: int = 0
    requests: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    """Files that the archive did not have any more."""
    kept: int = 0
    """Files that were put into the mirror."""
    mirror_problem: str | None = None
    """Why files were not put there, if any were not."""


def inspect_files(
    files: pa.Table,
    settings: Settings,
    progress: Progress,
    write: Callable[[pa.Table], object],
    done: Inspection,
) -> None:
    """Download and inspect files, and write what was found.

    Args:
        files: The files; the columns are the fields of `FileVersion`.
        settings: Where they are served, how many requests may be under way at once, and the mirror.
        progress: Told of each file.
        write: Writes a slice of rows, as `warehouse.contents.CONTENTS`.
        done: Gets what was done.

    Raises:
        ArchiveError: A request failed; ArchiveFailures for several. What was found in the other files is written; if no
            file of a slice could be had, the slices after it are left out.
    """
    progress.stage("inspecting files", files.num_rows, "files")
    failures: list[ArchiveError] = []
    with Session(settings.connections, anonymous=True) as session, ExitStack() as stack:
        keeper = _Keeper(settings.mirror_dir, stack)
        for part in _slices(files):
            worker = _Inspector(settings, session, progress, keeper)
            try:
                failures += worker.run(part)
            finally:
                if worker.rows:
                    write(pa.Table.from_pylist(worker.rows, CONTENTS))
                keeper.save()
                _count(done, worker)
            if failures and not worker.rows and not worker.gone:
                break  # the source is down
    if len(failures) == 1:
        raise failures[0]
    if failures:
        outcome = "files could not be inspected; what was found in others is written"
        raise ArchiveFailures(failures, files.num_rows, outcome)


def _slices(files: pa.Table) -> Iterator[Sequence[FileVersion]]:
    for start in range(0, files.num_rows, FILES_PER_SLICE):
        columns = (column.to_pylist() for column in files.slice(start, FILES_PER_SLICE).columns)
        yield [FileVersion(*row) for row in zip(*columns, strict=True)]


class _Keeper:
    """Puts downloaded files into the mirror, if there is one, until that fails.

    Args:
        folder: The mirror; None for none.
        stack: Keeps its folder for drafts until the end.
    """

    def __init__(self, folder: Path | None, stack: ExitStack) -> None:
        self.problem: str | None = None
        self.kept = 0
        self._mirror: Mirror | None = None
        self._folder, self._numbers = folder, count(1)
        if folder is None:
            return
        try:
            self._mirror = Mirror(folder)
            self._drafts = stack.enter_context(self._mirror.scratch())
        except (OSError, AvailabilityError) as error:
            self._give_up(error)

    def keep(self, file: FileVersion, path: str, fetched: Fetched, checksum: str) -> None:
        """Put a file there unless it disagrees with its checksum; may be called from several threads."""
        mirror = self._mirror
        if mirror is None or checksum == "disagrees":
            return
        sha256 = hashlib.sha256(fetched.body).hexdigest()
        modified = fetched.last_modified
        entry = Entry(path, file.symbol, file.date, fetched.size, modified, sha256, checksum, utc_now())
        draft = self._drafts / f"{next(self._numbers)}.zip"
        try:
            draft.write_bytes(fetched.body)
            mirror.put(draft, path, modified)
        except OSError as error:
            self._give_up(error)
        else:
            mirror.add(entry)

    def save(self) -> None:
        """Write the manifest of what was put there."""
        if self._mirror is not None:
            unsaved = self._mirror.unsaved
            try:
                self._mirror.save()
                self.kept += unsaved
            except (OSError, AvailabilityError) as error:
                self._give_up(error)

    def _give_up(self, error: OSError | AvailabilityError) -> None:
        self._mirror = None
        why = cause_of(error) if isinstance(error, OSError) else None
        self.problem = (
            f"{self._folder} cannot be written to ({why.reason}); {why.remedy}" if why else str(error)
        )


def _count(done: Inspection, worker: _Inspector) -> None:
    done.files += len(worker.rows)
    done.requests += worker.requests
    done.gone += worker.gone
    done.kept, done.mirror_problem = worker.keeper.kept, worker.keeper.problem
    for row in worker.rows:
        verdict = str(row["verdict"])
        done.verdicts[verdict] = done.verdicts.get(verdict, 0) + 1


@dataclass
class _Inspector:
    """The inspection of one slice; `_inspect` runs in several threads."""

    settings: Settings
    session: Session
    progress: Progress
    keeper: _Keeper
    rows: list[dict[str, object]] = field(default_factory=list)
    requests: int = 0
    gone: int = 0
    _lock: Lock = field(default_factory=Lock)

    def run(self, files: Sequence[FileVersion]) -> Sequence[ArchiveError]:
        """Inspect files side by side; gives the failures."""
        jobs: list[Job] = [partial(self._inspect, file) for file in files]
        try:
            run_side_by_side(jobs, threads=self.settings.connections, attempted=len(files))
        except ArchiveFailures as error:
            return error.failures
        except ArchiveError as error:
            return [error]
        return ()

    def _inspect(self, file: FileVersion) -> list[Job]:
        dataset = self.settings.dataset
        get = partial(
            fetch,
            self.session,
            timeout_seconds=self.settings.timeout_seconds,
            symbol=file.symbol,
            date=str(file.date),
        )
        url = dataset.file_url(self.settings.archive_url, file.symbol, file.date)
        fetched, checksum = get(url), None
        asks_checksum = fetched is not None and file.has_checksum is not False
        if asks_checksum:
            checksum = get(url + CHECKSUM, limit=MAX_CHECKSUM_BYTES)
        row = self._looked_into(file, fetched, checksum and checksum.body) if fetched else None
        with self._lock:
            self.requests += 1 + asks_checksum
            if row is None:
                self.gone += 1
            else:
                self.rows.append(row)
        self.progress.advance()
        return []

    def _looked_into(self, file: FileVersion, fetched: Fetched, checksum: bytes | None) -> dict[str, object]:
        dataset = self.settings.dataset
        name = dataset.file_name(file.symbol, file.date)
        found = inspect_minutes(fetched.body, name, file.date, checksum)
        self.keeper.keep(file, dataset.key(file.symbol, file.date), fetched, found.checksum)
        return row_of(file, fetched.size, fetched.last_modified, found)


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

"""Looking after the working database: backups, made while the pipeline runs and restored whole, and making it compact.

Each leaves everything as it was, or does all of its work. How a copy is taken and put in place is `store.copies`'
business, what a backup is as a file that of `backup_file`. The published database is not touched.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb

from availability_pipeline.backup_file import Facts, read_facts, seal, verify
from availability_pipeline.days import utc_now
from availability_pipeline.drafts import draft_of, sync
from availability_pipeline.errors import AvailabilityError, BackupError, StoreError, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.simulated import check_kind, mark_simulated
from availability_pipeline.store.availability import complete_days
from availability_pipeline.store.connection import SCHEMA_VERSION, check_version, connect, read_info
from availability_pipeline.store.copies import (
    attach,
    copy_to,
    log_of,
    put,
    replace,
    snapshot,
    without_writers,
)
from availability_pipeline.store.opening import exists, first_line, make_folder
from availability_pipeline.version import __version__

LEAST_GAIN = 0.1
"""The part of the working database's size that must be gained for a compact copy to replace it."""

_NAME = re.compile(r"availability-(\d{8}T\d{6}Z)(?:-(\d+))?\.duckdb")


@dataclass(frozen=True)
class Backup:
    """A backup that was made."""

    path: Path
    facts: Facts
    bytes: int
    seconds: float
    removed: tuple[Path, ...]
    """Older backups that are gone now."""


@dataclass(frozen=True)
class Restored:
    """What a restore did."""

    backup: Path
    facts: Facts
    path: Path
    """The working database."""
    former: Path | None
    """Where the working database from before is; None if there was none."""
    seconds: float


@dataclass(frozen=True)
class Compaction:
    """What making it compact came to."""

    path: Path
    before: int
    """Size of the working database, bytes."""
    after: int
    """Size of a compact copy, bytes."""
    replaced: bool
    """Whether the copy was worth it and is the working database now."""
    seconds: float


def backup(settings: Settings, folder: Path, keep: int | None = None) -> Backup:
    """Write a copy of the working database, as it is between two writes, into a file of its own.

    Args:
        settings: Where the working database is.
        folder: Where the file goes; made if it is missing.
        keep: How many backups are kept there, this one included; all if None.

    Raises:
        UsageError: The folder is none and cannot be made.
        StoreError: The working database is missing, in use, or something else.
        BackupError: It could not be copied; there is no new backup.
    """
    began = time.perf_counter()
    if not exists(settings.working_path):
        raise StoreError(f"there is no working database {settings.working_path}; `backfill` makes one")
    folder = _folder(folder)
    failed = f"{settings.working_path} could not be backed up to {folder}"
    with _told(failed, "no backup was made"), draft_of(folder / "backup") as draft:
        facts = _write(settings, draft)
        path = _name(draft, folder, facts)
        sync(folder)
    removed = tuple(_prune(path, facts, keep)) if keep else ()
    return Backup(path, facts, path.stat().st_size, time.perf_counter() - began, removed)


def _folder(folder: Path) -> Path:
    folder = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name another")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder} cannot be made, because {folder.parent} is no folder; make that first")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}); name another folder") from error
    return folder


def _write(settings: Settings, draft: Path) -> Facts:
    taken = draft.with_name(f"{draft.name}.taken")
    snapshot(settings.working_path, taken)
    moment = utc_now()
    with closing(attach(taken, draft)) as connection:
        check_version(connection, settings.working_path, read_only=True)
        days = complete_days(connection)
        facts = Facts(
            made_at=f"{moment.isoformat(timespec='seconds')}Z",
            data_through=str(days[-1]) if days else None,
            simulated=settings.is_demo,
            schema_version=int(read_info(connection, "schema_version") or 0),
            program_version=__version__,
            tables=copy_to(connection, draft),
        )
    seal(draft, facts)
    sync(draft)
    verify(draft)
    # Nobody has to write to it, and one that was written to cannot be restored.
    draft.chmod(draft.stat().st_mode & 0o444)
    return facts


def _name(draft: Path, folder: Path, facts: Facts) -> Path:
    """Give a complete backup a name that none has: that of its second, numbered from the second one on."""
    second = re.sub("[-:]", "", facts.made_at)
    for number in count(1):
        path = folder / (
            f"availability-{second}-{number}.duckdb" if number > 1 else f"availability-{second}.duckdb"
        )
        try:
            os.link(draft, path)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if path.exists():
                continue
            draft.rename(path)
        return path
    raise AssertionError


def _prune(made: Path, facts: Facts, keep: int) -> Iterator[Path]:
    """Remove the oldest backups beyond the number to keep; files that are none, or of other data, do not count."""
    others = [path for path in _named(made.parent) if path != made and _is_like(path, facts)]
    for path in others[: max(0, len(others) + 1 - keep)]:
        try:
            path.unlink()
        except OSError as error:
            raise BackupError(
                f"the backup {made} was made, but {path} could not be removed ({error.strerror}); remove it by hand"
            ) from error
        yield path


def _named(folder: Path) -> list[Path]:
    """The files that have the name of a backup, oldest first."""
    found = [
        (match[1], int(match[2] or 1), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for *_, path in sorted(found)]


def _is_like(path: Path, facts: Facts) -> bool:
    try:
        return read_facts(path).simulated == facts.simulated
    except AvailabilityError:
        return False


def restore(settings: Settings, source: Path) -> Restored:
    """Let the pipeline go on from a backup.

    The database from before keeps a name beside the new one, until the next restore.

    Args:
        settings: Where the working database is, or will be.
        source: The backup, or a folder whose newest one is meant.

    Raises:
        UsageError: There is no such file, or it is of other data than the data directory is for.
        BackupError: It is no whole backup, or could not be restored; the working database is as it was.
        DatabaseInUse: Another process does not close the working database.
    """
    began = time.perf_counter()
    working = settings.working_path
    path = _newest(source) if source.is_dir() else source
    if path.exists() and working.exists() and path.samefile(working):
        raise UsageError(f"{path} is the working database itself; name a backup")
    facts = verify(path)
    _check_restorable(settings, path, facts)
    make_folder(working)
    with (
        _told(f"{path} could not be restored", "the working database is as it was"),
        draft_of(working) as draft,
    ):
        _copy_of(path, facts, draft)
        if facts.simulated:
            mark_simulated(settings)
        had, former = working.exists(), working.with_name(f"{working.name}.before-restore")
        put(draft, working, former)
    return Restored(path, facts, working, former if had else None, time.perf_counter() - began)


def _newest(folder: Path) -> Path:
    found = _named(folder)
    if not found:
        raise UsageError(f"{folder} has no backup in it; name another folder, or a file")
    return found[-1]


def _check_restorable(settings: Settings, path: Path, facts: Facts) -> None:
    if facts.schema_version > SCHEMA_VERSION:
        raise BackupError(
            f"the backup {path} has schema version {facts.schema_version}, and this program knows only "
            f"{SCHEMA_VERSION}; upgrade binance-futures-availability"
        )
    if log_of(path).exists():
        raise BackupError(
            f"the backup {path} was opened for writing and {log_of(path).name} left beside it; move that away"
        )
    check_kind(settings, simulated=facts.simulated)


def _copy_of(path: Path, facts: Facts, draft: Path) -> None:
    """A working database of this program's version with what the backup has."""
    with closing(attach(path, draft)) as connection:
        tables = copy_to(connection, draft)
    if tables != facts.tables:
        raise BackupError(f"the backup {path} has other rows than it states; restore another backup")
    with connect(draft):  # an older one is migrated
        pass
    sync(draft)


def compact(settings: Settings) -> Compaction:
    """Write the working database anew without the space that nothing uses, if that makes it much smaller.

    Raises:
        StoreError: It is missing, something else, or in use.
        BackupError: It could not be copied; it is as it was.
    """
    began = time.perf_counter()
    path = settings.working_path
    if not exists(path):
        raise StoreError(f"there is no working database {path}; `backfill` makes one")
    failed = f"{path} could not be made compact"
    with (
        _told(failed, "it is as it was"),
        draft_of(path) as draft,
        without_writers(path, draft) as connection,
    ):
        check_version(connection, path, read_only=True)
        before = path.stat().st_size
        copy_to(connection, draft)
        after = draft.stat().st_size
        if worth_it := after <= before * (1 - LEAST_GAIN):
            replace(draft, path)
    return Compaction(path, before, after, worth_it, time.perf_counter() - began)


@contextmanager
def _told(failed: str, state: str) -> Iterator[None]:
    """What goes wrong with files and databases as one sentence."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise BackupError(
            f"{failed} ({reason}), {state}; check the permissions and the disk's free space, and with `validate` "
            "whether the database can be read"
        ) from error

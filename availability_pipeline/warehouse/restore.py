"""Restoring a verified backup, and compacting the working database."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.errors import AvailabilityError, BackupError, StoreError, UsageError
from availability_pipeline.settings import Settings, check_kind, mark_simulated
from availability_pipeline.warehouse.atomic import draft_of, sync
from availability_pipeline.warehouse.backup import Facts, named, read_facts, told, unreadable, verify
from availability_pipeline.warehouse.copies import attach, copy_to, put, replace, without_writers
from availability_pipeline.warehouse.database import SCHEMA_VERSION, check_version, connect
from availability_pipeline.warehouse.opening import exists, logs, make_folder

LEAST_GAIN = 0.1
"""The part of the working database's size that must be gained for a compact copy to replace it."""


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
        told(failed, "it is as it was"),
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
    working, there = settings.working_path, exists(settings.working_path)
    path = _chosen(settings, source)
    if there and path.exists() and path.samefile(working):
        raise UsageError(f"{path} is the working database itself; name a backup")
    facts = verify(path)
    _check_restorable(settings, path, facts)
    make_folder(working)
    with (
        told(f"{path} could not be restored", "the working database is as it was"),
        draft_of(working) as draft,
    ):
        _copy_of(path, facts, draft)
        if facts.simulated:
            mark_simulated(settings)
        had, former = working.exists(), working.with_name(f"{working.name}.before-restore")
        put(draft, working, former)
    return Restored(path, facts, working, former if had else None, time.perf_counter() - began)


def _chosen(settings: Settings, source: Path) -> Path:
    """The file, or the newest backup of the folder; others are passed over if they are of other data."""
    try:
        found = named(source) if source.is_dir() else [source]
    except OSError as error:
        raise unreadable(source, error) from error
    if not found:
        raise UsageError(f"{source} has no backup in it; name another folder, or a file")
    return next((path for path in reversed(found) if not _is_other(settings, path)), found[-1])


def _is_other(settings: Settings, path: Path) -> bool:
    try:
        return read_facts(path).simulated != settings.is_demo
    except AvailabilityError:  # it is damaged, which is not to be passed over in silence
        return False


def _check_restorable(settings: Settings, path: Path, facts: Facts) -> None:
    if facts.schema_version > SCHEMA_VERSION:
        raise BackupError(
            f"the backup {path} has schema version {facts.schema_version}, and this program knows only "
            f"{SCHEMA_VERSION}; upgrade binance-futures-availability"
        )
    for log, _ in logs(path):
        raise BackupError(
            f"the backup {path} was opened for writing and {log.name} left beside it; move that away"
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

"""Restoring a verified backup, and compacting the working database."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.errors import BackupError, StoreError, UsageError
from availability_pipeline.settings import Settings, check_kind, mark_simulated
from availability_pipeline.warehouse.atomic import draft_of, sync
from availability_pipeline.warehouse.backup import (
    Facts,
    backup_errors,
    is_simulated,
    named,
    unreadable,
    verify,
)
from availability_pipeline.warehouse.copies import attach, copy_to, put, replace, without_writers
from availability_pipeline.warehouse.database import SCHEMA_VERSION, check_version, connect
from availability_pipeline.warehouse.opening import exists, logs, make_folder

LEAST_GAIN = 0.1
"""Share of the size that a compact copy must save to replace the working database."""


@dataclass(frozen=True)
class Compaction:
    """The result of `compact`."""

    path: Path
    before: int
    """Bytes of the working database."""
    after: int
    """Bytes of the compact copy."""
    replaced: bool
    seconds: float


def compact(settings: Settings) -> Compaction:
    """Rewrite the working database without unused space, if that saves `LEAST_GAIN` or more.

    Raises:
        StoreError: It is missing, another database, or in use.
        BackupError: The copy failed; the database is unchanged.
    """
    began = time.perf_counter()
    path = settings.working_path
    if not exists(path):
        raise StoreError(f"there is no working database {path}; `backfill` makes one")
    failed = f"{path} could not be made compact"
    with (
        backup_errors(failed, "it is as it was"),
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
    """The result of `restore`."""

    backup: Path
    facts: Facts
    path: Path
    """The working database."""
    former: Path | None
    """The replaced working database, if any."""
    seconds: float


def restore(settings: Settings, source: Path) -> Restored:
    """Replace the working database by that of a backup; the replaced one is kept until the next restore.

    Args:
        settings: The settings.
        source: The backup, or a folder, which means its newest one.

    Raises:
        UsageError: There is no such file, or one data is real and the other simulated.
        BackupError: The backup is incomplete or could not be restored; the working database is unchanged.
        DatabaseInUse: Another process keeps the working database open.
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
        backup_errors(f"{path} could not be restored", "the working database is as it was"),
        draft_of(working) as draft,
    ):
        _copy_of(path, facts, draft)
        if facts.simulated:
            mark_simulated(settings)
        had, former = working.exists(), working.with_name(f"{working.name}.before-restore")
        put(draft, working, former)
    return Restored(path, facts, working, former if had else None, time.perf_counter() - began)


def _chosen(settings: Settings, source: Path) -> Path:
    """The file, or the newest backup in the folder of the data directory's kind of data."""
    try:
        found = named(source) if source.is_dir() else [source]
    except OSError as error:
        raise unreadable(source, error) from error
    if not found:
        raise UsageError(f"{source} has no backup in it; name another folder, or a file")
    # A damaged backup is not skipped silently.
    usable = (settings.is_demo, None)
    return next((path for path in reversed(found) if is_simulated(path) in usable), found[-1])


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
    """Write the backup's content as a working database of this schema version."""
    with closing(attach(path, draft)) as connection:
        tables = copy_to(connection, draft)
    if tables != facts.tables:
        raise BackupError(f"the backup {path} has other rows than it states; restore another backup")
    with connect(draft):  # an older one is migrated
        pass
    sync(draft)

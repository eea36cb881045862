"""Making backups: one file for each, named after its moment, the oldest removed beyond a number.

What is in the file beside the database is said in `file`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.backups.failing import told
from availability_pipeline.backups.file import Facts, named, read_facts, seal, verify
from availability_pipeline.days import utc_now
from availability_pipeline.drafts import draft_of, sync
from availability_pipeline.errors import AvailabilityError, BackupError, StoreError, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.store.availability import complete_days
from availability_pipeline.store.connection import check_version, read_info
from availability_pipeline.store.copies import attach, copy_to, snapshot
from availability_pipeline.store.opening import exists
from availability_pipeline.version import __version__


@dataclass(frozen=True)
class Backup:
    """A backup that was made."""

    path: Path
    facts: Facts
    bytes: int
    seconds: float
    removed: tuple[Path, ...]
    """Older backups that are gone now."""


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
    with told(failed, "no backup was made"), draft_of(folder / "backup") as draft:
        facts = _write(settings, draft)
        path = _name(draft, folder, facts)
        sync(folder)
    removed = tuple(_prune(path, facts, keep)) if keep else ()
    return Backup(path, facts, path.stat().st_size, time.perf_counter() - began, removed)


def _folder(folder: Path) -> Path:
    folder = folder.absolute()
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; name another")
        if not folder.parent.is_dir():
            raise UsageError(
                f"{folder} cannot be made, because {folder.parent} is no folder; make that first"
            )
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
    number = 1
    while True:
        path = folder / f"availability-{second}{f'-{number}' if number > 1 else ''}.duckdb"
        number += 1
        try:
            os.link(draft, path)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if path.exists():
                continue
            draft.rename(path)
        return path


def _prune(made: Path, facts: Facts, keep: int) -> Iterator[Path]:
    """Remove the oldest backups beyond the number to keep; files that are none, or of other data, do not count."""
    others = [path for path in named(made.parent) if path != made and _is_like(path, facts)]
    for path in others[: max(0, len(others) + 1 - keep)]:
        try:
            path.unlink()
        except OSError as error:
            raise BackupError(
                f"the backup {made} was made, but {path} could not be removed ({error.strerror}); remove it by hand"
            ) from error
        yield path


def _is_like(path: Path, facts: Facts) -> bool:
    try:
        return read_facts(path).simulated == facts.simulated
    except AvailabilityError:
        return False

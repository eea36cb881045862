"""Backups: the self-verifying file format, and making a backup while the pipeline runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline import __version__
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import AvailabilityError, BackupError, StoreError, UsageError, cause_of
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.atomic import draft_of, sync
from availability_pipeline.warehouse.copies import attach, copy_to, snapshot
from availability_pipeline.warehouse.database import check_version, read_info
from availability_pipeline.warehouse.opening import exists
from availability_pipeline.warehouse.writes import complete_days


@contextmanager
def backup_errors(failed: str, state: str) -> Iterator[None]:
    """Translate errors of the file system and of DuckDB into a BackupError.

    Args:
        failed: What failed.
        state: What is there now.
    """
    try:
        yield
    except (duckdb.Error, OSError) as error:
        cause = cause_of(error)
        raise BackupError(f"{failed} ({cause.reason}), {state}; {cause.remedy}") from error


KIND = "binance-futures-availability backup"
"""Identifies a backup."""

_NAME = re.compile(r"availability-(\d{8}T\d{6}Z)(?:-(\d+))?\.duckdb")

_END = re.compile(rb"\n(\{[^\n]*\})\n([0-9a-f]{64})\n\Z")

_LONGEST_END = 1 << 16

_CHECKSUM_BYTES = 65
"""Length of the last line with its newline."""

_AT_ONCE = 1 << 20

_OTHER = "restore another backup; nothing was changed"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts that a backup states."""

    made_at: str
    """The moment of its state, UTC, ISO 8601."""
    data_through: str | None
    """The last UTC day collected for all contracts, if any."""
    simulated: bool
    schema_version: int
    """Of the working database."""
    program_version: str
    tables: Mapping[str, int]
    """Rows by table."""

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.tables.values())


def named(folder: Path) -> list[Path]:
    """The files named like backups, oldest first."""
    found = [
        (match[1], int(match[2] or 1), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for *_, path in sorted(found)]


def seal(path: Path, facts: Facts) -> None:
    """Append facts and checksum to a copied database, which makes it a backup."""
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(f"\n{json.dumps({'kind': KIND, **asdict(facts)}, ensure_ascii=False)}\n".encode())
        file.seek(0)
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, 2)
        file.write(f"{checksum}\n".encode())


def read_facts(path: Path) -> Facts:
    """The facts of a backup, whose content is not verified.

    Raises:
        BackupError: It is not a complete backup.
        UsageError: The file does not exist or cannot be read.
    """
    return _facts(path, _end(path)[1])


def verify(path: Path) -> Facts:
    """Verify the checksum of a backup; returns its facts.

    Raises:
        BackupError: It is not a backup, or truncated, damaged or changed.
        UsageError: The file does not exist or cannot be read.
    """
    checksum, line = _end(path)
    if _digest(path) != checksum:
        raise BackupError(
            f"the backup {path} was damaged or changed since it was made, its checksum is another; {_OTHER}"
        )
    return _facts(path, line)


def _end(path: Path) -> tuple[str, bytes]:
    """The checksum and the line of facts."""
    try:
        # Opening a pipe would block.
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file; name a backup")
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LONGEST_END))
            found = _END.search(file.read())
    except OSError as error:
        raise unreadable(path, error) from error
    if not found:
        raise BackupError(f"{path} is not a complete backup: it was truncated or is something else; {_OTHER}")
    return found[2].decode(), found[1]


def unreadable(path: Path, error: OSError) -> UsageError:
    """The error for a backup, or a folder of backups, that cannot be read."""
    cause = cause_of(error)
    return UsageError(
        f"the backup {path} cannot be read ({cause.reason}); {cause.remedy}, or name another file"
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        left = path.stat().st_size - _CHECKSUM_BYTES
        with path.open("rb") as file:
            while left > 0 and (block := file.read(min(left, _AT_ONCE))):
                digest.update(block)
                left -= len(block)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def _facts(path: Path, line: bytes) -> Facts:
    try:
        stated: dict[str, Any] = json.loads(line)
        if stated["kind"] == KIND:
            return Facts(**{field.name: stated[field.name] for field in fields(Facts)})
    except (ValueError, KeyError):
        pass
    raise BackupError(f"{path} is not a backup that `backup` made; {_OTHER}")


@dataclass(frozen=True)
class Backup:
    """A new backup."""

    path: Path
    facts: Facts
    bytes: int
    seconds: float
    removed: tuple[Path, ...]
    """Older backups that were removed."""


def backup(settings: Settings, folder: Path, keep: int | None = None) -> Backup:
    """Back up the working database as it is between two writes.

    Args:
        settings: The settings.
        folder: The destination; created if it is missing.
        keep: Backups to keep there, including this one; all if None.

    Raises:
        UsageError: The folder cannot be created.
        StoreError: The working database is missing, in use, or another database.
        BackupError: The copy failed; there is no new backup.
    """
    began = time.perf_counter()
    if not exists(settings.working_path):
        raise StoreError(f"there is no working database {settings.working_path}; `backfill` makes one")
    folder = _folder(folder)
    failed = f"{settings.working_path} could not be backed up to {folder}"
    with backup_errors(failed, "no backup was made"), draft_of(folder / "backup") as draft:
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
    # Read-only, because a backup that was written to cannot be restored.
    draft.chmod(draft.stat().st_mode & 0o444)
    return facts


def _name(draft: Path, folder: Path, facts: Facts) -> Path:
    """Rename a complete backup to a free name: its time to the second, with a number if that is taken."""
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
    """Remove the oldest backups of the same kind of data beyond the number to keep."""
    others = [path for path in named(made.parent) if path != made and is_simulated(path) is facts.simulated]
    for path in others[: max(0, len(others) + 1 - keep)]:
        try:
            path.unlink()
        except OSError as error:
            raise BackupError(
                f"the backup {made} was made, but {path} could not be removed ({error.strerror}); remove it by hand"
            ) from error
        yield path


def is_simulated(path: Path) -> bool | None:
    """Whether a backup has simulated data; None for an unreadable one."""
    try:
        return read_facts(path).simulated
    except AvailabilityError:
        return None

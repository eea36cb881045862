"""What makes a file a backup: a copy of the working database, followed by a line of facts and a checksum of it all.

    <the blocks of a DuckDB database>
    {"kind": "binance-futures-availability backup", "made_at": "2026-11-21T12:00:00Z", ...}
    <SHA-256 of everything above, hexadecimal>

DuckDB ignores what follows its blocks, so any of its programs can read a backup; `tail -n 2` shows the rest. The
checksum is not DuckDB's hash of the rows, which may be another one in its next version. When backups are made is not
decided here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from availability_pipeline.causes import cause_of
from availability_pipeline.errors import BackupError, UsageError

KIND = "binance-futures-availability backup"
"""By this a backup is told from other files."""

_NAME = re.compile(r"availability-(\d{8}T\d{6}Z)(?:-(\d+))?\.duckdb")

_END = re.compile(rb"\n(\{[^\n]*\})\n([0-9a-f]{64})\n\Z")

_LONGEST_END = 1 << 16

_CHECKSUM_BYTES = 65
"""The last line, with its end."""

_AT_ONCE = 1 << 20

_OTHER = "restore another backup; nothing was changed"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a backup says of itself."""

    made_at: str
    """UTC, ISO 8601: the moment whose state it has."""
    data_through: str | None
    """The last UTC day that was collected for all contracts; None if no day was."""
    simulated: bool
    """Whether it is of a data directory with simulated data."""
    schema_version: int
    """Of the working database."""
    program_version: str
    tables: Mapping[str, int]
    """By table, its number of rows."""

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self.tables.values())


def named(folder: Path) -> list[Path]:
    """The files that have the name of a backup, oldest first."""
    found = [
        (match[1], int(match[2] or 1), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for *_, path in sorted(found)]


def seal(path: Path, facts: Facts) -> None:
    """Make a backup of a database's copy; raises OSError if it cannot be written."""
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(f"\n{json.dumps({'kind': KIND, **asdict(facts)}, ensure_ascii=False)}\n".encode())
        file.seek(0)
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, 2)
        file.write(f"{checksum}\n".encode())


def read_facts(path: Path) -> Facts:
    """What a file says of itself, its content unseen.

    Raises:
        BackupError: It is no backup, or not the whole of one.
        UsageError: There is no such file, or it cannot be read.
    """
    return _facts(path, _end(path)[1])


def verify(path: Path) -> Facts:
    """Read a file to its end and make sure that it is the backup that was made.

    Raises:
        BackupError: It is no backup, or was cut off, damaged or changed.
        UsageError: There is no such file, or it cannot be read.
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
        # A pipe would be waited for.
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file; name a backup")
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LONGEST_END))
            found = _END.search(file.read())
    except OSError as error:
        raise unreadable(path, error) from error
    if not found:
        raise BackupError(
            f"{path} is not the whole of a backup that `backup` made: it was cut off or is something else; {_OTHER}"
        )
    return found[2].decode(), found[1]


def unreadable(path: Path, error: OSError) -> UsageError:
    """Why a backup, or the folder that has them, cannot be read."""
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

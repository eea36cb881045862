"""Manifests: what a generation consists of and which one is read, as JSON that any program can follow.

Two files have this form: the one in a generation's folder, and the one beside the published database, which points at
the files of the generation that is read. Which generation that is, is decided in `generations`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from availability_pipeline.errors import PublicationError

SCHEMA_VERSION = 2
"""The form of what is published. A reader refuses a newer one."""

TELLING_TABLES = frozenset({"publication", "availability_by_date", "availability_by_symbol"})
"""The tables by which a published database is told from any other; every later form has them, too."""

NAME = "manifest.json"

_ABOVE = ("database", "generations")


@dataclass(frozen=True)
class FileEntry:
    """One file of a generation."""

    path: str
    """Relative to the manifest, with slashes."""
    bytes: int
    sha256: str
    """Of the whole file, hexadecimal."""
    rows: int
    """Rows in it: of `daily_availability`, or of the derived table that it is named after."""
    fingerprint: str | None = None
    """Of the rows, all columns; None where no later publication can use the file again."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A generation and its files."""

    schema_version: int
    generation: str
    run_id: str
    published_at: str
    """UTC, ISO 8601."""
    first_day: str
    data_through: str
    """The last collected day, whether it has files yet or not."""
    last_file_day: str | None
    rows: int
    available: int
    """Rows that have a file."""
    symbols: int
    """Contracts that have rows."""
    files: tuple[FileEntry, ...]
    database: str | None = None
    """The name of the published database; only in the manifest beside it."""
    generations: tuple[str, ...] = ()
    """What is read and what a rollback can go back to, newest first; only in the manifest beside the database."""

    def file(self, path: str) -> FileEntry:
        """The entry of a file; raises StopIteration where there is none."""
        return next(entry for entry in self.files if entry.path == path)

    def seen_from_above(self, database: str, folder: str, generations: tuple[str, ...]) -> Manifest:
        """The same generation as the manifest beside the published database has it.

        Args:
            database: The name of the published database.
            folder: The folder of all generations, relative to that manifest.
            generations: What is read and what was read before, newest first.
        """
        files = tuple(
            dataclasses.replace(entry, path=f"{folder}/{self.generation}/{entry.path}")
            for entry in self.files
        )
        return dataclasses.replace(self, files=files, database=database, generations=generations)

    def to_json(self) -> str:
        """The text of the file."""
        facts = dataclasses.asdict(self)
        if self.database is None:
            facts = {name: value for name, value in facts.items() if name not in _ABOVE}
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def read_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None if there is none.

    Raises:
        PublicationError: The file is something else, or of a newer form.
        OSError: It cannot be read.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return parse(text)
    except NewerForm as error:
        raise PublicationError(
            f"{path} has schema version {error.version}, and this program knows only {SCHEMA_VERSION}; "
            "upgrade binance-futures-availability"
        ) from None
    except ValueError:
        raise PublicationError(
            f"{path} is not a manifest of this program; move it away or set AVAILABILITY_DB_PATH to another folder"
        ) from None


class NewerForm(ValueError):
    """A manifest is of a form that only newer versions of this program know.

    Args:
        version: The schema version of its publication.
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def parse(text: bytes) -> Manifest:
    """A manifest from the text of its file.

    Raises:
        NewerForm: It is of a newer form.
        ValueError: It is something else.
    """
    try:
        facts = json.loads(text)
        version = int(facts["schema_version"])
        if version <= SCHEMA_VERSION:
            return _from_json(facts)
    except (TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError("it is no manifest") from error
    raise NewerForm(version)


def _from_json(facts: dict[str, Any]) -> Manifest:
    files = tuple(FileEntry(**entry) for entry in facts["files"])
    return Manifest(**{**facts, "files": files, "generations": tuple(facts.get("generations", ()))})


def describe(folder: Path, path: Path, rows: int, fingerprint: str | None = None) -> FileEntry:
    """The entry of a file, with what is on disk."""
    relative = path.relative_to(folder).as_posix()
    return FileEntry(relative, path.stat().st_size, sha256_of(path), rows, fingerprint)


def damaged_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the files of a manifest in this folder, one phrase each."""
    for entry in manifest.files:
        path = folder / entry.path
        if not path.is_file():
            yield f"{entry.path} is missing"
        elif not is_intact(path, entry):
            yield f"{entry.path} does not have its checksum"


def is_intact(path: Path, entry: FileEntry) -> bool:
    """Whether a file has the size and the checksum of its entry."""
    return path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256


def sha256_of(path: Path) -> str:
    """The checksum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def moment(value: dt.datetime) -> str:
    """A naive UTC time as manifests write it."""
    return f"{value.isoformat()}Z"

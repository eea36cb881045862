"""Manifests and the layout of releases: what a generation consists of, what it is called, and which one is read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from availability_pipeline.errors import PublicationError

SCHEMA_VERSION = 6
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
    """Rows in it: of `daily_availability`, or of the table that it is named after."""
    fingerprint: str | None = None
    """Of the rows, all columns, that a file is made of; of the database, of all that is published; None of others."""


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


DATABASE = "availability.duckdb"
"""The name of the database within a generation."""

FOLDER = "generations"
"""The name of the folder of generations."""

LOCK_TIMEOUT_SECONDS = 60.0
"""How long to wait for another publisher; it holds the lock for well under a second, or while a bucket answers."""

_ID = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9]{1,64}(?:-(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where a published database and its generations are."""

    database: Path
    """What readers open, with links followed."""

    @classmethod
    def of(cls, path: Path) -> Place:
        """The place that belongs to the path of a published database."""
        return cls(Path(os.path.realpath(path)))

    @property
    def generations(self) -> Path:
        """The folder of the generations."""
        return self.database.parent / FOLDER

    @property
    def manifest(self) -> Path:
        """The manifest of the generation that is read."""
        return self.database.parent / NAME

    @property
    def draft(self) -> Path:
        """The name beside which `drafts.draft_of` puts a generation that is being written."""
        return self.generations / "generation"


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Keep other publishers, in this and other processes, from changing what is read.

    Raises:
        PublicationError: Another one holds the lock for too long.
    """
    place.generations.mkdir(parents=True, exist_ok=True)
    with (place.generations / ".lock").open("a") as file:
        _wait_for(file, place)
        yield


def _wait_for(file: IO[str], place: Place) -> None:
    until = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise PublicationError(
                    f"another process is publishing {place.database} and does not come to an end; end it"
                ) from None
            time.sleep(0.02)
        else:
            return


def is_id(name: str) -> bool:
    """Whether it is the id of a generation."""
    return _ID.fullmatch(name) is not None


def ids(place: Place) -> list[str]:
    """The ids of the generations that are there, newest first."""
    found = place.generations.iterdir() if place.generations.is_dir() else ()
    return sorted((folder.name for folder in found if is_id(folder.name)), reverse=True)


def free_id(place: Place, manifest: Manifest) -> str:
    """An id that sorts by time and tells the run, and that no generation has or had."""
    at = dt.datetime.fromisoformat(manifest.published_at)
    second = f"{at:%Y%m%dT%H%M%S}Z"
    run = re.sub("[^A-Za-z0-9]", "", manifest.run_id.split("-")[0])[:8] or "run"
    # Counted on from the newest of this second, which is there: a number that is free may have been used and removed.
    numbers = [
        int(match[1] or 1)
        for name in ids(place)
        if (match := _ID.fullmatch(name)) and name.startswith(second)
    ]
    return f"{second}-{run}-{max(numbers) + 1}" if numbers else f"{second}-{run}"


def id_read(place: Place) -> str | None:
    """The generation whose database readers open; None if it is that of none."""
    if not place.database.exists():
        return None
    for name in ids(place):
        with suppress(FileNotFoundError):
            if place.database.samefile(place.generations / name / DATABASE):
                return name
    for name in ids(place):  # a copy, where links are not possible
        own = own_manifest(place, name)
        if own and is_intact(place.database, own.file(DATABASE)):
            return name
    return None


def own_manifest(place: Place, name: str) -> Manifest | None:
    """The manifest in the folder of a generation, if there is one."""
    return read_manifest(place.generations / name / NAME)

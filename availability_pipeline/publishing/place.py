"""The place of a published database: where its generations are, what they are called, and the lock of publishers.

    <folder of the published database>/
        availability.duckdb     what readers open: a hard link to the file of the generation that is read
        manifest.json           the same generation, for readers of Parquet; replaced last
        generations/<id>/       availability.duckdb, daily_availability/<year>.parquet, latest.parquet, manifest.json

Nothing here changes what is read.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import manifest as manifests
from availability_pipeline.publishing.manifest import Manifest, is_intact, read_manifest

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
        return self.database.parent / manifests.NAME

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
    return read_manifest(place.generations / name / manifests.NAME)

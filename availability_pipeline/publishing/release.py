"""Generations: which of them is read, and how that changes.

The files of a generation never change. What is in them is not decided here, where they are in `place`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.errors import PublicationError, cause_of
from availability_pipeline.publishing import manifest as manifests
from availability_pipeline.publishing.manifest import (
    DATABASE,
    FileEntry,
    Manifest,
    Place,
    damaged_files,
    free_id,
    id_read,
    ids,
    is_intact,
    locked,
    own_manifest,
    read_manifest,
)
from availability_pipeline.warehouse.atomic import draft_of, remove_dead_drafts, sync

KEPT = 3
"""How many generations are kept: the one that is read, and those that were read before it."""


@dataclass(frozen=True)
class Generation:
    """A generation that is there."""

    folder: Path
    manifest: Manifest
    """Its own, with paths relative to the folder."""


def install(place: Place, draft: Path, manifest: Manifest) -> Manifest:
    """Give a complete folder its id, and let readers have it.

    Args:
        place: Where it is to be read.
        draft: The folder, with its files on disk and no manifest yet.
        manifest: What is in it, without an id.

    Returns:
        The manifest with the id.

    Raises:
        PublicationError: Another publisher does not come to an end.
        OSError: Readers have what they had before.
    """
    with locked(place):
        history = _finish_interrupted(place)
        named = dataclasses.replace(manifest, generation=free_id(place, manifest))
        _write(draft / manifests.NAME, named)
        _close_to_writers(draft)
        sync(draft)
        try:
            draft.rename(place.generations / named.generation)
            sync(place.generations)
            _let_read(place, named, (named.generation, *history)[:KEPT])
        finally:
            _prune(place)
        return named


@dataclass(frozen=True)
class Rollback:
    """What a rollback did."""

    path: Path
    left: str
    """The generation that was read before."""
    now: Manifest
    """The generation that is read now."""


def rollback(path: Path, first: Callable[[Generation], None] = lambda _: None) -> Rollback:
    """Let readers have the generation that they had before the present one.

    The generation that is left stays until the next publication.

    Args:
        path: The published database.
        first: What has to be done with the generation before the swap; what it raises leaves all as it is.

    Raises:
        PublicationError: There is none, or its files are not what they were; nothing was changed.
    """
    place = Place.of(path)
    try:
        if read_manifest(place.manifest) is None:
            raise PublicationError(
                f"there is nothing to roll back, {place.database.parent} has no {manifests.NAME}; run `publish`"
            )
        with locked(place):
            return _roll_back(place, first)
    except OSError as error:
        cause = cause_of(error)
        raise PublicationError(
            f"{place.database} could not be rolled back ({cause.reason}); {cause.remedy}"
        ) from error


def _roll_back(place: Place, first: Callable[[Generation], None]) -> Rollback:
    history = _finish_interrupted(place)
    if len(history) < 2:
        raise PublicationError(
            f"there is no generation before the one that {place.database} is; correct the working database "
            "and run `publish`"
        )
    left, previous = history[:2]
    manifest = own_manifest(place, previous)
    problems = ["it has no manifest"] if manifest is None else list(
        damaged_files(place.generations / previous, manifest)
    )  # fmt: skip
    if manifest is None or problems:
        raise PublicationError(
            f"the generation {previous} cannot be read again ({problems[0]}); correct the working database "
            "and run `publish`"
        )
    first(Generation(place.generations / previous, manifest))
    _let_read(place, manifest, history[1:])
    return Rollback(place.database, left, manifest)


def generation_read(place: Place) -> Generation | None:
    """The generation that the manifest points at, if there is one."""
    above = read_manifest(place.manifest)
    own = own_manifest(place, above.generation) if above else None
    return Generation(place.generations / own.generation, own) if own else None


def as_audited(path: Path) -> FileEntry | None:
    """What was written down of a published database after its audit; None if it has not that checksum."""
    try:
        generation = generation_read(Place.of(path))
        entry = generation.manifest.file(DATABASE) if generation else None
        return entry if entry and is_intact(path, entry) else None
    except (PublicationError, OSError):
        return None


def remove_leftovers(path: Path) -> None:
    """Remove what publications whose process is gone left unfinished, and finish a swap that was cut in two.

    What cannot be removed now costs space only, and no run has to fail for it.
    """
    place = Place.of(path)
    for target in (place.database, place.manifest, place.draft):
        remove_dead_drafts(target)
    with suppress(OSError, PublicationError):
        if place.generations.is_dir():
            with locked(place):
                _finish_interrupted(place)
                _prune(place)


def _finish_interrupted(place: Place) -> tuple[str, ...]:
    """The generations that are and were read, newest first; a swap that was cut off before its end is finished."""
    above = read_manifest(place.manifest)
    history = tuple(name for name in above.generations if name in ids(place)) if above else ()
    read = id_read(place)
    if read is None or (above and above.generation == read):
        return history
    # The database was renamed and the manifest was not: forward if it is a new one, back if it was read before.
    history = history[history.index(read) :] if read in history else (read, *history)[:KEPT]
    if own := own_manifest(place, read):
        _let_read(place, own, history)
    return history


def _let_read(place: Place, manifest: Manifest, history: tuple[str, ...]) -> None:
    """Swap: first the database, then the manifest, each at once, and nothing that can fill a disk in between."""
    above = manifest.seen_from_above(place.database.name, place.generations.name, history)
    with draft_of(place.database) as database, draft_of(place.manifest) as draft:
        _link(place.generations / manifest.generation / DATABASE, database)
        _write(draft, above)
        database.replace(place.database)
        sync(place.database.parent)
        draft.replace(place.manifest)
        sync(place.database.parent)


def _close_to_writers(folder: Path) -> None:
    """Let nobody write to the files: a program that opened the published database so would spoil its generation."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & 0o444)


def _link(source: Path, name: Path) -> None:
    """Give a file a second name, or copy it where that is not possible."""
    try:
        os.link(source, name)
    except OSError:  # a file system without links, or another one
        shutil.copy(source, name)  # with its mode
        sync(name)


def _prune(place: Place) -> None:
    """Remove the generations that are not read and cannot be rolled back to."""
    with suppress(OSError, PublicationError):
        above = read_manifest(place.manifest)
        kept = {*(above.generations if above else ()), id_read(place)}
        for name in ids(place):
            if name not in kept:
                shutil.rmtree(place.generations / name, ignore_errors=True)


def _write(path: Path, manifest: Manifest) -> None:
    path.write_text(manifest.to_json(), encoding="utf-8")
    sync(path)

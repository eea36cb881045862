"""What is believed of a `latest.json`, which somebody else may have written: names of known forms, and nothing else.

No path leads out of the folder of its generation, and none to another server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.locations import LATEST
from availability_pipeline.object_storage.source import RequestFailed, Source, read_small
from availability_pipeline.publishing.manifest import SCHEMA_VERSION, FileEntry, Manifest, NewerForm, parse
from availability_pipeline.publishing.place import DATABASE, FOLDER, is_id

_NAME = re.compile(r"(?:[A-Za-z0-9_]+/)?[A-Za-z0-9_]+\.[a-z]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@contextmanager
def reading_from(url: str) -> Iterator[None]:
    """Turn what goes wrong with requests into an error of a reader's.

    Raises:
        PublishedDatabaseError: A request failed.
    """
    try:
        yield
    except RequestFailed as error:
        raise PublishedDatabaseError(f"the published data at {url} cannot be read: {error}") from None


def folder_of(generation: str) -> str:
    """Where the files of a generation are, relative to the URL, with a slash at the end."""
    return f"{FOLDER}/{generation}/"


def read_latest(source: Source) -> Manifest | None:
    """What `latest.json` says; None if there is none.

    Raises:
        RequestFailed: It cannot be read, or it is something else or newer than this program.
    """
    text = read_small(source, LATEST)
    if text is None:
        return None
    try:
        manifest = parse(text)
    except NewerForm as error:
        raise RequestFailed(
            f"{LATEST} has schema version {error.version}, and this program knows only {SCHEMA_VERSION}",
            "upgrade binance-futures-availability",
        ) from None
    except ValueError:
        manifest = None
    if manifest is None or not _is_sound(manifest):
        raise RequestFailed(
            f"{LATEST} is not one of this program", "check the address, or remove it and publish there again"
        )
    return manifest


def read_published(source: Source) -> Manifest:
    """The same where it has to be there.

    Raises:
        RequestFailed: As `read_latest`, or there is none.
    """
    manifest = read_latest(source)
    if manifest is None:
        raise RequestFailed(f"there is no {LATEST}", "check the address, or publish there first")
    return manifest


def database_entry(manifest: Manifest) -> FileEntry:
    """The entry of the database.

    Raises:
        RequestFailed: There is none.
    """
    path = folder_of(manifest.generation) + DATABASE
    for entry in manifest.files:
        if entry.path == path:
            return entry
    raise RequestFailed(f"{LATEST} names no {DATABASE}", "publish there again")


def _is_sound(manifest: Manifest) -> bool:
    try:
        names = (manifest.generation, *manifest.generations)
        return all(is_id(name) for name in names) and all(
            _is_sound_entry(entry, folder_of(manifest.generation)) for entry in manifest.files
        )
    except (TypeError, AttributeError):  # numbers where there should be text, and the like
        return False


def _is_sound_entry(entry: FileEntry, folder: str) -> bool:
    return (
        entry.path.startswith(folder)
        and _NAME.fullmatch(entry.path.removeprefix(folder)) is not None
        and type(entry.bytes) is int
        and _SHA256.fullmatch(entry.sha256) is not None
    )

"""Uploading a generation, and moving `latest.json` to it at the end.

What is under `generations/<id>/` never changes once its manifest is there, which comes last. Readers follow
`latest.json`, so that they have the old generation or the new one, complete, wherever an upload dies.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.locations import LATEST
from availability_pipeline.object_storage.remote import folder_of, read_latest
from availability_pipeline.object_storage.s3 import CONNECTIONS, Bucket
from availability_pipeline.object_storage.source import RequestFailed, read_small
from availability_pipeline.publishing import manifest as manifests
from availability_pipeline.publishing.generations import Generation
from availability_pipeline.publishing.manifest import FileEntry, Manifest
from availability_pipeline.publishing.place import DATABASE, FOLDER

MAX_BYTES = 5 * 1024**3
"""The most that S3 takes in one request."""

FOR_EVER = "public, max-age=31536000, immutable"
"""How long the files of a generation may be kept by readers and caches."""

ASK_AGAIN = "no-cache"
"""That `latest.json` may be kept, but not used without asking whether there is a newer one."""

_TYPES = {".json": "application/json", ".parquet": "application/vnd.apache.parquet"}
_ANY_TYPE = "application/octet-stream"

_PUBLISH = "run `publish` to make a new generation"


@dataclass(frozen=True)
class Sent:
    """What an upload did."""

    files: int
    """How many files were uploaded; none of a generation that was there already."""
    bytes: int
    """Their size."""
    listed: tuple[str, ...]
    """The generations that `latest.json` names, newest first."""
    dropped: tuple[str, ...]
    """Those that it named before and names no longer, because there are enough newer ones."""


History = Callable[[str, tuple[str, ...]], tuple[str, ...]]
"""From a generation and those that `latest.json` names, newest first, to those that it is to name."""


def newest(keep: int) -> History:
    """The generation before those that were read, unless it was among them: then another one was published since."""
    return lambda name, before: before if name in before else (name, *before)[:keep]


def back_to(name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The generation, and those that were read before it."""
    older = (
        before[before.index(name) + 1 :] if name in before else [other for other in before if other < name]
    )
    return (name, *older)


def upload(
    bucket: Bucket,
    generation: Generation,
    history: History,
    confirm: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Sent:
    """Upload a generation, if it is not there, and let readers have it.

    Args:
        bucket: Where to.
        generation: The generation, on this machine.
        history: What `latest.json` is to name; it stays as it is if that does not begin with the generation.
        confirm: Entered while `latest.json` is moved; what it raises before keeps that as it is.

    Raises:
        RequestFailed: Readers have what they had.
        OSError: A file of the generation cannot be read; likewise.
    """
    above = read_latest(bucket)
    before = above.generations if above else ()
    files, size = _send_files(bucket, generation)
    listed = history(generation.manifest.generation, before)
    with confirm():
        if listed[0] == generation.manifest.generation:
            _move(bucket, generation.manifest, listed, above)
    return Sent(files, size, listed, tuple(name for name in before if name not in listed))


def _send_files(bucket: Bucket, generation: Generation) -> tuple[int, int]:
    """Upload the files that make a generation complete, if it is not; how many, and their size in bytes."""
    folder = folder_of(generation.manifest.generation)
    own = (generation.folder / manifests.NAME).read_bytes()
    there = read_small(bucket, folder + manifests.NAME)
    if there is not None and there != own:
        raise RequestFailed(f"{folder} has another generation, which is not overwritten", _PUBLISH)
    if there is not None:
        return 0, 0
    entries = generation.manifest.files

    def send(entry: FileEntry) -> None:
        _send(bucket, generation.folder, entry, folder)

    with ThreadPoolExecutor(CONNECTIONS // 2) as pool:
        for _ in pool.map(send, entries):
            pass
    _put(bucket, folder + manifests.NAME, own, FOR_EVER)
    return len(entries) + 1, sum(entry.bytes for entry in entries) + len(own)


def _send(bucket: Bucket, source: Path, entry: FileEntry, folder: str) -> None:
    path = source / entry.path
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    if path.stat().st_size > MAX_BYTES:
        raise RequestFailed(f"{path} has more than the 5 GiB that S3 takes at once", "track fewer contracts")
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
        if (size, sha256.hexdigest()) != (entry.bytes, entry.sha256):
            raise RequestFailed(f"{path} does not have its checksum", _PUBLISH)
        file.seek(0)
        checksum = base64.b64encode(md5.digest()).decode()
        bucket.put(folder + entry.path, file, checksum, _TYPES.get(path.suffix, _ANY_TYPE), FOR_EVER)


def _put(bucket: Bucket, path: str, content: bytes, caching: str) -> None:
    checksum = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    bucket.put(path, content, checksum, _TYPES[".json"], caching)


def _move(bucket: Bucket, manifest: Manifest, listed: tuple[str, ...], above: Manifest | None) -> None:
    database = f"{folder_of(manifest.generation)}{DATABASE}"
    seen = manifest.seen_from_above(database, FOLDER, listed)
    if seen != above:
        _put(bucket, LATEST, seen.to_json().encode(), ASK_AGAIN)

"""Replicating releases to object storage: upload, move `latest.json` last, prune old generations."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.archive.batch import Progress
from availability_pipeline.errors import UploadError, UsageError, cause_of
from availability_pipeline.publishing import manifest as manifests
from availability_pipeline.publishing.manifest import (
    DATABASE,
    FOLDER,
    FileEntry,
    Manifest,
    Place,
    is_id,
    locked,
)
from availability_pipeline.publishing.release import Generation, generation_read
from availability_pipeline.publishing.remote.cache import folder_of, read_latest
from availability_pipeline.publishing.remote.objects import RequestFailed, read_small
from availability_pipeline.publishing.remote.s3 import CONNECTIONS, Bucket
from availability_pipeline.settings import Settings
from availability_pipeline.settings.values import LATEST

MAX_BYTES = 5 * 1024**3
"""S3's limit for one PutObject."""

FOR_EVER = "public, max-age=31536000, immutable"
"""Cache-Control of the files of a generation."""

ASK_AGAIN = "no-cache"
"""Cache-Control of `latest.json`: revalidate before every use."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}
_ANY_TYPE = "application/octet-stream"

_PUBLISH = "run `publish` to make a new generation"


@dataclass(frozen=True)
class Sent:
    """The result of an upload."""

    files: int
    """Uploaded files; 0 if the generation was there already."""
    bytes: int
    listed: tuple[str, ...]
    """The generations that `latest.json` names now, newest first."""
    dropped: tuple[str, ...]
    """Those that it no longer names."""


History = Callable[[str, tuple[str, ...]], tuple[str, ...]]
"""From a generation and those that `latest.json` names, newest first, to those that it shall name."""


def newest(keep: int) -> History:
    """Prepend the generation, unless it is listed already: then another one was published since."""
    return lambda name, before: before if name in before else (name, *before)[:keep]


def back_to(name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The generation and the older ones."""
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
    """Upload a generation, unless it is there, and make it current.

    Args:
        bucket: The destination.
        generation: The local generation.
        history: The new list of generations; `latest.json` is not moved unless it begins with this generation.
        confirm: Entered around the move of `latest.json`; an exception prevents it.

    Raises:
        RequestFailed: A request failed; `latest.json` is unchanged.
        OSError: A file of the generation cannot be read; `latest.json` is unchanged.
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
    """Upload the files of a generation, unless it is complete; returns their number and bytes."""
    folder = folder_of(generation.manifest.generation)
    own = (generation.folder / manifests.NAME).read_bytes()
    there = read_small(bucket, folder + manifests.NAME)
    if there is not None and there != own:
        raise RequestFailed(f"{folder} holds another generation, which is not overwritten", _PUBLISH)
    if there is not None:
        return 0, 0
    entries = generation.manifest.files
    with ThreadPoolExecutor(CONNECTIONS // 2) as pool:
        list(pool.map(lambda entry: _send(bucket, generation.folder, entry, folder), entries))
    _put(bucket, folder + manifests.NAME, own, FOR_EVER)
    return len(entries) + 1, sum(entry.bytes for entry in entries) + len(own)


def _send(bucket: Bucket, source: Path, entry: FileEntry, folder: str) -> None:
    path = source / entry.path
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    if path.stat().st_size > MAX_BYTES:
        raise RequestFailed(f"{path} exceeds S3's limit of 5 GiB per request", "track fewer contracts")
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


def _put(bucket: Bucket, path: str, content: bytes, caching: str, kind: str = "application/json") -> None:
    checksum = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    bucket.put(path, content, checksum, kind, caching)


def _move(bucket: Bucket, manifest: Manifest, listed: tuple[str, ...], above: Manifest | None) -> None:
    database = f"{folder_of(manifest.generation)}{DATABASE}"
    seen = manifest.seen_from_above(database, FOLDER, listed)
    if seen != above:
        _put(bucket, LATEST, seen.to_json().encode(), ASK_AGAIN)


ABANDONED_AFTER = dt.timedelta(days=1)
"""Age, relative to the newest object, after which an upload counts as abandoned."""

_logger = logging.getLogger(__name__)

_Objects = dict[str, dict[str, dt.datetime]]
"""By generation, its objects with their write times."""


def prune(bucket: Bucket, listed: Collection[str], dropped: Collection[str]) -> list[str]:
    """Remove dropped and abandoned generations; returns their names.

    A failure is only logged: a later publication tries again.

    Args:
        bucket: The bucket.
        listed: The generations that `latest.json` names.
        dropped: Those that it no longer names.
    """
    removed = []
    try:
        found = _found(bucket)
        for name in _superfluous(found, listed, dropped):
            _remove(bucket, name, found[name])
            removed.append(name)
    except RequestFailed as error:
        _logger.warning("old generations could not be removed from object storage: %s", error)
    return removed


def _found(bucket: Bucket) -> _Objects:
    found: _Objects = {}
    for path, written in bucket.objects(f"{FOLDER}/"):
        name = path.split("/")[1]
        if is_id(name):
            found.setdefault(name, {})[path] = written
    return found


def _superfluous(found: _Objects, listed: Collection[str], dropped: Collection[str]) -> list[str]:
    """Dropped generations, and unlisted ones without a recent object: failed uploads, rollbacks, lost races."""
    newest = {name: max(objects.values()) for name, objects in found.items()}
    limit = max(newest.values(), default=dt.datetime.now(dt.UTC)) - ABANDONED_AFTER
    return [
        name for name in sorted(found) if name not in listed and (name in dropped or newest[name] < limit)
    ]


def _remove(bucket: Bucket, name: str, paths: Collection[str]) -> None:
    """Remove the manifest first, so that the rest does not look complete if a later request fails."""
    manifest = folder_of(name) + manifests.NAME
    if manifest in paths:
        bucket.delete(manifest)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(bucket.delete, [path for path in paths if path != manifest]))


_SILENT = Progress()


@dataclass(frozen=True)
class UploadReport:
    """An upload."""

    url: str
    files: int
    """0 if the generation was there already."""
    bytes: int
    seconds: float
    removed: int
    """Removed generations."""

    def metadata(self) -> dict[str, str | int | float]:
        """The metadata of the materialization."""
        return {
            "uploaded_to": self.url,
            "uploaded_files": self.files,
            "uploaded_bytes": self.bytes,
            "upload_seconds": round(self.seconds, 3),
            "removed_generations": self.removed,
        }

    def __str__(self) -> str:
        return (
            f"Uploaded {self.files} files, {self.bytes / 1e6:,.1f} MB, to {self.url} in {self.seconds:.1f} s"
        )


def mirror(settings: Settings, progress: Progress = _SILENT) -> UploadReport | None:
    """Replicate the current local generation to AVAILABILITY_PUBLISH_URL; idempotent.

    None if the URL is not set or the data is simulated.

    Args:
        settings: The settings.
        progress: Gets a stage for the upload.

    Raises:
        UploadError: The upload failed; readers keep the generation before.
        PublicationError: Another publisher on this machine does not release the lock.
    """
    url = _url(settings)
    if url is None:
        return None
    progress.stage(f"uploading to {url}")
    began = time.perf_counter()
    place = Place.of(settings.db_file)
    generation = _read_here(place, url)
    with _translated(url, generation):
        bucket = Bucket(url, settings.timeout_seconds, writing=True)
        sent = upload(
            bucket, generation, newest(settings.publish_keep), lambda: _still_read(place, generation)
        )
    removed = prune(bucket, sent.listed, sent.dropped)
    return UploadReport(url, sent.files, sent.bytes, time.perf_counter() - began, len(removed))


def put_report(settings: Settings, generation: Generation, name: str, content: bytes) -> str | None:
    """Upload a page about a generation beside its files; its URL, or None without AVAILABILITY_PUBLISH_URL.

    Raises:
        UploadError: It could not be uploaded.
    """
    url = _url(settings)
    if url is None:
        return None
    path = folder_of(generation.manifest.generation) + name
    with _translated(url, generation):
        bucket = Bucket(url, settings.timeout_seconds, writing=True)
        _put(bucket, path, content, ASK_AGAIN, _TYPES[".html"])
    return f"{url}/{path}"


def going_back(settings: Settings) -> Callable[[Generation], None]:
    """The step before a rollback: make the generation current in object storage, or raise UploadError."""

    def first(generation: Generation) -> None:
        url = _url(settings)
        if url is None:
            return
        with _translated(url, generation, back=True):
            upload(Bucket(url, settings.timeout_seconds, writing=True), generation, back_to)

    return first


def _url(settings: Settings) -> str | None:
    return None if settings.is_demo else settings.publish_url


def _read_here(place: Place, url: str) -> Generation:
    generation = generation_read(place)
    if generation is None:
        raise UploadError(
            f"there is no generation beside {place.database} that could go to {url}; run `publish`"
        )
    return generation


@contextmanager
def _still_read(place: Place, generation: Generation) -> Iterator[None]:
    """Check that the generation is still current on this machine, and block rollbacks meanwhile."""
    with locked(place):
        now = generation_read(place)
        if now is None or now.manifest.generation != generation.manifest.generation:
            raise RequestFailed(
                "another one is read here by now", "it is uploaded by itself, or by `publish`", transient=True
            )
        yield


@contextmanager
def _translated(url: str, generation: Generation, *, back: bool = False) -> Iterator[None]:
    name = generation.manifest.generation
    try:
        yield
    except (RequestFailed, UsageError) as error:
        raise UploadError(
            f"nothing was rolled back, because generation {name} could not be read at {url}: {error}"
            if back
            else f"generation {name} was published here, but not to {url}: {error}; readers there keep the one before",
            transient=error.transient,
        ) from None
    except FileNotFoundError as error:
        raise UploadError(
            f"generation {name} could not be uploaded to {url}, because a file of it is missing; run `publish` to make "
            "a new generation"
        ) from error
    except OSError as error:
        cause = cause_of(error)
        raise UploadError(
            f"generation {name} could not be uploaded to {url}, because a file of it cannot be read ({cause.reason}); "
            f"{cause.remedy}"
        ) from error

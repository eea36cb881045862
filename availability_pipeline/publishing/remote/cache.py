"""Reading a release from object storage: validation of `latest.json`, and the cache of downloaded databases.

`latest.json` is untrusted input: only names of known forms are accepted.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from availability_pipeline.errors import PublicationError, PublishedDatabaseError, cause_of
from availability_pipeline.publishing.manifest import (
    DATABASE,
    FOLDER,
    SCHEMA_VERSION,
    FileEntry,
    Manifest,
    NewerForm,
    Place,
    is_id,
    is_intact,
    parse,
    read_manifest,
)
from availability_pipeline.publishing.remote.objects import RequestFailed, Source, open_source, read_small
from availability_pipeline.settings import Settings
from availability_pipeline.settings.values import LATEST, database_path, is_url, published_url
from availability_pipeline.warehouse.atomic import draft_of, sync

_NAME = re.compile(r"(?:[A-Za-z0-9_]+/)?[A-Za-z0-9_]+\.[a-z]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@contextmanager
def reading_from(url: str) -> Iterator[None]:
    """Translate RequestFailed into PublishedDatabaseError."""
    try:
        yield
    except RequestFailed as error:
        raise PublishedDatabaseError(f"the published data at {url} cannot be read: {error}") from None


def folder_of(generation: str) -> str:
    """The folder of a generation, relative to the URL, with a trailing slash."""
    return f"{FOLDER}/{generation}/"


def read_latest(source: Source) -> Manifest | None:
    """`latest.json`; None if it does not exist.

    Raises:
        RequestFailed: It cannot be read, is invalid, or of a newer schema version.
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
    """`latest.json`, which must exist; raises RequestFailed."""
    manifest = read_latest(source)
    if manifest is None:
        raise RequestFailed(f"there is no {LATEST}", "check the address, or publish there first")
    return manifest


def database_entry(manifest: Manifest) -> FileEntry:
    """The manifest's entry of the database; raises RequestFailed if it has none."""
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
    except (TypeError, AttributeError):  # a value of another type
        return False


def _is_sound_entry(entry: FileEntry, folder: str) -> bool:
    return (
        entry.path.startswith(folder)
        and _NAME.fullmatch(entry.path.removeprefix(folder)) is not None
        and type(entry.bytes) is int
        and _SHA256.fullmatch(entry.sha256) is not None
    )


_RESERVED = "!$%&'()*+,/:;=@[]~"
"""Characters of a URL besides letters, digits and - . _"""


def parquet_files(location: Path | str | None = None) -> dict[str, list[str]]:
    """The Parquet files of a published database.

    Args:
        location: The path of the published database, or the URL of published generations (`s3://bucket/prefix`,
            `https://host/path`); `AVAILABILITY_DB_PATH` by default.

    Returns:
        By relation its files in order, as paths or full URLs: `daily_availability` and `daily_volume` (one per year),
        `latest` (the last day with files), `volume_rankings`, `contract_history`, `status_spans`, `symbol_lifecycle`.
        They are immutable, and removed some publications later.

    Raises:
        UsageError: The location is not a supported URL.
        PublishedDatabaseError: Nothing is published there, or it cannot be read.

    Example:
        >>> parquet_files()["daily_availability"][0].rsplit("/", 1)[1]
        '2019.parquet'
    """
    settings = Settings.load()
    location = settings.db_path if location is None else location
    if isinstance(location, Path) or not is_url(location):
        database = database_path("the published database", str(location))
        return _by_relation(_local(database), str(Place.of(database).database.parent))
    url = published_url("the location", location)
    with reading_from(url):
        manifest = read_published(open_source(url, settings.timeout_seconds))
    # Not every HTTP client encodes non-ASCII names; s3:// URLs must not be encoded.
    return _by_relation(manifest, url if url.startswith("s3://") else quote(url, safe=_RESERVED))


def _local(database: Path) -> Manifest:
    try:
        manifest = read_manifest(Place.of(database).manifest)
    except (PublicationError, OSError) as error:
        raise PublishedDatabaseError(f"the published data at {database} cannot be read: {error}") from None
    if manifest is None:
        raise PublishedDatabaseError(
            f"there are no Parquet files beside {database}; run `binance-futures-availability publish` to make them"
        )
    return manifest


def _by_relation(manifest: Manifest, base: str) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for entry in sorted(manifest.files, key=lambda entry: entry.path):
        path = PurePosixPath(entry.path)
        if path.suffix == ".parquet":
            # generations/<id>/<relation>.parquet, or generations/<id>/<relation>/<year>.parquet
            files.setdefault(path.parts[2].removesuffix(path.suffix), []).append(f"{base}/{path}")
    return files


ATTEMPTS = 3
"""Downloads to try while generations are pruned during the download."""


def published_file(location: Path | str, settings: Settings | None = None) -> Path:
    """The published database as a local file.

    Args:
        location: Its path, or the URL of published generations, of which a new database is downloaded.
        settings: Those with the data directory that keeps it; from the environment by default.

    Raises:
        UsageError: The location is not a supported URL.
        PublishedDatabaseError: It cannot be downloaded, or is damaged.
    """
    if isinstance(location, Path) or not is_url(location):
        return database_path("the published database", str(location))
    url = published_url("the published database", location)
    settings = settings or Settings.load()
    folder = _folder(url, settings)
    try:
        with reading_from(url):
            return _newest(open_source(url, settings.timeout_seconds), folder)
    except OSError as error:
        cause = cause_of(error)
        raise PublishedDatabaseError(
            f"the published data at {url} cannot be kept in {folder} ({cause.reason}); {cause.remedy}, or set "
            "AVAILABILITY_DATA_DIR to another folder"
        ) from error


def file_at_hand(location: Path | str, settings: Settings) -> Path | None:
    """As `published_file`, without requests: the last download of a URL, or None."""
    if isinstance(location, Path) or not is_url(location):
        return published_file(location)
    fetched = _folder(published_url("the published database", location), settings).glob(f"*/{DATABASE}")
    return max(fetched, key=lambda path: path.stat().st_mtime, default=None)


def _folder(url: str, settings: Settings) -> Path:
    return settings.data_dir / "remote" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _newest(source: Source, folder: Path) -> Path:
    manifest = read_published(source)
    for attempt in range(1, ATTEMPTS + 1):
        entry, target = database_entry(manifest), folder / manifest.generation / DATABASE
        if target.is_file() and is_intact(target, entry):
            break
        try:
            _fetch(source, entry, target)
            break
        except RequestFailed:
            # Any failure: without permission to list, S3 answers 403 for missing objects; a download may be truncated.
            now = read_published(source)
            if now.generation == manifest.generation or attempt == ATTEMPTS:
                raise
            manifest = now
    _forget_older(folder, manifest.generation)
    return target


def _fetch(source: Source, entry: FileEntry, target: Path) -> None:
    """Download an object atomically, and verify size and checksum."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(target) as draft:
        digest, size = hashlib.sha256(), 0
        with draft.open("xb") as file, closing(source.chunks(entry.path)) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                if size > entry.bytes:
                    break
                file.write(chunk)
        if size < entry.bytes:
            raise RequestFailed(
                f"{entry.path} was cut off after {size:,} of {entry.bytes:,} bytes", "try again"
            )
        if size > entry.bytes or digest.hexdigest() != entry.sha256:
            raise RequestFailed(f"{entry.path} does not have its checksum", "publish there again")
        draft.chmod(draft.stat().st_mode & 0o444)  # read-only, like the files of generations
        sync(draft)
        draft.replace(target)


def _forget_older(folder: Path, generation: str) -> None:
    """Remove all but this generation and the one before it, which another process may be about to open."""
    with suppress(OSError):
        others = [path for path in folder.iterdir() if is_id(path.name) and path.name != generation]
        for path in sorted(others, key=lambda path: path.stat().st_mtime)[:-1]:
            shutil.rmtree(path, ignore_errors=True)

"""The databases that were fetched: one of each generation, below the data directory, opened like a local one.

<data directory>/remote/<hash of the URL>/<generation>/availability.duckdb
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing, suppress
from pathlib import Path

from availability_pipeline.causes import cause_of
from availability_pipeline.drafts import draft_of, sync
from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.locations import is_url, published_url
from availability_pipeline.object_storage.remote import database_entry, read_published, reading_from
from availability_pipeline.object_storage.source import RequestFailed, Source, open_source
from availability_pipeline.paths import database_path
from availability_pipeline.publishing.manifest import FileEntry, is_intact
from availability_pipeline.publishing.place import DATABASE, is_id
from availability_pipeline.settings import Settings

ATTEMPTS = 3
"""How many generations are tried to be fetched, if each is pruned while it is fetched."""


def published_file(location: Path | str, settings: Settings | None = None) -> Path:
    """The published database as a file of this machine.

    Args:
        location: Its path, or the URL of published generations, whose database is fetched if it is a new one.
        settings: Where it is kept; from the environment by default.

    Raises:
        UsageError: It is a URL that cannot be read from.
        PublishedDatabaseError: It cannot be fetched, or is damaged.
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
    """The same without asking a server: what was fetched last, None if nothing was; arguments and errors likewise."""
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
            # Whatever went wrong: S3 answers 403, not 404, to those who may not list, and a download may be cut off.
            now = read_published(source)
            if now.generation == manifest.generation or attempt == ATTEMPTS:
                raise
            manifest = now
    _forget_older(folder, manifest.generation)
    return target


def _fetch(source: Source, entry: FileEntry, target: Path) -> None:
    """Write the object into a file that is there in whole and with its checksum, or not at all."""
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
        draft.chmod(draft.stat().st_mode & 0o444)  # as those of generations, which nobody is to write to
        sync(draft)
        draft.replace(target)


def _forget_older(folder: Path, generation: str) -> None:
    """Remove all but this generation and the one that was fetched before it, which others may be about to open."""
    with suppress(OSError):
        others = [path for path in folder.iterdir() if is_id(path.name) and path.name != generation]
        for path in sorted(others, key=lambda path: path.stat().st_mtime)[:-1]:
            shutil.rmtree(path, ignore_errors=True)

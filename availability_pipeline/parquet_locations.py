"""Where the Parquet files of the generation are that is read now, for any program that reads Parquet."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import quote

from availability_pipeline.errors import PublicationError, PublishedDatabaseError
from availability_pipeline.locations import is_url, published_url
from availability_pipeline.object_storage.remote import read_published, reading_from
from availability_pipeline.object_storage.source import open_source
from availability_pipeline.paths import database_path
from availability_pipeline.publishing.manifest import Manifest, read_manifest
from availability_pipeline.publishing.place import Place
from availability_pipeline.settings import Settings

_RESERVED = "!$%&'()*+,/:;=@[]~"
"""What a URL consists of beside letters, digits and - . _"""


def parquet_files(location: Path | str | None = None) -> dict[str, list[str]]:
    """The Parquet files of a published database.

    Args:
        location: The path of the published database, or the URL of published generations (`s3://bucket/prefix`,
            `https://host/path`); by default what the settings say (`AVAILABILITY_DB_PATH`).

    Returns:
        By relation its files in order, as paths or full URLs: `daily_availability` (one of each year), `latest` (the
        last day that has files), `status_spans`, `symbol_lifecycle`. They never change; after some publications they
        are gone, and this is asked again.

    Raises:
        UsageError: The location is a URL that cannot be read from.
        PublishedDatabaseError: There is nothing published, or it cannot be read.

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
    # Not every program that reads https encodes names that are not ASCII; in s3:// nothing may be encoded.
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

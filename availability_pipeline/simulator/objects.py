"""The file side: what HEAD says of a file and what GET gives.

Belongs here: the object behind a key, with headers and bodies. Does not belong here: listings (`s3.py`).

A body is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.listing import (
    STRAY_MODIFIED,
    STRAY_SIZE,
    FileKey,
    KeyNames,
    KeySpace,
    stray_etag,
)
from availability_pipeline.simulator.s3 import S3Error
from availability_pipeline.simulator.shape import header_time


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object.

    Args:
        size: Recorded bytes.
        modified: Last-modified in seconds.
        etag: The unquoted ETag.
        body: Makes what GET gives.
        media_type: Its Content-Type.
    """

    size: int
    modified: int
    etag: str
    body: Callable[[], bytes]
    media_type: str = "application/zip"


def find_object(keys: KeySpace, key: str) -> StoredObject | None:
    """The visible object of a key."""
    names = keys.names
    symbol = names.symbol_of(key)
    if symbol and key in names.strays(symbol):
        return _stray(key) if keys.archive.visible(symbol) else None
    for archive, names in keys.shelves:
        file = names.parse(key)
        if file is not None:
            return _file(archive, names, file)
    return None


def _stray(key: str) -> StoredObject:
    return StoredObject(STRAY_SIZE, STRAY_MODIFIED, stray_etag(key), lambda: bytes(STRAY_SIZE))


def _file(archive: SimulatedArchive, names: KeyNames, file: FileKey) -> StoredObject | None:
    folder, files = archive.folder(file.symbol), archive.visible(file.symbol)
    at = None if files is None else files.index(file.day)
    if folder is None or files is None or at is None:
        return None
    name = names.file_name(file.symbol, file.day)
    if not file.checksum:
        zipped = partial(folder.body, name, files, at)
        return StoredObject(files.sizes[at], files.modified[at], files.etag(at), zipped)
    digest = partial(folder.checksum, name, files, at)
    modified, etag = files.checksum_modified(at), files.etag(at, checksum=True)
    return StoredObject(names.checksum_size(file.symbol), modified, etag, digest, "binary/octet-stream")


def object_response(keys: KeySpace, key: str, *, head: bool) -> Response:
    """The answer to HEAD or GET of a key.

    Raises:
        S3Error: There is no such key.
    """
    found = find_object(keys, key)
    if found is None:
        raise S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)
    headers = {
        "Last-Modified": header_time(found.modified),
        "ETag": f'"{found.etag}"',
        "Accept-Ranges": "bytes",
        "x-amz-server-side-encryption": "AES256",
    }
    if head:
        headers["Content-Length"] = str(found.size)
    return Response(None if head else found.body(), headers=headers, media_type=found.media_type)

"""The file side: what HEAD says of a file and what GET gives.

Belongs here: the object behind a key, with headers and bodies. Does not belong here: listings (`s3.py`).

A zip is small here whatever its recorded size, so its GET has the length of the real body and its HEAD the
recorded one. The CHECKSUM fits what GET gives.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from availability_pipeline.simulator.listing import (
    STRAY_MODIFIED,
    STRAY_SIZE,
    KeySpace,
    stray_etag,
    stray_name,
)
from availability_pipeline.simulator.s3 import S3Error
from availability_pipeline.simulator.shape import FLAT_BYTES, SECONDS_PER_DAY, header_time

_COLUMNS = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
_ROWS = 5
_MINUTE_MS = 60_000


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
    files = None if symbol is None else keys.archive.visible(symbol)
    if symbol is None or not files:
        return None
    if key == f"{names.root}{symbol}/{stray_name(symbol)}":
        return StoredObject(STRAY_SIZE, STRAY_MODIFIED, stray_etag(key), lambda: b"\0" * STRAY_SIZE)
    file = names.parse(key)
    at = None if file is None else files.index(file.day)
    if file is None or at is None:
        return None
    flat = files.sizes[at] < FLAT_BYTES[1]
    name = names.file_name(symbol, file.day)
    zipped = partial(zip_body, name, file.day, files.etag(at), flat=flat)
    if not file.checksum:
        return StoredObject(files.sizes[at], files.modified[at], files.etag(at), zipped)
    digest = partial(_checksum_body, zipped, name)
    modified, etag = files.checksum_modified(at), files.etag(at, checksum=True)
    return StoredObject(names.checksum_size(symbol), modified, etag, digest, "binary/octet-stream")


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


def _checksum_body(zipped: Callable[[], bytes], name: str) -> bytes:
    return f"{hashlib.sha256(zipped()).hexdigest()}  {name}\n".encode()


def zip_body(name: str, day: int, etag: str, *, flat: bool) -> bytes:
    """A small zip with the first minutes of a day, the same for the same ETag.

    Args:
        name: What the zip is called.
        day: The day's number.
        etag: What makes the prices.
        flat: Whether nothing was traded.
    """
    price = 1 + int(etag[:6], 16) / 1000
    rows = [
        _row(day * SECONDS_PER_DAY * 1000 + minute * _MINUTE_MS, price, minute, flat)
        for minute in range(_ROWS)
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            zipfile.ZipInfo(f"{name.removesuffix('.zip')}.csv"), "\n".join((_COLUMNS, *rows, ""))
        )
    return buffer.getvalue()


def _row(opened_ms: int, price: float, minute: int, flat: bool) -> str:
    step = 0.0 if flat else minute / 100
    volume, trades = (0, 0) if flat else (10 + minute, 3 + minute)
    opened, closed = f"{price:.4f}", f"{price + step:.4f}"
    cells = (opened_ms, opened, closed, opened, closed, volume, opened_ms + _MINUTE_MS - 1)
    return ",".join(
        map(str, (*cells, f"{volume * price:.4f}", trades, volume / 2, f"{volume * price / 2:.4f}", 0))
    )

"""The file side: what HEAD says of a file and what GET gives.

Belongs here: the object behind a key, with headers and bodies. Does not belong here: listings (`s3.py`).

A zip is small here whatever its recorded size, so its GET has the length of the real body and its HEAD the
recorded one. The CHECKSUM fits what GET gives.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass

from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.keys import (
    ROOT,
    STRAY_MODIFIED,
    STRAY_SIZE,
    FileKey,
    checksum_size,
    file_name,
    parse_key,
    stray_etag,
    stray_name,
    symbol_of,
)
from availability_pipeline.simulator.s3 import no_such_key
from availability_pipeline.simulator.shape import FLAT_BYTES
from availability_pipeline.simulator.stamps import SECONDS_PER_DAY, header_time
from availability_pipeline.simulator.wire import Response

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
        file: The parts of its key; None for a stray object.
        size: Recorded bytes.
        modified: Last-modified in seconds.
        etag: The unquoted ETag of the object.
        zip_etag: That of the zip which a CHECKSUM is about.
    """

    file: FileKey | None
    size: int
    modified: int
    etag: str
    zip_etag: str
    zip_size: int

    def body(self) -> bytes:
        """What GET gives."""
        if self.file is None:
            return b"\0" * self.size
        zipped = zip_body(self.file.symbol, self.file.day, self.zip_etag, flat=self.zip_size < FLAT_BYTES[1])
        if not self.file.checksum:
            return zipped
        name = file_name(self.file.symbol, self.file.day)
        return f"{hashlib.sha256(zipped).hexdigest()}  {name}\n".encode()


def find_object(archive: SimulatedArchive, key: str) -> StoredObject | None:
    """The visible object of a key."""
    file = parse_key(key)
    if file is None:
        return _stray(archive, key)
    files = archive.visible(file.symbol)
    at = None if files is None else files.index(file.day)
    if files is None or at is None:
        return None
    zip_etag, zip_size = files.etag(at), files.sizes[at]
    if not file.checksum:
        return StoredObject(file, zip_size, files.modified[at], zip_etag, zip_etag, zip_size)
    modified, etag = files.checksum_modified(at), files.etag(at, checksum=True)
    return StoredObject(file, checksum_size(file.symbol), modified, etag, zip_etag, zip_size)


def _stray(archive: SimulatedArchive, key: str) -> StoredObject | None:
    symbol = symbol_of(key)
    if symbol is None or key != f"{ROOT}{symbol}/{stray_name(symbol)}" or not archive.visible(symbol):
        return None
    etag = stray_etag(key)
    return StoredObject(None, STRAY_SIZE, STRAY_MODIFIED, etag, etag, STRAY_SIZE)


def object_response(archive: SimulatedArchive, key: str, *, head: bool) -> Response:
    """The answer to HEAD or GET of a key.

    Raises:
        S3Error: There is no such key.
    """
    found = find_object(archive, key)
    if found is None:
        raise no_such_key(key)
    headers = (
        ("Last-Modified", header_time(found.modified)),
        ("ETag", f'"{found.etag}"'),
        ("Accept-Ranges", "bytes"),
        ("x-amz-server-side-encryption", "AES256"),
    )
    kind = "binary/octet-stream" if found.file is not None and found.file.checksum else "application/zip"
    if head:
        return Response(200, kind, headers=headers, length=found.size)
    return Response(200, kind, found.body(), headers)


def zip_body(symbol: str, day: int, etag: str, *, flat: bool) -> bytes:
    """A small zip with the first minutes of a day, the same for the same ETag.

    Args:
        symbol: The contract.
        day: The day's number.
        etag: What makes the prices.
        flat: Whether nothing was traded.
    """
    price = 1 + int(etag[:6], 16) / 1000
    rows = [
        _row(day * SECONDS_PER_DAY * 1000 + minute * _MINUTE_MS, price, minute, flat)
        for minute in range(_ROWS)
    ]
    name = file_name(symbol, day).removesuffix(".zip") + ".csv"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), "\n".join((_COLUMNS, *rows, "")))
    return buffer.getvalue()


def _row(opened_ms: int, price: float, minute: int, flat: bool) -> str:
    step = 0.0 if flat else minute / 100
    volume, trades = (0, 0) if flat else (10 + minute, 3 + minute)
    opened, closed = f"{price:.4f}", f"{price + step:.4f}"
    cells = (opened_ms, opened, closed, opened, closed, volume, opened_ms + _MINUTE_MS - 1)
    return ",".join(
        map(str, (*cells, f"{volume * price:.4f}", trades, volume / 2, f"{volume * price / 2:.4f}", 0))
    )

"""Zips of klines as tests write them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable

HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n"
DAY_MS, MINUTE_MS = 86_400_000, 60_000
JANUARY = 1_704_067_200_000
"""2024-01-01 in milliseconds."""


def row(time: int, volume: object = 12.5, count: object = 3, *, close: object = 1.25, end: object = 0) -> str:
    """One row; quote volume, taker-buy amounts and prices other than the close are constant."""
    return f"{time},1.1,1.5,1.0,{close},{volume},{end},100.5,{count},4.5,40.25,0\n"


def packed(text: str | bytes, *names: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with the same text under each name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(name, text)
    return buffer.getvalue()


def month(rows: Iterable[str] = (), header: str = HEADER) -> bytes:
    """A monthly file of January 2024 with these rows."""
    return packed(header + "".join(rows), "BTCUSDT-1d-2024-01.csv")


def minutes(rows: Iterable[str] = (), header: str = HEADER) -> bytes:
    """A 1-minute file of 2024-01-01 with these rows."""
    return packed(header + "".join(rows), "BTCUSDT-1m-2024-01-01.csv")


def encrypted(body: bytes) -> bytes:
    """The zip with the flag of encryption set in both headers."""
    central = body.index(b"PK\x01\x02")
    changed = bytearray(body)
    changed[6] |= 1
    changed[central + 8] |= 1
    return bytes(changed)


def beyond_the_end(name: str) -> bytes:
    """A zip64 whose directory says that its entry begins at the last byte that 64 bits can name."""
    body = packed("", name)
    central, end = body.index(b"PK\x01\x02"), body.index(b"PK\x05\x06")
    entry, after = bytearray(body[central:end]), bytearray(body[end:])
    struct.pack_into("<H", entry, 30, 12)
    struct.pack_into("<I", entry, 42, 2**32 - 1)
    entry += struct.pack("<HHQ", 1, 8, 2**64 - 1)
    struct.pack_into("<I", after, 12, len(entry))
    return body[:central] + bytes(entry + after)


def lying_bomb(name: str, declared: int, actual: int) -> bytes:
    """A zip whose entry says that it has fewer bytes than are packed in it."""
    text = b"0" * actual
    body = bytearray(packed(text, name))
    central = body.index(b"PK\x01\x02")
    for at in (22, central + 24):
        struct.pack_into("<I", body, at, declared)
    crc = zlib.crc32(text[:declared]) ^ 1
    for at in (14, central + 16):
        struct.pack_into("<I", body, at, crc)
    return bytes(body)

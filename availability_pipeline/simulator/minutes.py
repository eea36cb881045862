"""The 1-minute file of a day."""

from __future__ import annotations

import io
import zipfile

from availability_pipeline.simulator.klines import HEADER
from availability_pipeline.simulator.shape import SECONDS_PER_DAY

_ROWS = 5
_MINUTE_MS = 60_000


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
            zipfile.ZipInfo(f"{name.removesuffix('.zip')}.csv"), "\n".join((HEADER.rstrip(), *rows, ""))
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

"""Download lists: the URLs of existing files, for downloaders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from availability_pipeline.catalogue import CHECKSUM, AvailabilityRow, Dataset
from availability_pipeline.symbols import counted


@dataclass
class Totals:
    """Totals of a list, counted while it is made."""

    files: int = 0
    bytes: int = 0
    without_checksum: int = 0
    """Files without a checksum in the archive."""
    unknown_checksum: int = 0
    """Files of which it is unknown."""

    def __str__(self) -> str:
        parts = [f"{counted(self.files, 'file')}, {readable_size(self.bytes)}"]
        if self.without_checksum:
            parts.append(f"{counted(self.without_checksum, 'file')} without a checksum in the archive")
        if self.unknown_checksum:
            parts.append(
                f"{counted(self.unknown_checksum, 'checksum')} left out, because their days were probed and not yet "
                "listed; `backfill --missing` lists the last days"
            )
        return "; ".join(parts)


def lines(
    rows: Iterable[AvailabilityRow],
    totals: Totals,
    dataset: Dataset,
    *,
    without_checksum: Mapping[tuple[dt.date, str], bool | None] | None = None,
    aria2: bool = False,
) -> Iterator[str]:
    """The lines of a list, with line ends.

    Args:
        rows: Existing files.
        totals: Counts the files, without their checksums of about 100 bytes each.
        dataset: The dataset of the files.
        without_checksum: If given, each file's checksum is listed as well, except for these
            (`AvailabilityQueries.files_without_checksum`).
        aria2: Whether to write an input file for aria2 that keeps the archive's folders.
    """
    for row in rows:
        totals.files += 1
        totals.bytes += row["file_size_bytes"] or 0
        for ending in _endings(row, totals, without_checksum):
            yield f"{row['url']}{ending}\n"
            if aria2:
                yield f"  out={dataset.key(row['symbol'], row['date'])}{ending}\n"


def _endings(
    row: AvailabilityRow, totals: Totals, without: Mapping[tuple[dt.date, str], bool | None] | None
) -> tuple[str, ...]:
    key = row["date"], row["symbol"]
    if without is None:
        return ("",)
    if key not in without:
        return ("", CHECKSUM)
    if without[key] is None:
        totals.unknown_checksum += 1
    else:
        totals.without_checksum += 1
    return ("",)


def readable_size(count: int) -> str:
    """Bytes in decimal units."""
    if count < 1000:
        return f"{count} B"
    size, units = float(count), iter(("kB", "MB", "GB", "TB"))
    unit = "B"
    while size >= 999.95 and (larger := next(units, None)):
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}"

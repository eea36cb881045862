"""Download lists: the URLs of files that exist, for programs that fetch them.

Rows come in as `queries` gives them and go out as lines of text. Nothing is asked of the archive or fetched from it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from availability_pipeline.catalogue import CHECKSUM, AvailabilityRow, Dataset
from availability_pipeline.symbols import counted


@dataclass
class Totals:
    """How much a list is about, counted while it is made."""

    files: int = 0
    bytes: int = 0
    without_checksum: int = 0
    """Files whose checksum is left out because the archive has none."""
    unknown_checksum: int = 0
    """Likewise because it is not known whether it has one."""

    def __str__(self) -> str:
        parts = [f"{counted(self.files, 'file')}, {_size(self.bytes)}"]
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
    """The lines of a list, with their ends.

    Args:
        rows: Files that exist.
        totals: Counts the files of the rows; their checksums, of about a hundred bytes each, are not counted.
        dataset: What the files are of.
        without_checksum: If given, the URL of each file's checksum follows it, except for these
            (`AvailabilityQueries.files_without_checksum`).
        aria2: Whether the list is an input file for aria2, which then saves each file under its path in the archive.
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


def _size(count: int) -> str:
    """Bytes as people say them, in powers of a thousand."""
    if count < 1000:
        return f"{count} B"
    size, units = float(count), iter(("kB", "MB", "GB", "TB"))
    unit = "B"
    while size >= 999.95 and (larger := next(units, None)):
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}"

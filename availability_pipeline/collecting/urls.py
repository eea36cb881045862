"""Download lists: the URLs of existing files, for downloaders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from availability_pipeline.catalogue.columns import AvailabilityRow
from availability_pipeline.catalogue.datasets import CHECKSUM, Dataset
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


@dataclass
class LeftOut:
    """The files that a list of complete ones leaves out, counted while it is made."""

    incomplete: int = 0
    not_inspected: int = 0
    """Files whose published version was not inspected."""

    def __str__(self) -> str:
        return (
            f"left out: {counted(self.incomplete, 'incomplete file')}, {counted(self.not_inspected, 'file')} that "
            f"{'was' if self.not_inspected == 1 else 'were'} not inspected"
        )


def only_complete(
    rows: Iterable[AvailabilityRow],
    not_complete: Mapping[tuple[dt.date, str], str | None],
    left_out: LeftOut,
) -> Iterator[AvailabilityRow]:
    """The files that were inspected and are whole.

    Args:
        rows: Existing files.
        not_complete: The others among them (`AvailabilityQueries.files_not_complete`).
        left_out: Counts them.
    """
    for row in rows:
        key = row["date"], row["symbol"]
        if key not in not_complete:
            yield row
        elif not_complete[key] is None:
            left_out.not_inspected += 1
        else:
            left_out.incomplete += 1


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

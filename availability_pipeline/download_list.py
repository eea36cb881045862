"""Download lists: the URLs of files that exist, for programs that fetch them.

Rows come in as `queries` gives them and go out as lines of text. Nothing is asked of the archive or fetched from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from availability_pipeline.archive.keys import day_mark
from availability_pipeline.queries.columns import AvailabilityRow
from availability_pipeline.words import counted

CHECKSUM = ".CHECKSUM"
"""What the archive appends to the name of a file for the name of its checksum."""


@dataclass
class Totals:
    """How much a list is about, counted while it is made."""

    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')}, {_size(self.bytes)}"


def lines(
    rows: Iterable[AvailabilityRow], totals: Totals, *, checksums: bool = False, aria2: bool = False
) -> Iterator[str]:
    """The lines of a list, with their ends.

    Args:
        rows: Files that exist.
        totals: Counts the files of the rows; their checksums, of about a hundred bytes each, are not counted.
        checksums: Whether the URL of each file's checksum follows it.
        aria2: Whether the list is an input file for aria2, which then saves each file under its path in the archive.
    """
    for row in rows:
        totals.files += 1
        totals.bytes += row["file_size_bytes"] or 0
        for ending in ("", CHECKSUM) if checksums else ("",):
            yield f"{row['url']}{ending}\n"
            if aria2:
                yield f"  out={day_mark(row['symbol'], row['date'])}.zip{ending}\n"


def _size(count: int) -> str:
    """Bytes as people say them, in powers of a thousand."""
    if count < 1000:
        return f"{count} B"
    size, units = float(count), iter(("kB", "MB", "GB", "TB"))
    unit = "B"
    while size >= 999.95 and (larger := next(units, None)):
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}"

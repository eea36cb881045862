"""A folder with files of the archive under the archive's paths, and the manifest of what was fetched into it.

A file has its final name only when it is complete and verified, and then its modification time is the archive's. So
what a killed process did not note in the manifest is recognized, and verified again without a download.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from availability_pipeline.errors import AvailabilityError, UsageError, cause_of
from availability_pipeline.warehouse.atomic import draft_of, sync

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.parquet"
"""One row per file, by path; the columns are those of `Entry`."""

_SCRATCH = "download"
"""What drafts of files are called by; a process has a folder of its own for them."""


class Entry(NamedTuple):
    """A complete file of the folder, a row of the manifest."""

    path: str
    """Below the folder, with slashes: the archive's key."""
    symbol: str
    date: dt.date
    """The UTC day that the file is about."""
    bytes: int
    last_modified: dt.datetime
    """As the archive gave it with the file; naive, UTC."""
    sha256: str
    """Of the file, hexadecimal."""
    checksum: str
    """agrees: the archive's checksum is the same; none: the archive has no checksum."""
    fetched_at: dt.datetime
    """Naive, UTC."""


class Mirror:
    """A folder of files and its manifest.

    Args:
        folder: The folder; made when something is put there.

    Raises:
        UsageError: It is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if os.path.lexists(folder) and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; name another one")
        self.folder = folder
        self.manifest = folder / MANIFEST
        self._new: dict[str, Entry] = {}

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make the folder, and one in it for drafts; those of dead processes are removed. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with draft_of(self.folder / _SCRATCH) as drafts:
            drafts.mkdir()
            yield drafts

    def put(self, draft: Path, path: str, last_modified: dt.datetime) -> None:
        """Give a complete draft its name."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # The names need no sync: a file that a crash lost is fetched again.
        sync(draft)
        set_time(draft, last_modified)
        draft.replace(target)

    def entries(self) -> Callable[[Iterable[str]], dict[str, Entry]]:
        """Read the manifest; gives a function that looks up some files by path, and makes entries of these only.

        Raises:
            AvailabilityError: It cannot be read.
        """
        import pyarrow as pa  # noqa: PLC0415 - only a download needs it
        import pyarrow.compute as pc  # noqa: PLC0415

        table = self._table()

        def found(paths: Iterable[str]) -> dict[str, Entry]:
            if table is None:
                return {}
            held = table.filter(pc.is_in(table["path"], pa.array(paths, pa.string())))
            columns = (column.to_pylist() for column in held.columns)
            return {row[0]: Entry(*row) for row in zip(*columns, strict=True)}

        return found

    def add(self, entry: Entry) -> None:
        """Note a file, to be written by `save`."""
        self._new[entry.path] = entry

    def save(self) -> None:
        """Write what was noted since into the manifest, beside what other processes have noted meanwhile.

        Raises:
            AvailabilityError: The manifest cannot be read.
            OSError: It could not be written; what is noted stays noted.
        """
        if not self._new:
            return
        import pyarrow as pa  # noqa: PLC0415 - only a download needs it
        import pyarrow.compute as pc  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        new = dict(self._new)
        table = pa.table(list(zip(*new.values(), strict=True)), schema=_schema())
        with FileLock(f"{self.folder / f'.{MANIFEST}'}.lock"):
            held = self._table()
            if held is not None:
                others = held.filter(pc.invert(pc.is_in(held["path"], table["path"].combine_chunks())))
                table = pa.concat_tables([others, table])
            with draft_of(self.manifest) as draft:
                pq.write_table(table.sort_by("path"), draft, compression="zstd")
                sync(draft)
                draft.replace(self.manifest)
        self._new = {}

    @property
    def unsaved(self) -> int:
        """How many files are noted and not saved."""
        return len(self._new)

    def _table(self) -> pa.Table | None:
        import pyarrow as pa  # noqa: PLC0415 - only a download needs it
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            table = pq.read_table(self.manifest, partitioning=None, memory_map=False)
            return table.select(Entry._fields).cast(_schema())
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = (
                cause_of(error).reason if isinstance(error, OSError) and error.errno else "not as it was made"
            )
            raise AvailabilityError(
                f"the manifest {self.manifest} cannot be read ({reason}); move it away, then the next download "
                "verifies again what is there"
            ) from error


def _schema() -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415 - only a download needs it

    return pa.schema(
        {
            "path": pa.string(),
            "symbol": pa.string(),
            "date": pa.date32(),
            "bytes": pa.int64(),
            "last_modified": pa.timestamp("us"),
            "sha256": pa.string(),
            "checksum": pa.string(),
            "fetched_at": pa.timestamp("us"),
        }
    )


def hash_of(path: Path) -> str:
    """The SHA-256 of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def set_time(path: Path, moment: dt.datetime) -> None:
    """Set the modification time of a file to a naive moment in UTC."""
    seconds = int(moment.replace(tzinfo=dt.UTC).timestamp())
    os.utime(path, (seconds, seconds))


def has_time(status: os.stat_result, moment: dt.datetime) -> bool:
    """Whether a file has that modification time, to the second."""
    return int(status.st_mtime) == int(moment.replace(tzinfo=dt.UTC).timestamp())

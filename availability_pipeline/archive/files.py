"""The files of the archive as Arrow tables: the one form in which listing and probing report them.

One row per file that exists. Columns: `date` (UTC day), `symbol`, `file_size_bytes`, `last_modified` (UTC,
whole seconds: a HEAD does not tell more, and both ways must give the same rows), `has_checksum` (NULL from a HEAD,
which says nothing of it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import methodcaller

import pyarrow as pa
import pyarrow.compute as pc

from availability_pipeline.archive.names import FileKey, UnknownName, first_day_text, parse_key
from availability_pipeline.catalogue.columns import IN_FILES, arrow_schema
from availability_pipeline.catalogue.datasets import CHECKSUM, Dataset

FILES = arrow_schema(IN_FILES, moments="s")
"""The columns of a table of files."""

_DATE_LENGTH = {"daily": len("2024-01-15"), "monthly": len("2024-01")}


def files_of_page(
    dataset: Dataset,
    symbol: str,
    names: Sequence[str],
    last_modified: Sequence[bytes],
    sizes: Sequence[bytes],
) -> pa.RecordBatch:
    """The contract's zips among the keys of a page, and whether the checksum of each is there as well.

    Whatever else is there is left out.

    Args:
        dataset: What was listed.
        symbol: The contract whose folder was listed.
        names: Keys, decoded.
        last_modified: As S3 writes it, such as `2024-01-16T08:12:33.000Z`.
        sizes: Bytes, in digits.

    Raises:
        ValueError: A last-modified or a size is not what S3 writes.
    """
    if not all(map(bytes.isdigit, sizes)):
        raise ValueError("a size is no number")
    prefix = dataset.key_stem(symbol)
    date = slice(len(prefix), len(prefix) + _DATE_LENGTH[dataset.period])
    # Nearly all pages are; to look at each of their keys would take an eighth more of the time of a page.
    is_of_pairs = _is_of_pairs(names, prefix, date)
    rows: Sequence[int] = range(0, len(names), 2)
    if not is_of_pairs:
        rows = [row for row, name in enumerate(names) if _is_zip(name, prefix, date)]
    try:
        dates = _dates(dataset, [names[row][date] for row in rows])
    except pa.ArrowInvalid:
        rows = [row for row in rows if is_file(dataset, names[row])]
        dates = _dates(dataset, [names[row][date] for row in rows])
    present = set(() if is_of_pairs else names)
    return pa.record_batch(
        [
            dates,
            pa.repeat(symbol, len(rows)),
            pa.array([int(sizes[row]) for row in rows], pa.int64()),
            _whole_seconds([last_modified[row] for row in rows]),
            pa.array([is_of_pairs or names[row] + CHECKSUM in present for row in rows], pa.bool_()),
        ],
        schema=FILES,
    )


def _is_of_pairs(names: Sequence[str], prefix: str, date: slice) -> bool:
    """Whether each second key is the checksum of what is before it, and that may be a zip."""
    firsts = names[::2]
    return (
        names[1::2] == [name + CHECKSUM for name in firsts]
        and {name[: date.start] for name in firsts} == {prefix}
        and {name[date.stop :] for name in firsts} == {".zip"}
    )


def _is_zip(name: str, prefix: str, date: slice) -> bool:
    """Whether a key may be that of a zip: there is a text as long as a date in it."""
    return len(name) == date.stop + len(".zip") and name.endswith(".zip") and name.startswith(prefix)


def strays_of_page(dataset: Dataset, names: Sequence[str], files: pa.RecordBatch) -> list[str]:
    """The keys that are neither a zip nor a checksum of the dataset.

    Args:
        dataset: What was listed.
        names: Keys of one folder.
        files: What `files_of_page` made of them.
    """
    if files.num_rows + files.column("has_checksum").true_count == len(names):
        return []
    return [name for name in names if not is_file(dataset, name)]


def _dates(dataset: Dataset, texts: list[str]) -> pa.Array:
    if dataset.period != "daily":
        texts = [first_day_text(dataset, text) for text in texts]
    return pa.array(texts, pa.string()).cast(pa.date32())


def is_file(dataset: Dataset, name: str) -> bool:
    """Whether a key is that of a zip or a checksum of the dataset."""
    try:
        parse_key(dataset, name)
    except UnknownName:
        return False
    return True


_IS_UTC = methodcaller("endswith", b"Z")


def _whole_seconds(texts: Sequence[bytes]) -> pa.Array:
    if not all(map(_IS_UTC, texts)):
        raise ValueError("a last-modified is not in UTC")
    return pa.array([text[:19] for text in texts], pa.binary()).cast(pa.string()).cast(pa.timestamp("s"))


def join_files(batches: Iterable[pa.RecordBatch], checksums: Iterable[FileKey] = ()) -> pa.Table:
    """All batches as one table.

    Args:
        batches: As `files_of_page` makes them.
        checksums: Those that were on another page than their zip.
    """
    files = pa.Table.from_batches(list(batches), FILES).combine_chunks()
    for key in checksums:
        zips = pc.and_(pc.equal(files["symbol"], key.symbol), pc.equal(files["date"], pa.scalar(key.day)))
        column = pc.or_(files["has_checksum"], zips)
        files = files.set_column(FILES.get_field_index("has_checksum"), FILES.field("has_checksum"), column)
    return files

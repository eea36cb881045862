"""The entries of a listing as XML: one `Contents` for each key of a run.

Belongs here: what is written for every key, and so has to be fast. Does not belong here: the rest of the
answer (`s3.py`), and which keys a page has (`listing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from availability_pipeline.simulator.folder import checksum_moment
from availability_pipeline.simulator.keys import STRAY_MODIFIED, STRAY_SIZE, checksum_size, stray_etag
from availability_pipeline.simulator.listing import Run
from availability_pipeline.simulator.shape import ETAG_BYTES
from availability_pipeline.simulator.stamps import CLOCK_TEXTS, DAY_TEXTS, SECONDS_PER_DAY, listing_time

Write = Callable[[str], str]
"""How a name is written: escaped for XML, and percent-encoded if that was asked for."""


def contents(run: Run, write: Write) -> Iterator[str]:
    """The entries of a run: whole days together, as those are nearly all, and what is left at its ends."""
    start, stop = run.start, run.stop
    if start < run.keys.strays:
        key = f"{run.keys.prefix}{run.keys.stray}"
        yield _entry(write(key), STRAY_MODIFIED, stray_etag(key), STRAY_SIZE)
        start += 1
    first, last = start - run.keys.strays, stop - run.keys.strays
    yield "".join(_days(run, first // 2, -(-last // 2), write)) if first < last else ""


def _days(run: Run, first: int, last: int, write: Write) -> Iterator[str]:
    """Both entries of each day between two indices, as far as the run has them."""
    texts = _day_entries(run, first, last, write)
    head = run.start > run.keys.strays and (run.start - run.keys.strays) % 2
    tail = (run.stop - run.keys.strays) % 2
    if head:
        texts[0] = texts[0].partition("</Contents>")[2]
    if tail:
        texts[-1] = texts[-1][: texts[-1].rindex("<Contents>")]
    return iter(texts)


def _day_entries(run: Run, first: int, last: int, write: Write) -> list[str]:
    # This loop runs for every file of every page, so it is written flat.
    name = write(f"{run.keys.prefix}1m/{run.keys.symbol}-1m-")
    sum_size = checksum_size(run.keys.symbol)
    raw = run.files.etags[first * ETAG_BYTES : last * ETAG_BYTES]
    texts, hexes = [], raw.hex()
    columns = zip(
        run.files.days[first:last], run.files.modified[first:last], run.files.sizes[first:last], strict=True
    )
    for at, (day, modified, size) in enumerate(columns):
        midnight, second = divmod(modified, SECONDS_PER_DAY)
        key, date, start = f"{name}{DAY_TEXTS[day]}.zip", DAY_TEXTS[midnight], 64 * at
        sum_second = checksum_moment(second, raw[ETAG_BYTES * at])
        texts.append(
            f"<Contents><Key>{key}</Key><LastModified>{date}{CLOCK_TEXTS[second]}</LastModified>"
            f"<ETag>&quot;{hexes[start : start + 32]}&quot;</ETag><Size>{size}</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
            f"<Contents><Key>{key}.CHECKSUM</Key><LastModified>{date}{CLOCK_TEXTS[sum_second]}</LastModified>"
            f"<ETag>&quot;{hexes[start + 32 : start + 64]}&quot;</ETag><Size>{sum_size}</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
        )
    return texts


def _entry(name: str, modified: int, etag: str, size: int) -> str:
    return (
        f"<Contents><Key>{name}</Key><LastModified>{listing_time(modified)}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )

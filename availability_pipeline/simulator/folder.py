"""One folder of the archive: its files as columns, and which of them are visible at a moment.

Belongs here: putting holes, publication and changes by a script together, and what is visible when.
Does not belong here: how large a file is (`shape.py`), which folders there are (`content.py`), and keys in order
over folders (`listing.py`).

A page of a listing shows 500 days, so files are kept in columns that can be cut, not as one object each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from availability_pipeline.simulator.facts import FolderFacts, Hole
from availability_pipeline.simulator.shape import ETAG_BYTES, file_etags, file_sizes, publication_moments
from availability_pipeline.simulator.stamps import SECONDS_PER_DAY, day_number

_EXAMINED_DAYS = 3
"""Days before today and after it whose publication has to be looked at one by one."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one folder in day order, as columns.

    Args:
        days: Day numbers.
        modified: Last-modified of the zips in seconds.
        sizes: Bytes of the zips.
        etags: `ETAG_BYTES` for each day.
        valid_from: The first second at which exactly these files are visible.
        valid_until: The first second at which that is over.
    """

    days: array[int]
    modified: array[int]
    sizes: array[int]
    etags: bytes
    valid_from: float
    valid_until: float

    def __len__(self) -> int:
        return len(self.days)

    def index(self, day: int) -> int | None:
        """Where a day is, or None without a file."""
        at = bisect_left(self.days, day)
        return at if at < len(self.days) and self.days[at] == day else None

    def etag(self, at: int, *, checksum: bool = False) -> str:
        """The unquoted ETag of the zip at an index, or of its CHECKSUM."""
        start = at * ETAG_BYTES + (ETAG_BYTES // 2 if checksum else 0)
        return self.etags[start : start + ETAG_BYTES // 2].hex()

    def checksum_modified(self, at: int) -> int:
        """Last-modified of the CHECKSUM: the second of its zip or the next one."""
        return checksum_moment(self.modified[at], self.etags[at * ETAG_BYTES])


class Moment(NamedTuple):
    """What decides which files are visible.

    Args:
        now: The time in seconds.
        through: The last published day, if that is set by hand; None for what the time allows.
    """

    now: float
    through: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One file as a script wants it, and the second from which on it is visible."""

    size: int
    modified: int
    etags: bytes
    visible_from: int


def checksum_moment(modified: int, etag: int) -> int:
    """Last-modified of a CHECKSUM, from that of its zip and the first byte of the zip's ETag."""
    # Never over midnight, so that a second of the day can be moved on by itself.
    return modified + (etag & 1 if modified % SECONDS_PER_DAY < SECONDS_PER_DAY - 1 else 0)


class Folder:
    """One folder: what is recorded of it and what a script changed.

    Args:
        facts: The record.
        market_holes: Days on which the whole market was late.
    """

    def __init__(self, facts: FolderFacts, market_holes: Iterable[Hole] = ()) -> None:
        self.facts = facts
        self.first = day_number(facts.first_day)
        self.last = None if facts.last_day is None else day_number(facts.last_day)
        self._holes = (*market_holes, *facts.holes)
        self._starts_late = any(facts.first_day in hole.days for hole in self._holes)
        self._changes: dict[int, Change | None] = {}
        self._all: Files | None = None
        self._late: dict[int, int] = {}
        self._horizon = self.first
        self._visible: Files | None = None
        self._visible_through: int | None = None

    def change(self, day: int, change: Change | None) -> None:
        """Set one file, or take it away."""
        self._changes[day] = change
        self._all = self._visible = None

    def visible(self, moment: Moment) -> Files:
        """The files that can be seen at a moment."""
        now, through = moment
        files = self._visible
        if (
            files is None
            or through != self._visible_through
            or not files.valid_from <= now < files.valid_until
        ):
            files = self._visible = self._select(now, through)
            self._visible_through = through
        return files

    def has_files(self, moment: Moment) -> bool:
        """Whether any file can be seen; cheap for a folder that is not just starting."""
        now, through = moment
        settled_through = int(now // SECONDS_PER_DAY) - _EXAMINED_DAYS if through is None else through
        if not self._changes and not self._starts_late and self.first <= settled_through:
            return True
        return len(self.visible(moment)) > 0

    def _select(self, now: float, through: int | None) -> Files:
        today = int(now // SECONDS_PER_DAY)
        files = self._columns((today if through is None else max(today, through)) + _EXAMINED_DAYS + 1)
        if through is not None:
            hidden = {day for day, visible_from in self._late.items() if visible_from > now}
            hidden.update(files.days[bisect_left(files.days, through + 1) :])
            return _without(files, hidden, *self._late_window(now))
        near = files.days[bisect_left(files.days, today - _EXAMINED_DAYS) :]
        moments = {day: files.modified[files.index(day) or 0] for day in near} | self._late
        hidden = {day for day, moment in moments.items() if moment > now}
        start = max((moment for moment in moments.values() if moment <= now), default=0)
        end = min((moments[day] for day in hidden), default=float("inf"))
        # Within today only: tomorrow's midnight moves the days that have to be examined.
        return _without(
            files, hidden, max(start, today * SECONDS_PER_DAY), min(end, (today + 1) * SECONDS_PER_DAY)
        )

    def _late_window(self, now: float) -> tuple[float, float]:
        moments = self._late.values()
        return (
            max((moment for moment in moments if moment <= now), default=0),
            min((moment for moment in moments if moment > now), default=float("inf")),
        )

    def _columns(self, horizon: int) -> Files:
        """Every file up to a day at least, visible or not yet."""
        if self._all is None or horizon > self._horizon:
            # Some weeks ahead, so that a clock that moves day by day does not build anew every time.
            self._horizon = horizon + 40
            self._all = self._build(self._horizon)
        return self._all

    def _build(self, horizon: int) -> Files:
        end = max(self.first, (horizon if self.last is None else min(horizon, self.last)) + 1)
        count = end - self.first
        sizes = file_sizes(self.facts, self.first, count)
        modified = publication_moments(self.facts.symbol, self.first, count)
        etags = file_etags(self.facts.symbol, count)
        self._late = {day: change.visible_from for day, change in self._changes.items() if change}
        missing = self._apply_holes(modified, end)
        columns = Files(
            array("i", range(self.first, end)), array("q", modified), array("i", sizes), etags, 0, 0
        )
        columns = _without(columns, missing, 0, 0)
        return _changed(columns, self._changes) if self._changes else columns

    def _apply_holes(self, modified: list[int], end: int) -> set[int]:
        """Move late files to the day they came on; returns the days that never got one."""
        missing = set()
        for hole in self._holes:
            first, last = day_number(hole.days.start), day_number(hole.days.end)
            for day in range(max(first, self.first), min(last + 1, end)):
                if hole.filled_on is None:
                    missing.add(day)
                    continue
                second = modified[day - self.first] % SECONDS_PER_DAY
                moment = day_number(hole.filled_on) * SECONDS_PER_DAY + second
                modified[day - self.first] = moment
                self._late.setdefault(day, moment)
        return missing


def _without(files: Files, hidden: set[int], valid_from: float, valid_until: float) -> Files:
    """The files that are not hidden; a tail is cut off at once, single days one by one."""
    count = len(files)
    while count and files.days[count - 1] in hidden:
        count -= 1
    days, modified, sizes = files.days[:count], files.modified[:count], files.sizes[:count]
    etags = files.etags[: count * ETAG_BYTES]
    for day in sorted(hidden, reverse=True):
        at = bisect_left(days, day)
        if at < len(days) and days[at] == day:
            del days[at], modified[at], sizes[at]
            etags = etags[: at * ETAG_BYTES] + etags[(at + 1) * ETAG_BYTES :]
    return Files(days, modified, sizes, etags, valid_from, valid_until)


def _changed(files: Files, changes: dict[int, Change | None]) -> Files:
    files = _without(files, set(changes), 0, 0)
    etags = files.etags
    for day, change in sorted(changes.items()):
        if change is not None:
            at = bisect_left(files.days, day)
            files.days.insert(at, day)
            files.modified.insert(at, change.modified)
            files.sizes.insert(at, change.size)
            etags = etags[: at * ETAG_BYTES] + change.etags + etags[at * ETAG_BYTES :]
    return Files(files.days, files.modified, files.sizes, etags, 0, 0)

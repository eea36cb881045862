"""The publication watch: which recent files are awaited, and whether the archive has begun to publish them.

Each tick of the sensor reads the awaited files from the published database, probes a few with HEADs, and requests runs
for the days of those that exist. `Memory` is the state between ticks.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from availability_pipeline.archive.probing import probe_files
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.settings import Settings

RECENT_DAYS = 10
"""Days up to yesterday that are watched; the whole market was 9 days late once."""

HEADS = 5
"""Requests per tick."""

HEADS_FOR_THE_LATEST = 3
"""Requests for the newest awaited day among them."""

REST = dt.timedelta(minutes=30)
"""Minimum time between two runs for a day, whose files appear over two hours."""

LONG_REST = dt.timedelta(hours=6)
"""Minimum time after `PATIENCE` runs without progress."""

PATIENCE = 8

TIMEOUT_SECONDS = 10
"""Per request; Dagster's daemon allows a tick one minute."""

Awaited = Mapping[dt.date, Sequence[str]]
"""By day, the contracts with an awaited file."""

# By the published status, or for days that were not collected the last one before; untracked contracts are left out.
_AWAITED = """
SELECT recent.date, tracked.symbol
FROM (SELECT unnest($days::DATE[]) AS date) AS recent
CROSS JOIN (FROM published.symbols WHERE tracked) AS tracked
ASOF JOIN published.status_spans AS spans
    ON spans.symbol = tracked.symbol AND recent.date >= spans.first_day
ANTI JOIN (FROM published.availability_by_date WHERE available AND date >= $first_day) AS there
    ON there.date = recent.date AND there.symbol = tracked.symbol
WHERE spans.status NOT IN ('not_listed', 'ended')
"""


@dataclass(frozen=True)
class Memory:
    """The state between ticks."""

    turn: int = 0
    """Number of ticks."""
    requested: Mapping[dt.date, tuple[dt.datetime, int, int]] = field(default_factory=dict)
    """By day: time of the last request, number of runs without progress, awaited files at that time."""

    @classmethod
    def read(cls, text: str | None) -> Memory:
        """Parse the sensor's cursor; an unreadable one counts as empty."""
        try:
            stored = json.loads(text or "{}")
            requested = {
                dt.date.fromisoformat(day): (dt.datetime.fromisoformat(moment), int(count), int(awaited))
                for day, (moment, count, awaited) in stored["requested"].items()
            }
            if any(moment.tzinfo for moment, _, _ in requested.values()):
                return cls()
            return cls(int(stored["turn"]), requested)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return cls()

    def write(self) -> str:
        """The sensor's cursor."""
        requested = {
            str(day): (moment.isoformat(), *numbers) for day, (moment, *numbers) in self.requested.items()
        }
        return json.dumps({"turn": self.turn, "requested": requested})

    def rests(self, day: dt.date, now: dt.datetime) -> bool:
        """Whether the last request for the day is too recent."""
        if day not in self.requested:
            return False
        moment, count, _ = self.requested[day]
        return dt.timedelta(0) <= now - moment < (LONG_REST if count >= PATIENCE else REST)

    def after(self, now: dt.datetime, requested: Collection[dt.date], awaited: Awaited) -> Memory:
        """The state after a tick that requested runs for these days."""
        first = now.date() - dt.timedelta(days=RECENT_DAYS)
        kept = {day: value for day, value in self.requested.items() if first <= day < now.date()}
        for day in requested:
            _, count, before = self.requested.get(day, (now, 0, 0))
            left = len(awaited.get(day, ()))
            # Any new file is progress.
            kept[day] = (now, count + 1 if left >= before else 1, left)
        return Memory(self.turn + 1, kept)


@dataclass(frozen=True)
class Look:
    """The result of a tick."""

    memory: Memory
    runs: Mapping[str, DayRange]
    """Days to run, by run key."""
    reason: str
    """What was found, or why there is no run."""


def look(settings: Settings, memory: Memory, now: dt.datetime, under_way: Collection[dt.date]) -> Look:
    """Check whether the archive has files that the published database lacks.

    Args:
        settings: The settings.
        memory: The state after the last tick.
        now: The moment, UTC.
        under_way: Days of queued and running runs, which are skipped.

    Raises:
        PublishedDatabaseError: There is no published database, or it cannot be read.
    """
    awaited = awaited_files(settings, now.date())
    left_alone = {day for day in _recent_days(now.date()) if day in under_way or memory.rests(day, now)}
    idle = {day: symbols for day, symbols in awaited.items() if day not in left_alone}
    found, failure = _probe(settings, chosen(idle, memory.turn))
    ranges = _ranges(found, left_alone)
    # One run key per half hour, which deduplicates requests even if the state is lost.
    half_hour = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return Look(
        memory.after(now, {day for days in ranges for day in days}, awaited),
        {f"{days} at {half_hour:%Y-%m-%dT%H:%M}": days for days in ranges},
        _reason(awaited, idle, found, failure),
    )


def _recent_days(today: dt.date) -> list[dt.date]:
    """The watched days, newest first."""
    return [today - dt.timedelta(days=offset) for offset in range(1, RECENT_DAYS + 1)]


def _ranges(found: Collection[dt.date], left_alone: Collection[dt.date]) -> list[DayRange]:
    """The fewest ranges that cover the found days and none that is left alone."""
    ranges: list[DayRange] = []
    for day in sorted(found):
        if ranges and not any(between in left_alone for between in DayRange(ranges[-1].end, day)):
            ranges[-1] = DayRange(ranges[-1].start, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def awaited_files(settings: Settings, today: dt.date) -> Awaited:
    """By recent day, newest first, the contracts whose file is pending or missing.

    On a day that was not collected, that is every contract that had not ended before.

    Raises:
        PublishedDatabaseError: There is no published database, or it cannot be read.
    """
    days = _recent_days(today)
    connection, _ = open_published(settings.db_file)
    try:
        with reading(settings.db_file):
            rows = connection.execute(_AWAITED, {"days": days, "first_day": days[-1]}).fetchall()
    finally:
        connection.close()
    by_day = {day: [symbol for date, symbol in rows if date == day] for day in days}
    return {day: sorted(symbols, key=_shuffled) for day, symbols in by_day.items() if symbols}


def _shuffled(symbol: str) -> tuple[int, str]:
    """A sort key unrelated to the alphabet, parts of which the archive publishes first."""
    return crc32(symbol.encode()), symbol


def chosen(awaited: Awaited, turn: int) -> dict[dt.date, list[str]]:
    """The files to probe at a turn: mostly of the newest day, and over time of all contracts and days."""
    if not awaited:
        return {}
    latest, *older = awaited
    first = HEADS_FOR_THE_LATEST if older else HEADS
    asked = {latest: _rotated(awaited[latest], turn * first, first)}
    rest = HEADS - first
    for step in range(turn * rest, (turn + 1) * rest):
        day = older[step % len(older)]
        asked[day] = [*asked.get(day, []), *_rotated(awaited[day], step // len(older), 1)]
    return asked


def _rotated(symbols: Sequence[str], start: int, count: int) -> list[str]:
    """`count` symbols, or all, from index `start` modulo their number on."""
    return [symbols[(start + offset) % len(symbols)] for offset in range(min(count, len(symbols)))]


def _probe(
    settings: Settings, asked: Mapping[dt.date, Sequence[str]]
) -> tuple[list[dt.date], AvailabilityError | None]:
    """The days with a file, and the failure that ended the probing, if any."""
    hurried = replace(
        settings, timeout_seconds=min(settings.timeout_seconds, TIMEOUT_SECONDS), connections=HEADS
    )
    found = []
    for day, symbols in asked.items():
        try:
            if probe_files(hurried, symbols, day).num_rows:
                found.append(day)
        except AvailabilityError as error:
            return found, error
    return found, None


def _reason(
    awaited: Awaited, idle: Awaited, found: Sequence[dt.date], failure: AvailabilityError | None
) -> str:
    if found:
        return f"the archive has files of {', '.join(map(str, sorted(found)))} that readers do not have yet"
    if failure:
        return f"the archive could not be asked: {failure}"
    if not awaited:
        return "nothing is awaited"
    of_days = ", ".join(f"{len(symbols)} of {day}" for day, symbols in awaited.items())
    if not idle:
        return f"a run for them is under way or was requested a short time ago; files awaited: {of_days}"
    return f"the archive has none of the few that were asked for; files awaited: {of_days}"

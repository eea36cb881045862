"""Watching for publication: which recent files are still awaited, and whether the archive has begun to publish them.

What is awaited is read from the published database, a few of those files are asked for with a HEAD, and what was found
says which days are worth a run. Between two looks a text is remembered. Who asks, and how often, is
`sensors/publication_watch`'s business.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from zlib import crc32

from availability_pipeline.archive.probing import probe_files
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.settings import Settings

RECENT_DAYS = 10
"""How many days up to yesterday are watched: the whole market was 9 days late once."""

HEADS = 5
"""Requests of one look."""

HEADS_FOR_THE_LATEST = 3
"""Those of them that are about the newest day that awaits files."""

REST = dt.timedelta(minutes=30)
"""Time between two runs for a day: the files of a day appear over two hours."""

LONG_REST = dt.timedelta(hours=6)
"""The same after `PATIENCE` runs, which have not brought to the readers what the archive has."""

PATIENCE = 8

TIMEOUT_SECONDS = 10
"""The longest wait for an answer: Dagster's daemon allows a look one minute in all."""

Awaited = Mapping[dt.date, Sequence[str]]
"""By day, the contracts whose file is awaited."""

# What is expected is what the published status says; of a day that is not collected, the last status before it. A
# contract that is no longer tracked gets no rows any more and is not awaited.
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
    """What is remembered from one look to the next."""

    turn: int = 0
    """How many looks there were."""
    requested: Mapping[dt.date, tuple[dt.datetime, int, int]] = field(default_factory=dict)
    """By day, when the last run was requested, how many runs have brought nothing, and how many files were awaited."""

    @classmethod
    def read(cls, text: str | None) -> Memory:
        """What `write` wrote; what cannot be read is forgotten."""
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
        """As text."""
        requested = {
            str(day): (moment.isoformat(), *numbers) for day, (moment, *numbers) in self.requested.items()
        }
        return json.dumps({"turn": self.turn, "requested": requested})

    def rests(self, day: dt.date, now: dt.datetime) -> bool:
        """Whether the last run for a day was requested too short a time ago."""
        if day not in self.requested:
            return False
        moment, count, _ = self.requested[day]
        return dt.timedelta(0) <= now - moment < (LONG_REST if count >= PATIENCE else REST)

    def after(self, now: dt.datetime, requested: Collection[dt.date], awaited: Awaited) -> Memory:
        """What is remembered after a look that requested a run for these days."""
        first = now.date() - dt.timedelta(days=RECENT_DAYS)
        kept = {day: value for day, value in self.requested.items() if first <= day < now.date()}
        for day in requested:
            _, count, before = self.requested.get(day, (now, 0, 0))
            left = len(awaited.get(day, ()))
            # A run that brought some of the files was worth it, however many there were.
            kept[day] = (now, count + 1 if left >= before else 1, left)
        return Memory(self.turn + 1, kept)


@dataclass(frozen=True)
class Look:
    """What one look came to."""

    memory: Memory
    runs: Mapping[str, DayRange]
    """By run key, the days worth a run; empty if there is nothing new."""
    reason: str
    """Why there is no run, or what was found."""


def look(settings: Settings, memory: Memory, now: dt.datetime, under_way: Collection[dt.date]) -> Look:
    """See whether the archive has files that the published database does not have.

    Args:
        settings: Where the published database and the archive are.
        memory: What the look before this one left.
        now: The moment, UTC.
        under_way: Days that a run is about, which are left alone.

    Raises:
        PublishedDatabaseError: There is no published database, or it cannot be read.
    """
    awaited = awaited_files(settings, now.date())
    left_alone = {day for day in _recent_days(now.date()) if day in under_way or memory.rests(day, now)}
    idle = {day: symbols for day, symbols in awaited.items() if day not in left_alone}
    found, failure = _probe(settings, chosen(idle, memory.turn))
    ranges = _ranges(found, left_alone)
    # No two requests for the same days in one half hour, even if the memory of the first was lost.
    half_hour = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return Look(
        memory.after(now, {day for days in ranges for day in days}, awaited),
        {f"{days} at {half_hour:%Y-%m-%dT%H:%M}": days for days in ranges},
        _reason(awaited, idle, found, failure),
    )


def _recent_days(today: dt.date) -> list[dt.date]:
    """The days that are watched, the newest first."""
    return [today - dt.timedelta(days=offset) for offset in range(1, RECENT_DAYS + 1)]


def _ranges(found: Collection[dt.date], left_alone: Collection[dt.date]) -> list[DayRange]:
    """As few ranges as cover the days that were found without those that are left alone."""
    ranges: list[DayRange] = []
    for day in sorted(found):
        if ranges and not any(between in left_alone for between in DayRange(ranges[-1].end, day)):
            ranges[-1] = DayRange(ranges[-1].start, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def awaited_files(settings: Settings, today: dt.date) -> Awaited:
    """By recent day, the contracts whose file is expected and not there: pending or missing.

    On a day that was not collected, every contract is awaited that had not ended before. Days that await nothing are
    left out; the newest comes first.

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
    """An order without any order of the archive's: it publishes some stretch of the alphabet first."""
    return crc32(symbol.encode()), symbol


def chosen(awaited: Awaited, turn: int) -> dict[dt.date, list[str]]:
    """Whose files to ask for at a turn: mostly of the newest day, and of all contracts and days as turns go on."""
    if not awaited:
        return {}
    latest, *older = awaited
    asked = {
        latest: list(islice(_rotated(awaited[latest], turn * HEADS_FOR_THE_LATEST), HEADS_FOR_THE_LATEST))
    }
    if not older:
        asked[latest] = list(islice(_rotated(awaited[latest], turn * HEADS), HEADS))
        return asked
    rest = HEADS - HEADS_FOR_THE_LATEST
    for step in range(turn * rest, (turn + 1) * rest):
        day = older[step % len(older)]
        symbol = next(_rotated(awaited[day], step // len(older)))
        asked[day] = [*asked.get(day, []), symbol]
    return asked


def _rotated(symbols: Sequence[str], start: int) -> Iterator[str]:
    """Every contract once, beginning with that of this number, counted round and round."""
    return (symbols[(start + offset) % len(symbols)] for offset in range(len(symbols)))


def _probe(
    settings: Settings, asked: Mapping[dt.date, Sequence[str]]
) -> tuple[list[dt.date], AvailabilityError | None]:
    """The days of which there is a file now, and what kept the rest from being asked."""
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

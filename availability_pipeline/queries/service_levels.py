"""Service levels of the last 30 days: updates completed in time, recall, publication lag, days still pending.

What Dagster's records say is handed in; what the files say is read from the published database. The result is kept as
JSON in the data directory, where `status` finds it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import StoreError, cause_of
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.warehouse.atomic import draft_of

WINDOW_DAYS = 30
"""How many days the service levels are about; the last one is yesterday."""

TARGET = 0.95
"""What part of the updates must be completed in time, and what recall must be exceeded."""

FILE_NAME = "service_levels.json"
"""The result in the data directory."""

# A file's first appearance is the oldest time of it that is known: a replaced file has a newer one.
_LAG = """
WITH known AS (
    SELECT date, symbol, last_modified AS moment FROM published.availability_by_date
    WHERE date BETWEEN $start AND $end AND available
    UNION ALL
    SELECT date, symbol, old_last_modified FROM published.availability_changes
    WHERE date BETWEEN $start AND $end AND old_last_modified IS NOT NULL
), lags AS (
    SELECT epoch(min(moment) - (date + INTERVAL 1 DAY)) / 3600 AS hours FROM known GROUP BY date, symbol
)
SELECT quantile_cont(hours, 0.5), quantile_cont(hours, 0.95) FROM lags
"""

_PENDING = """
SELECT date FROM published.published_days
WHERE date BETWEEN $start AND $end AND pending + missing > 0 ORDER BY date
"""


@dataclass(frozen=True)
class UpdateRecords:
    """What Dagster's records say of the updates; all moments are naive and UTC."""

    first: dt.datetime | None
    """When any day was updated for the first time ever."""
    completed: Mapping[dt.date, dt.datetime]
    """By day, when it was updated for the first time."""
    recalls: Sequence[float]
    """The recall (0 to 1) of each comparison with exchangeInfo in the window."""


@dataclass(frozen=True, kw_only=True)
class ServiceLevels:
    """The service levels of one window."""

    computed_at: str
    """UTC, ISO."""
    first_day: str
    last_day: str
    days: int
    """Days of the window that are judged: those whose update was due since the first record."""
    updates_completed: float | None
    """The part of the judged days (0 to 1) that was updated before the end of the day after it; None without any."""
    updates_missed: Sequence[str]
    """The others."""
    recall: float | None
    """The mean recall, 0 to 1; None if it was never measured."""
    recall_evaluations: int
    lag_p50_hours: float | None
    """Hours from the end of a day to the first appearance of its files, median; None without files."""
    lag_p95_hours: float | None
    pending_days: Sequence[str]
    """Days on which a file is expected and not there (status pending, or missing where it is overdue)."""

    @property
    def missed(self) -> list[str]:
        """The targets that are missed, each as a sentence that says what to do."""
        found = []
        if self.updates_completed is not None and self.updates_completed < TARGET:
            found.append(
                f"only {self.updates_completed:.1%} of {self.days} daily updates were completed in time; keep the "
                f"daemon running and look at the failed runs after {', '.join(self.updates_missed)}"
            )
        if self.recall is not None and self.recall <= TARGET:
            found.append(
                f"the recall is only {self.recall:.1%}; look at what the check exchange_info says is missing"
            )
        return found

    def __str__(self) -> str:
        updates = (
            f"{shown(self.updates_completed, '.1%')} of the updates of {self.days} days completed in time"
        )
        recall = f"recall {shown(self.recall, '.1%')} over {self.recall_evaluations} evaluations"
        parts = [
            f"{updates} (target {TARGET:.0%})" if self.days else "no daily update was due yet",
            f"{recall} (target above {TARGET:.0%})",
            f"publication lag {shown(self.lag_p50_hours, '.1f', ' h')} (p50)",
            f"{shown(self.lag_p95_hours, '.1f', ' h')} (p95)",
            f"{len(self.pending_days)} days pending",
        ]
        return ", ".join(parts)


def shown(value: float | None, form: str, unit: str = "") -> str:
    """A number for people."""
    return "not known" if value is None else f"{value:{form}}{unit}"


def window(today: dt.date) -> DayRange:
    """The days that the service levels are about."""
    return DayRange(today - dt.timedelta(days=WINDOW_DAYS), today - dt.timedelta(days=1))


def compute(records: UpdateRecords, published: Path, now: dt.datetime) -> ServiceLevels:
    """The service levels as of a moment.

    Args:
        records: What Dagster's records say.
        published: The published database.
        now: The moment, naive and UTC.

    Raises:
        PublishedDatabaseError: The published database cannot be read.
    """
    days = window(now.date())
    judged = judge(records, days, now)
    lag_p50, lag_p95, pending = _read(published, days)
    return ServiceLevels(
        computed_at=now.isoformat(timespec="seconds"),
        first_day=str(days.start),
        last_day=str(days.end),
        days=len(judged),
        updates_completed=sum(judged.values()) / len(judged) if judged else None,
        updates_missed=[str(day) for day, in_time in judged.items() if not in_time],
        recall=fmean(records.recalls) if records.recalls else None,
        recall_evaluations=len(records.recalls),
        lag_p50_hours=lag_p50,
        lag_p95_hours=lag_p95,
        pending_days=[str(day) for day in pending],
    )


def judge(records: UpdateRecords, days: DayRange, now: dt.datetime) -> dict[dt.date, bool]:
    """Of each day that can be judged, whether it was updated in time.

    Days that were due before the first record ever are left out, and those that are not due yet and not done.
    """
    if records.first is None:
        return {}
    judged = {}
    for day in days:
        due = dt.datetime.combine(day, dt.time()) + dt.timedelta(days=2)
        done = records.completed.get(day)
        in_time = done is not None and done < due
        if due > records.first and (in_time or due <= now):
            judged[day] = in_time
    return judged


def _read(path: Path, days: DayRange) -> tuple[float | None, float | None, list[dt.date]]:
    connection, _ = open_published(path)
    bounds = {"start": days.start, "end": days.end}
    try:
        with reading(path):
            [(p50, p95)] = connection.execute(_LAG, bounds).fetchall()
            pending = [day for (day,) in connection.execute(_PENDING, bounds).fetchall()]
    finally:
        connection.close()
    return p50, p95, pending


def write(levels: ServiceLevels, folder: Path) -> Path:
    """Keep the result in the data directory.

    Raises:
        StoreError: It cannot be written.
    """
    target = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft_of(target) as draft:
            draft.write_text(json.dumps(asdict(levels), indent=2) + "\n", encoding="utf-8")
            draft.replace(target)
    except OSError as error:
        cause = cause_of(error)
        raise StoreError(f"{target} cannot be written ({cause.reason}); {cause.remedy}") from error
    return target


def read(folder: Path) -> ServiceLevels | None:
    """What `write` kept; None if there is nothing, or nothing of this form, which the next run replaces."""
    try:
        return ServiceLevels(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None

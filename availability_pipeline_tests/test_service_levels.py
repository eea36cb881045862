"""Service levels: what they count, against records and files of which the right answer is known otherwise."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median, quantiles

import pytest

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import PublishedDatabaseError, StoreError
from availability_pipeline.queries import service_levels
from availability_pipeline.queries.service_levels import (
    ServiceLevels,
    UpdateRecords,
    compute,
    judge,
    read,
    window,
    write,
)
from availability_pipeline_tests.publishing import sample

TODAY = sample.LAST_DAY + dt.timedelta(days=1)
NOON = dt.datetime.combine(TODAY, dt.time(12))
WINDOW = window(TODAY)
NOTHING = UpdateRecords(None, {}, [])
DAY = dt.timedelta(days=1)


def moment(day: dt.date, **later: float) -> dt.datetime:
    """Some time after the beginning of a day."""
    return dt.datetime.combine(day, dt.time()) + dt.timedelta(**later)


def updated(days: Iterable[dt.date], hours: Callable[[dt.date], float] = lambda _: 26) -> UpdateRecords:
    """Each day updated so many hours after its beginning."""
    completed = {day: moment(day, hours=hours(day)) for day in days}
    return UpdateRecords(moment(dt.date(2023, 1, 1)), completed, [])


def lags(files: sample.Files) -> list[float]:
    """Hours from the end of each day of the window to each of its files."""
    return [
        (modified - moment(day + DAY)) / dt.timedelta(hours=1)
        for (day, _), (_, modified) in files.items()
        if day in WINDOW
    ]


def test_the_window_is_thirty_days_to_yesterday() -> None:
    assert window(dt.date(2024, 3, 31)) == DayRange(dt.date(2024, 3, 1), dt.date(2024, 3, 30))


def test_an_update_is_in_time_until_the_day_after_is_over() -> None:
    late = {WINDOW.start: 47.99, WINDOW.start + DAY: 48.0}
    judged = judge(updated(WINDOW, lambda day: late.get(day, 26)), WINDOW, NOON)
    assert len(judged) == 30
    assert [day for day, in_time in judged.items() if not in_time] == [WINDOW.start + DAY]


def test_a_day_that_was_never_updated_is_missed_once_it_was_due() -> None:
    records = updated(day for day in WINDOW if day < TODAY - 2 * DAY)
    judged = judge(records, WINDOW, NOON)
    assert [day for day, in_time in judged.items() if not in_time] == [TODAY - 2 * DAY]
    assert TODAY - DAY not in judged, "yesterday can still be updated in time"


def test_days_before_the_first_record_ever_do_not_count() -> None:
    first = moment(TODAY, hours=6)
    records = UpdateRecords(first, dict.fromkeys(WINDOW, first), [])
    assert judge(records, WINDOW, NOON) == {TODAY - DAY: True}, "older ones were due before"
    assert judge(NOTHING, WINDOW, NOON) == {}


def test_lag_and_pending_days_are_those_of_the_files(tmp_path: Path) -> None:
    levels = compute(NOTHING, sample.copy_published(tmp_path).path, NOON)
    expected = lags(sample.sample_files())
    assert levels.lag_p50_hours == pytest.approx(median(expected))
    assert levels.lag_p95_hours == pytest.approx(quantiles(expected, n=20, method="inclusive")[18])
    assert levels.pending_days == [str(sample.LAST_DAY)]
    assert (levels.updates_completed, levels.recall, levels.days) == (None, None, 0)
    assert levels.missed == []


def test_a_replaced_or_withdrawn_file_counts_from_its_first_appearance(tmp_path: Path) -> None:
    files = sample.sample_files()
    before = compute(NOTHING, sample.copy_published(tmp_path).path, NOON)
    replaced = {
        (day, symbol): (size + 1, modified + 5 * DAY)
        for (day, symbol), (size, modified) in files.items()
        if symbol != "ETHUSDT" or day != sample.DAYS[60]
    }
    with sample.working_database(tmp_path) as connection:
        sample.collect(connection, replaced, "run-2", sample.DAYS[50:])
        sample.collect(connection, replaced, "run-3", sample.DAYS[50:])
    after = compute(NOTHING, sample.republish(tmp_path), NOON)
    assert (after.lag_p50_hours, after.lag_p95_hours) == (before.lag_p50_hours, before.lag_p95_hours)
    assert after.pending_days == [str(sample.DAYS[60]), str(sample.LAST_DAY)]


def test_a_day_that_was_collected_for_some_contracts_only_is_not_pending_for_the_others(
    tmp_path: Path,
) -> None:
    path = sample.publish_incomplete(tmp_path, {sample.DAYS[68]: ["BTCUSDT"], sample.LAST_DAY: ["ETHUSDT"]})
    assert compute(NOTHING, path, NOON).pending_days == []


def test_without_files_in_the_window_there_is_no_lag(tmp_path: Path) -> None:
    levels = compute(NOTHING, sample.copy_published(tmp_path).path, NOON + 365 * DAY)
    assert (levels.lag_p50_hours, levels.lag_p95_hours, levels.pending_days) == (None, None, [])
    assert "publication lag not known (p50)" in str(levels)


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(PublishedDatabaseError, match="there is no published database"):
        compute(NOTHING, tmp_path / "none.duckdb", NOON)


@pytest.fixture
def good(tmp_path: Path) -> ServiceLevels:
    """Levels of which nothing is missed."""
    records = dataclasses.replace(updated(WINDOW), recalls=[0.99, 0.97])
    return compute(records, sample.copy_published(tmp_path).path, NOON)


def test_good_levels_say_so(good: ServiceLevels) -> None:
    assert (good.updates_completed, good.recall, good.recall_evaluations) == (1.0, pytest.approx(0.98), 2)
    assert good.missed == []
    assert str(good).startswith(
        "100.0% of the updates of 30 days completed in time (target 95%), recall 98.0% over 2 evaluations"
    )


@pytest.mark.parametrize(("recall", "missed"), [(0.951, 0), (0.95, 1), (0.2, 1)])
def test_the_recall_must_exceed_its_target(good: ServiceLevels, recall: float, missed: int) -> None:
    assert len(dataclasses.replace(good, recall=recall).missed) == missed


@pytest.mark.parametrize(("part", "missed"), [(0.95, 0), (28 / 30, 1)])
def test_updates_must_reach_theirs(good: ServiceLevels, part: float, missed: int) -> None:
    levels = dataclasses.replace(good, updates_completed=part, updates_missed=["2024-03-03", "2024-03-04"])
    assert len(levels.missed) == missed
    assert all(
        "look at the failed runs after 2024-03-03, 2024-03-04" in sentence for sentence in levels.missed
    )


def test_the_result_is_kept_and_found_again(good: ServiceLevels, tmp_path: Path) -> None:
    folder = tmp_path / "not yet there"
    assert read(folder) is None
    write(good, folder)
    assert read(folder) == good
    assert [file.name for file in folder.iterdir()] == ["service_levels.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"recall": 1.0}', "\udcff"])
def test_what_is_damaged_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / service_levels.FILE_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read(tmp_path) is None


def test_a_folder_that_cannot_be_written_to_is_named(good: ServiceLevels, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"service_levels\.json cannot be written \(.*\); correct the path"):
        write(good, tmp_path / "file")

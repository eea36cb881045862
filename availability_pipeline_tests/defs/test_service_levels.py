"""The check `service_levels` on a real instance: where its numbers come from, and that it never stops anything."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.checks import make_checks
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.names import asset_key
from availability_pipeline.defs.runs import update_records
from availability_pipeline.queries.service_levels import read, window
from availability_pipeline_tests.conftest import SetClock
from availability_pipeline_tests.dagster_side import Site

NOW = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
DAYS = window(NOW.date())
DAY = dt.timedelta(days=1)
TABLE = asset_key(DEFAULT_DATASET, "daily_availability")
service_levels = make_checks(DEFAULT_DATASET)[-1]
KEY = service_levels.check_key


@pytest.fixture(autouse=True)
def _at_noon(set_clock: SetClock) -> None:
    set_clock(NOW.isoformat(" "))


def materialized(site: Site, day: dt.date, moment: dt.datetime) -> None:
    """An event as a run would have stored it at that moment (naive, UTC)."""
    event = DagsterEvent(
        dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="availability_update",
        event_specific_data=StepMaterializationData(dg.AssetMaterialization(TABLE, partition=str(day))),
    )
    timestamp = moment.replace(tzinfo=dt.UTC).timestamp()
    site.instance.event_log_storage.store_event(
        EventLogEntry(None, "info", "", "run", timestamp, job_name="availability_update", dagster_event=event)
    )


def in_time(site: Site, days: DayRange, *late: dt.date) -> None:
    """Each day, and the one before them, updated at 02:00 of the next one, or three days later."""
    for day in (days.start - DAY, *days):
        hours = 26 + (72 if day in late else 0)
        materialized(site, day, dt.datetime.combine(day, dt.time()) + dt.timedelta(hours=hours))


def comparison_with(metadata: dict[str, float]) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=TABLE, name="exchange_info")
    def comparison() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True, metadata=metadata)

    return comparison


def compared(site: Site, *recalls: float | None) -> None:
    """Evaluations of the comparison with exchangeInfo; None is one that could not be made."""
    for recall in recalls:
        comparison = comparison_with({} if recall is None else {"recall": recall})
        evaluated(site, dg.Definitions(asset_checks=[comparison]), comparison.check_key)


def evaluated(site: Site, definitions: dg.Definitions, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation:
    """The check alone, in a run of its own."""
    job = dg.define_asset_job("alone", dg.AssetSelection.checks(key))
    with_job = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job], executor=dg.in_process_executor))
    result = with_job.resolve_job_def("alone").execute_in_process(instance=site.instance)
    [evaluation] = result.get_asset_check_evaluations()
    return evaluation


def evaluate(site: Site) -> dg.AssetCheckEvaluation:
    return evaluated(
        site, dg.Definitions(asset_checks=(service_levels,), resources=build_defs().resources), KEY
    )


def test_records_are_read_as_dagster_stores_them(site: Site) -> None:
    in_time(site, DAYS, DAYS.start)
    materialized(site, DAYS.end, dt.datetime(2024, 3, 5))  # noqa: DTZ001 - again, later
    compared(site, 0.9, None, 1)
    records = update_records(site.instance, DEFAULT_DATASET, DAYS)
    assert records.first == dt.datetime.combine(DAYS.start, dt.time()) + dt.timedelta(hours=2)
    assert records.completed[DAYS.start] == dt.datetime.combine(DAYS.start, dt.time()) + dt.timedelta(
        hours=98
    )
    assert records.completed[DAYS.end] == dt.datetime.combine(DAYS.end, dt.time()) + dt.timedelta(hours=26)
    assert len(records.completed) == 30
    assert records.recalls == [1.0, 0.9]


def test_of_many_records_the_first_of_a_day_counts(site: Site) -> None:
    days = DayRange(DAYS.start, DAYS.start + 2 * DAY)
    for _ in range(3):
        in_time(site, days)
    compared(site, 0.9, 0.8, 0.7, 0.6)
    records = update_records(site.instance, DEFAULT_DATASET, days)
    assert list(records.completed) == list(days)
    assert records.recalls == [0.6, 0.7, 0.8, 0.9]


def test_comparisons_before_the_window_do_not_count(site: Site) -> None:
    compared(site, 0.1)
    tomorrow = dt.datetime.now(dt.UTC).date() + DAY
    assert update_records(site.instance, DEFAULT_DATASET, DayRange(tomorrow, tomorrow + DAY)).recalls == []


def test_nothing_is_known_at_first(site: Site) -> None:
    records = update_records(site.instance, DEFAULT_DATASET, DAYS)
    assert (records.first, records.completed, records.recalls) == (None, {}, [])


def test_the_numbers_are_in_the_metadata_and_in_the_file(site: Site) -> None:
    in_time(site, DAYS, DAYS.start)
    site.collected("2024-02-20", "2024-02-29")
    compared(site, 1.0)
    evaluation = evaluate(site)
    assert evaluation.passed, evaluation.description
    numbers = {name: value.value for name, value in evaluation.metadata.items()}
    assert numbers["updates_completed"] == pytest.approx(29 / 30)
    assert (numbers["recall"], numbers["days"], numbers["updates_missed"]) == (1.0, 30, str(DAYS.start))
    assert 0 < numbers["lag_p50_hours"] <= numbers["lag_p95_hours"] < 24
    kept = read(site.settings.data_dir)
    assert kept
    assert kept.updates_completed == numbers["updates_completed"]
    assert kept.computed_at == "2024-03-01T12:00:00"


def test_a_missed_target_is_a_warning_that_says_what_to_do(site: Site) -> None:
    in_time(site, DAYS, *[DAYS.start + offset * DAY for offset in range(3)])
    site.collected("2024-02-28", "2024-02-29")
    evaluation = evaluate(site)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluation.description
    assert evaluation.description.startswith(
        "Only 90.0% of 30 daily updates were completed in time; keep the daemon"
    )


def test_what_cannot_be_computed_is_a_warning_and_no_failed_run(site: Site) -> None:
    evaluation = evaluate(site)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "could not be computed: there is no published database" in str(evaluation.description)


def test_it_is_evaluated_by_the_job(site: Site) -> None:
    report = site.run("2024-02-28", "2024-02-29")
    [record] = site.instance.event_log_storage.get_asset_check_execution_history(KEY, limit=2)
    assert record.run_id == report.run_id
    kept = json.loads(Path(site.settings.data_dir, "service_levels.json").read_text(encoding="utf-8"))
    assert kept["lag_p50_hours"] is not None

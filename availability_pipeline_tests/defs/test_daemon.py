"""Bare `dagster dev` with the real daemon, as in a checkout.

The publication sensor starts runs, run monitoring ends one that hangs, which harms nothing, a backfill that is launched
as the UI does it brings the days up to date, and all of it is remembered.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange, last_complete_day
from availability_pipeline.defs.launch import open_instance
from availability_pipeline.defs.names import writers_pool
from availability_pipeline.defs.partitions import range_tags
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.daemon_side import ask, backfill, dagster_dev, make_checkout
from availability_pipeline_tests.simulator import Fault, ScriptedArchive, serve

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""

JOB = {
    "jobName": "availability_update",
    "repositoryName": "__repository__",
    "repositoryLocationName": "availability_pipeline",
}


def launch(url: str, days: DayRange, **tags: str) -> str:
    """Queue a run over days; its id."""
    pairs = {**range_tags(days), **tags}
    parameters = {
        "selector": JOB,
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in pairs.items()]},
    }
    launched = ask(url, LAUNCH, parameters=parameters)
    return str(launched["run"]["runId"])


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def quick_monitoring(checkout: Path) -> None:
    """Let the daemon look every second, instead of every two minutes."""
    path = checkout / "dagster.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["run_monitoring"]["poll_interval_seconds"] = 1
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


def sensor_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that the publication sensor requested."""
    return list(instance.get_runs(dg.RunsFilter(tags={"dagster/sensor_name": "publication_watch"})))


def finished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def fresh(instance: dg.DagsterInstance) -> bool:
    """Whether the daemon finds that what is published is as new as its policy wants it."""
    key = dg.AssetKey("published_database")
    record = instance.get_freshness_state_records([key]).get(key)
    return record is not None and record.freshness_state == "PASS"


def free(instance: dg.DagsterInstance) -> bool:
    """Whether no run holds the writers' pool."""
    return not instance.event_log_storage.get_concurrency_info(writers_pool(DEFAULT_DATASET)).claimed_slots


@pytest.mark.slow
def test_what_is_published_is_collected_a_run_that_hangs_is_ended_and_a_backfill_is_remembered(
    tmp_path: Path, settings_for: SettingsFactory
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    quick_monitoring(checkout)
    archive = ScriptedArchive.recorded(symbols=3)
    awaited = last_complete_day() - dt.timedelta(days=1)
    archive.set_last_published_day(awaited)  # so that the sensor finds nothing more in the meantime
    earlier = awaited - dt.timedelta(days=1)
    with serve(archive) as server:
        settings = settings_for(server, timeout_seconds=3600)
        pipeline.run_and_publish(settings, earlier)
        with dagster_dev(checkout, settings) as url, open_instance(checkout) as instance:
            wait_until(lambda: bool(runs := sensor_runs(instance)) and all(run.is_finished for run in runs))
            assert all(run.is_success for run in sensor_runs(instance))
            truth = pipeline.truth(archive, server.url, archive.symbols(), [earlier, awaited])
            assert [row for row in pipeline.table(settings) if row[0] <= awaited] == truth

            written = pipeline.everything(settings)
            hang = server.faults.inject(Fault.hang(), on="LIST", match="ETHUSDT")
            days = DayRange(earlier - dt.timedelta(days=5), awaited)
            hung = launch(url, days, **{"dagster/max_runtime": "15"})
            wait_until(lambda: finished(instance, hung))
            assert hang.fired > 0
            assert instance.get_runs(dg.RunsFilter([hung]))[0].status is dg.DagsterRunStatus.FAILURE
            tables = pipeline.everything(settings)
            assert [tables[0], *tables[3:]] == [written[0], *written[3:]]  # all but what the first step wrote

            wait_until(lambda: free(instance))
            server.faults.clear()
            chosen = [str(day) for day in days]
            assert backfill(url, "daily_availability", days=chosen) == "COMPLETED_SUCCESS"
            wait_until(lambda: fresh(instance))
        truth = pipeline.truth(archive, server.url, archive.symbols(), days)
        assert [row for row in pipeline.table(settings) if row[0] <= awaited] == truth
    with open_instance(checkout) as instance:  # what `dagster dev` had there is still there
        assert instance.get_materialized_partitions(dg.AssetKey("daily_availability")) >= set(chosen)
        [run] = [run for run in instance.get_runs() if "dagster/backfill" in run.tags]
        assert run.is_success

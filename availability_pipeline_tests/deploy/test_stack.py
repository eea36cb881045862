"""The compose file's services on a real PostgreSQL server: health checks, a whole backfill, a tick of the schedule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange, last_complete_day
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.launch import open_instance
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.daemon_side import backfill
from availability_pipeline_tests.defs.test_daemon import JOB, wait_until
from availability_pipeline_tests.deploy.postgres import BINARIES, Server, running
from availability_pipeline_tests.deploy.stack import Stack, stack
from availability_pipeline_tests.simulator import ScriptedArchive, serve

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

ASSETS = ("symbols", "daily_availability", "symbol_lifecycle", "published_database")
DAYS = 10
SCHEDULE = "daily_availability_schedule"


@pytest.fixture
def postgres() -> Iterator[Server]:
    if BINARIES is None:
        pytest.skip("needs a PostgreSQL server, Debian's package postgresql")
    with running() as server:
        yield server


def let_it_be_due(services: Stack, instance: dg.DagsterInstance) -> None:
    """Let the schedule have been on for a day, so that the daemon finds that 02:00 UTC has passed."""
    location = GrpcServerCodeLocationOrigin(
        "127.0.0.1", services.code_port, location_name=JOB["repositoryLocationName"]
    )
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, JOB["repositoryName"]), SCHEDULE)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    data = ScheduleInstigatorData("0 2 * * *", since.timestamp())
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, data)
    )


def ticked(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that the schedule requested."""
    return list(instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": SCHEDULE})))


def steps(instance: dg.DagsterInstance) -> list[tuple[float, float, str]]:
    """When each step of each run that takes turns began and ended, and which it is, in the order of their beginnings.

    The service levels do not open the working database, and wait for nobody.
    """
    found = []
    for run in instance.get_runs():
        for step in instance.get_run_step_stats(run.run_id):
            if step.step_key == "published_database_service_levels":
                continue
            assert step.start_time
            assert step.end_time
            found.append((step.start_time, step.end_time, f"{step.step_key} of {run.run_id}"))
    return sorted(found)


def evaluations(instance: dg.DagsterInstance) -> dict[str, bool]:
    """The newest evaluation of each check: whether it passed."""
    keys = [node.key for node in build_defs().resolve_asset_graph().asset_check_nodes]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert set(records) == set(keys)
    return {key.name: record.status.value == "SUCCEEDED" for key, record in records.items()}


@pytest.mark.slow
def test_a_backfill_and_a_tick_on_postgresql(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = ScriptedArchive.recorded(symbols=5)
    end = last_complete_day() - dt.timedelta(days=1)
    archive.set_last_published_day(end)  # so that the publication sensor finds nothing more in the meantime
    days = DayRange(end - dt.timedelta(days=DAYS - 1), end)
    with serve(archive) as server:
        services = stack(tmp_path, postgres, server.environment())
        for name, value in services.environment("code").items():
            monkeypatch.setenv(name, value)
        settings = Settings.load()
        pipeline.run(settings, DEFAULT_DATASET.first_day, days.start - dt.timedelta(days=1))
        assert not services.healthy("webserver")  # whose health check is the only one of our own
        with (
            services.running("code"),
            services.running("webserver"),
            open_instance(services.home) as instance,
        ):
            let_it_be_due(services, instance)
            with services.running("daemon"):
                chosen = [str(day) for day in days]
                assert backfill(services.graphql, "daily_availability", days=chosen) == "COMPLETED_SUCCESS"
                wait_until(
                    lambda: len(runs := ticked(instance)) == 2 and all(run.is_finished for run in runs)
                )
            assert all(run.is_success for run in instance.get_runs())
            assert list(tmp_path.rglob("*.db")) == []  # nothing of it went to SQLite
            turns = steps(instance)
            checks = evaluations(instance)
            materialized = instance.get_materialized_partitions(dg.AssetKey("daily_availability"))
    assert len(turns) >= 2 * len(ASSETS) + 1
    assert [(one, other) for one, other in pairwise(turns) if one[1] > other[0]] == []
    assert checks["continuity"]
    assert checks["row_invariants"]
    assert checks["equals_working"]
    assert {str(day) for day in days} < materialized
    truth = pipeline.truth(archive, server.url, archive.symbols(), DayRange(DEFAULT_DATASET.first_day, end))
    assert [row for row in pipeline.table(settings) if row[0] <= end] == truth
    assert settings.db_path.exists()

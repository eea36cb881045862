"""What killed and failed runs leave in Dagster's records keeps no run waiting, and live runs are left alone."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.alerts import alerts_of
from availability_pipeline.defs.automation import make_publication_watch
from availability_pipeline.defs.names import writers_pool
from availability_pipeline.defs.partitions import request_for
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.defs.runs import alone, end_orphaned_run
from availability_pipeline.warehouse.lock import hold
from availability_pipeline_tests.conftest import run_python
from availability_pipeline_tests.dagster_side import Site

KILLED = """
import os, sys
from pathlib import Path
from availability_pipeline.warehouse.lock import hold

with hold(Path(sys.argv[1]), sys.argv[2], 0):
    os._exit(0)
"""


def started_run(site: Site) -> dg.DagsterRun:
    """A run that Dagster believes to be under way and that holds the writers' pool."""
    run = site.instance.create_run_for_job(dg.GraphDefinition(name="other").to_job())
    site.instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job_name="other"), run_id=run.run_id)
    storage = site.instance.event_log_storage
    storage.set_concurrency_slots(writers_pool(DEFAULT_DATASET), 1)
    assert storage.claim_concurrency_slot(writers_pool(DEFAULT_DATASET), run.run_id, "step").is_claimed
    return run


def killed_run(site: Site) -> dg.DagsterRun:
    """Such a run, whose process died while it held the lock."""
    run = started_run(site)
    run_python(KILLED, folder(site), run.run_id)
    return run


def folder(site: Site) -> Path:
    return site.settings.working_path.parent


def status(site: Site, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = site.instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def held_slots(site: Site) -> int:
    return len(
        site.instance.event_log_storage.get_concurrency_info(writers_pool(DEFAULT_DATASET)).claimed_slots
    )


def test_a_killed_run_is_ended_and_its_slot_is_free(site: Site) -> None:
    run, told = killed_run(site), list[str]()
    with alone(site.instance, site.settings, "next", told.append):
        assert status(site, run) is dg.DagsterRunStatus.FAILURE
        assert held_slots(site) == 0
    assert [f"Ended the run {run.run_id[:8]} (process " in line for line in told] == [True]


@pytest.mark.parametrize("ending", ["failed", "cancelled", "deleted"])
def test_a_slot_of_a_run_that_has_ended_is_freed(site: Site, ending: str) -> None:
    run = killed_run(site)
    if ending == "failed":
        site.instance.report_run_failed(run)
    elif ending == "cancelled":
        site.instance.report_run_canceled(run)
    else:
        site.instance.run_storage.delete_run(run.run_id)
    assert held_slots(site) == 1
    with alone(site.instance, site.settings, "next", list[str]().append):
        assert held_slots(site) == 0


def test_a_step_that_a_dead_run_has_waited_with_is_not_waited_for(site: Site) -> None:
    started_run(site)
    other = site.instance.create_run_for_job(dg.GraphDefinition(name="other").to_job())
    claim = site.instance.event_log_storage.claim_concurrency_slot(
        writers_pool(DEFAULT_DATASET), other.run_id, "step"
    )
    assert not claim.is_claimed
    site.run("2024-01-15")
    assert held_slots(site) == 0


def test_a_run_on_another_data_directory_is_not_ended(site: Site) -> None:
    run = started_run(site)
    with (
        hold(folder(site).with_name("other"), run.run_id, 0),
        alone(site.instance, site.settings, "next", list[str]().append),
    ):
        pass
    assert status(site, run) is dg.DagsterRunStatus.STARTED


@contextmanager
def live_run(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock for the run "live"."""
    code = KILLED.replace("os._exit(0)", "print(flush=True); sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder(site)), "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.communicate(b"")


def test_nothing_is_ended_while_another_run_is_under_way(site: Site) -> None:
    run = killed_run(site)
    with live_run(site):
        end_orphaned_run(site.instance, site.settings)
        assert status(site, run) is dg.DagsterRunStatus.STARTED


def test_the_sensor_ends_a_killed_run_before_it_asks_what_is_under_way(site: Site) -> None:
    run = killed_run(site)
    resources = {"settings": PipelineSettings()}
    with dg.build_sensor_context(instance=site.instance, resources=resources) as context:
        make_publication_watch(DEFAULT_DATASET)(context)
    assert status(site, run) is dg.DagsterRunStatus.FAILURE


def test_a_run_of_the_ui_that_has_waited_for_too_long_says_for_whom(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVAILABILITY_LOCK_TIMEOUT_SECONDS", "0")
    with live_run(site) as live:
        result = site.execute(request_for(DayRange(dt.date(2024, 1, 1), dt.date(2024, 1, 2)), "key"))
        assert not result.success
        [finding] = alerts_of(site.instance, result.dagster_run)
        assert f"is still held by the run live (process {live.pid} on " in finding.why
    assert site.execute(request_for(DayRange(dt.date(2024, 1, 1), dt.date(2024, 1, 2)), "key")).success

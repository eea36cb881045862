"""Runs whose process is gone: they are found and ended, and runs of living processes are left alone."""

from __future__ import annotations

import os
import signal

import dagster as dg
import pytest

from availability_pipeline.launch import clear_the_way
from availability_pipeline.liveness import HOST_TAG, PROCESS_TAG, WRITERS_POOL, end_dead_runs, process_tags
from availability_pipeline.sensors import dead_runs
from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.dagster_side import Site

NOBODY = "999999999@1"


def started_run(site: Site, **tags: str) -> dg.DagsterRun:
    """A run that Dagster believes to be under way and that holds the writers' pool."""
    run = site.instance.create_run_for_job(dg.GraphDefinition(name="other").to_job(), tags=tags)
    site.instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job_name="other"), run_id=run.run_id)
    storage = site.instance.event_log_storage
    storage.set_concurrency_slots(WRITERS_POOL, 1)
    assert storage.claim_concurrency_slot(WRITERS_POOL, run.run_id, "step").is_claimed
    return run


def status(site: Site, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = site.instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def held_slots(site: Site) -> int:
    return len(site.instance.event_log_storage.get_concurrency_info(WRITERS_POOL).claimed_slots)


def test_a_dead_run_is_ended_and_its_slot_is_free(site: Site) -> None:
    run = started_run(site, **{**process_tags(), PROCESS_TAG: NOBODY})
    assert end_dead_runs(site.instance) == [run.run_id]
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert held_slots(site) == 0


@pytest.mark.parametrize(
    "tags",
    [process_tags(), {**process_tags(), HOST_TAG: "elsewhere", PROCESS_TAG: NOBODY}, {}],
    ids=["alive", "on another machine", "not ours"],
)
def test_other_runs_are_left_alone(site: Site, tags: dict[str, str]) -> None:
    run = started_run(site, **tags)
    assert end_dead_runs(site.instance) == []
    assert status(site, run) is dg.DagsterRunStatus.STARTED


def test_a_process_number_that_was_used_again_does_not_count_as_alive(site: Site) -> None:
    run = started_run(site, **{**process_tags(), PROCESS_TAG: f"{os.getpid()}@1"})
    assert end_dead_runs(site.instance) == [run.run_id]


def test_a_killed_process_that_nobody_has_waited_for_is_gone(site: Site) -> None:
    code = """
    import time
    from availability_pipeline.liveness import PROCESS_TAG, process_tags
    print(process_tags()[PROCESS_TAG], flush=True)
    time.sleep(60)
    """
    with start_python(code) as process:
        assert process.stdout
        tag = process.stdout.readline().strip()
        run = started_run(site, **{**process_tags(), PROCESS_TAG: tag})
        assert end_dead_runs(site.instance) == []
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert end_dead_runs(site.instance) == [run.run_id]


def test_the_next_run_says_whom_it_ended_and_whom_it_waits_for(site: Site) -> None:
    dead = started_run(site, **{**process_tags(), PROCESS_TAG: NOBODY})
    assert list(clear_the_way(site.instance)) == [f"Ended the run {dead.run_id[:8]}, whose process is gone."]
    alive = started_run(site, **process_tags())
    [line] = clear_the_way(site.instance)
    assert line.startswith(f"Waiting for the run {alive.run_id[:8]} (process {os.getpid()})")


def test_the_sensor_does_the_same_for_runs_of_the_ui(site: Site) -> None:
    run = started_run(site, **{**process_tags(), PROCESS_TAG: NOBODY})
    with dg.build_sensor_context(instance=site.instance) as context:
        reason = dead_runs(context)
    assert run.run_id in str(reason)
    assert status(site, run) is dg.DagsterRunStatus.FAILURE

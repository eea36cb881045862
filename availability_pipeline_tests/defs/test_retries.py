"""Retries: what may pass by itself is tried again by Dagster, three times and visibly; what will not is not."""

from __future__ import annotations

import dagster as dg
import pytest

from availability_pipeline.defs.failures import MAX_RETRIES
from availability_pipeline.errors import RunError
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.cli.commands import command
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.simulator import Fault

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

DAY = "2024-01-15"


def retries(site: Site) -> list[dg.DagsterEvent]:
    """The retries of the last run."""
    run_id = site.instance.get_runs(limit=1)[0].run_id
    events = site.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    return [event.get_dagster_event() for event in events]


def waits(site: Site) -> list[float]:
    """The seconds before each of them."""
    return [retry.step_retry_data.seconds_to_wait or 0 for retry in retries(site)]


@pytest.mark.parametrize(
    ("kind", "step", "times"), [("LIST", "symbols", 1), ("HEAD", "daily_availability", 2)]
)
def test_a_failure_that_passes_is_only_seen_in_dagster_and_each_wait_is_twice_the_one_before(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str, step: str, times: int
) -> None:
    monkeypatch.setenv("AVAILABILITY_RETRY_SECONDS", "1")
    site.server.faults.inject(
        Fault.status(503), on=kind, match="BTCUSDT" if kind == "HEAD" else None, times=times
    )
    site.run(DAY)
    assert [retry.step_key for retry in retries(site)] == [step] * times
    assert waits(site) == [1, 2][:times]
    assert "HTTP 503" in str(retries(site)[0].step_retry_data.error)
    assert pipeline.table(site.settings) == site.truth(DAY, DAY)


def test_after_three_retries_the_run_fails_with_all_that_is_known(site: Site) -> None:
    fault = site.server.faults.inject(Fault.status(503), on="HEAD", match="BTCUSDT")
    with pytest.raises(RunError, match=rf"BTCUSDT {DAY}: the archive answered HTTP 503"):
        site.run(DAY)
    assert len(retries(site)) == MAX_RETRIES == 3
    assert fault.fired == 4
    [run] = site.instance.get_runs()
    [event] = site.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    failure = event.get_dagster_event().step_failure_data.user_failure_data
    assert failure
    table = str(failure.metadata["failures"].value)
    assert f"| BTCUSDT | {DAY} | 503 | the archive answered HTTP 503 | {site.server.url}/data/" in table


@pytest.mark.parametrize("fault", [Fault.status(403), Fault.html()], ids=["refused", "a web page"])
def test_what_will_not_pass_is_not_tried_again(site: Site, fault: Fault) -> None:
    injected = site.server.faults.inject(fault, on="HEAD", match="BTCUSDT")
    with pytest.raises(RunError, match="BTCUSDT"):
        site.run(DAY)
    assert retries(site) == []
    assert injected.fired == 1


def test_a_retry_collects_what_the_failed_try_did_not_write(site: Site) -> None:
    site.collected("2024-01-01", "2024-01-14")
    site.server.faults.inject(Fault.status(503), on="LIST", match="SOLUSDT", times=1)
    site.run("2024-01-10", "2024-01-31")
    assert len(retries(site)) == 1
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-31")


def test_the_command_line_says_that_it_tries_again_and_why(site: Site) -> None:
    site.server.faults.inject(Fault.status(503), on="HEAD", match="BTCUSDT", times=1)
    done = command(site, "update", DAY, AVAILABILITY_RETRY_SECONDS="")
    assert done.returncode == 0, done.stderr
    said = f"trying again in 2 s (retry 1 of 3), because BTCUSDT {DAY}: the archive answered HTTP 503"
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert pipeline.table(site.settings) == site.truth(DAY, DAY)

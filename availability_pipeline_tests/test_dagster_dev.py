"""Bare `dagster dev`, as in a checkout: it loads, runs a backfill that is launched over GraphQL, and remembers it."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import dagster as dg
import pytest

from availability_pipeline.launch import open_instance
from availability_pipeline.simulator import SimulatedArchive, serve
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.daemon_side import ask, dagster_dev, make_checkout
from availability_pipeline_tests.dagster_side import NOW

LAUNCH = """
mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""

STATUS = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status error { message } } }
}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def backfill(url: str, asset: str, days: list[str]) -> str:
    """Launch a backfill of an asset and wait for its end; the status it ends with."""
    parameters = {"assetSelection": [{"path": [asset]}], "partitionNames": days}
    launched = ask(url, LAUNCH, parameters=parameters)
    deadline = time.monotonic() + 480
    while time.monotonic() < deadline:
        state = ask(url, STATUS, id=launched["backfillId"])
        if state["status"] not in ("REQUESTED", "CANCELING"):
            return state["status"]
        time.sleep(1)
    raise AssertionError(f"the backfill is still {state}")


@pytest.mark.slow
def test_a_backfill_launched_in_the_ui_succeeds_and_is_remembered(
    checkout: Path, settings_for: SettingsFactory
) -> None:
    archive = SimulatedArchive.recorded(symbols=3, now=NOW)
    days = [f"2024-01-{day:02}" for day in range(1, 11)]
    with serve(archive) as server:
        settings = settings_for(server)
        pipeline.discover(settings)
        with dagster_dev(checkout, settings) as url:
            assert backfill(url, "daily_availability", days) == "COMPLETED_SUCCESS"
        rows = pipeline.truth(
            archive, server.url, archive.symbols(), [dt.date.fromisoformat(day) for day in days]
        )
    assert pipeline.table(settings) == rows
    with open_instance(checkout) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("daily_availability")) == set(days)
        [run] = [run for run in instance.get_runs() if "dagster/backfill" in run.tags]
        assert run.is_success

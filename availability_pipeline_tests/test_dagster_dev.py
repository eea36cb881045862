"""Bare `dagster dev`, as in a checkout: it loads, runs a backfill that is launched over GraphQL, and remembers it.

A copy of the checkout's three files with a link to the package stands for the checkout, so that the history of the
real one stays out of it.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests

from availability_pipeline.launch import open_instance
from availability_pipeline.settings import Settings
from availability_pipeline.simulator import SimulatedArchive, serve
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.dagster_side import NOW, root

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
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        shutil.copy(root() / name, folder)
    (folder / "availability_pipeline").symlink_to(root() / "availability_pipeline")
    return folder


@contextmanager
def dagster_dev(checkout: Path, settings: Settings) -> Iterator[str]:
    """Dagster's UI and daemon in the checkout; the URL of the GraphQL endpoint."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    command = [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
    environ = {**os.environ, **settings.environment()}
    with (
        (checkout / "dagster-dev.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=checkout, env=environ, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/server_info")
            yield f"http://127.0.0.1:{port}/graphql"
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
            # Its code servers would go on until they miss their heartbeat.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            requests.get(url, timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"{url} does not answer")


def ask(url: str, query: str, **variables: object) -> dict[str, Any]:
    answer = requests.post(url, json={"query": query, "variables": variables}, timeout=30).json()
    assert "errors" not in answer, answer
    [result] = answer["data"].values()
    return result


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
        [run] = instance.get_runs()
        assert run.is_success

"""Bare `dagster dev`, as in a checkout: it loads, runs a backfill that is launched over GraphQL, and remembers it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from availability_pipeline.defs.launch import open_instance
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.daemon_side import backfill, dagster_dev, make_checkout
from availability_pipeline_tests.dagster_side import NOW
from availability_pipeline_tests.simulator import ScriptedArchive, serve


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


@pytest.mark.slow
def test_a_backfill_launched_in_the_ui_succeeds_and_is_remembered(
    checkout: Path, settings_for: SettingsFactory
) -> None:
    archive = ScriptedArchive.recorded(symbols=3, now=NOW)
    days = [f"2024-01-{day:02}" for day in range(1, 11)]
    with serve(archive) as server:
        settings = settings_for(server)
        pipeline.discover(settings)
        with dagster_dev(checkout, settings) as url:
            assert backfill(url, "daily_availability", days=days) == "COMPLETED_SUCCESS"
        rows = pipeline.truth(
            archive, server.url, archive.symbols(), [dt.date.fromisoformat(day) for day in days]
        )
    assert pipeline.table(settings) == rows
    with open_instance(checkout) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("daily_availability")) == set(days)
        [run] = [run for run in instance.get_runs() if "dagster/backfill" in run.tags]
        assert run.is_success

"""The code location as Dagster sees it: what it contains, and that every way of loading it finds the same."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, dataset_named
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.partitions import daily_partitions
from availability_pipeline_tests.dagster_side import root

KEYS = {
    "symbols", "daily_availability", "daily_volume", "file_contents", "symbol_lifecycle", "published_database",
    "report",
}  # fmt: skip


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_defs().resolve_all_asset_specs()}


def test_the_assets_are_those_of_the_interface() -> None:
    assert specs().keys() == KEYS


def test_each_asset_says_what_it_is() -> None:
    for spec in specs().values():
        assert spec.description
        assert spec.owners == ["team:market-data"]
        assert spec.kinds
        assert spec.group_name == "um"


def test_each_asset_depends_on_the_one_before() -> None:
    upstream = {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs().items()}
    assert upstream == {
        "symbols": set(),
        "daily_availability": {"symbols"},
        "daily_volume": {"daily_availability"},
        "symbol_lifecycle": {"daily_availability", "daily_volume"},
        "file_contents": {"daily_availability"},
        "published_database": {"symbol_lifecycle", "file_contents"},
        "report": {"published_database"},
    }


def test_what_is_collected_is_partitioned_and_a_range_is_one_run() -> None:
    graph = build_defs().resolve_asset_graph()
    partitioned = {
        key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned
    }
    assert partitioned == {"daily_availability", "daily_volume", "file_contents"}
    policies = {graph.get(dg.AssetKey(key)).backfill_policy for key in partitioned}
    assert policies == {dg.BackfillPolicy.single_run()}


def test_partitions_are_utc_days_up_to_yesterday() -> None:
    daily = daily_partitions(DEFAULT_DATASET)
    keys = daily.get_partition_keys()
    assert keys[0] == "2019-09-25"
    assert daily.timezone == "UTC"


@pytest.mark.parametrize("name", ["um/klines/1m", "spot/klines/1m", "option/EOHSummary"])
def test_partitions_are_those_that_dagster_counts(name: str) -> None:
    ours = daily_partitions(dataset_named(name))
    dagsters = dg.TimeWindowPartitionsDefinition(
        start=ours.start, end=ours.end, fmt=ours.fmt, cron_schedule="0 0 * * *", timezone="UTC"
    )
    for days in (0, 1, 40, 10_000):
        for second in (-1, 0):
            moment = ours.start + dt.timedelta(days=days, seconds=second)
            assert ours.get_partition_keys(moment) == dagsters.get_partition_keys(moment)
    assert ours == dagsters
    assert dg.deserialize_value(dg.serialize_value(dagsters)) == ours


def test_all_writers_share_one_pool() -> None:
    job = build_defs().resolve_job_def("availability_update")
    assert {pool for node in job.nodes for pool in node.definition.pools} == {"working_database"}
    assert {node.name for node in job.nodes} == KEYS | {
        "daily_availability_checks",
        "daily_volume_checks",
        "file_contents_checks",
        "symbol_lifecycle_checks",
        "published_database_checks",
        "published_database_service_levels",
    }


def test_the_job_the_schedule_and_the_sensors_are_there_and_on() -> None:
    repository = build_defs().get_repository_def()
    assert repository.has_job("availability_update")
    assert repository.has_job("remove_old_runs")  # which no schedule starts
    assert {schedule.name: schedule.default_status for schedule in repository.schedule_defs} == {
        "daily_availability_schedule": dg.DefaultScheduleStatus.RUNNING
    }
    assert {sensor.name: sensor.default_status for sensor in repository.sensor_defs} == dict.fromkeys(
        ("publication_watch", "failure_alerts"), dg.DefaultSensorStatus.RUNNING
    )


def test_pyproject_and_workspace_load_the_same_location() -> None:
    tools = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    tool, project = tools["dagster"], tools["dg"]["project"]
    [entry] = yaml.safe_load((root() / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    package = entry["python_module"]
    assert (package["module_name"], package["location_name"]) == (
        tool["module_name"],
        tool["code_location_name"],
    )
    assert (project["code_location_target_module"], project["code_location_name"]) == (
        tool["module_name"],
        tool["code_location_name"],
    )


def test_both_instances_limit_writers_in_the_same_way() -> None:
    checkout = yaml.safe_load((root() / "dagster.yaml").read_text(encoding="utf-8"))
    template = root() / "availability_pipeline" / "defs" / "dagster_home.yaml"
    installed = yaml.safe_load(template.read_text(encoding="utf-8"))
    assert {key: checkout[key] for key in installed if key != "storage"} == {
        key: value for key, value in installed.items() if key != "storage"
    }
    assert installed["concurrency"]["pools"] == {"granularity": "op", "default_limit": 1}


def test_dagster_validates_the_definitions() -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_dg_finds_the_code_location_by_the_project_file() -> None:
    dg_program = Path(sys.executable).with_name("dg")
    if not dg_program.exists():
        pytest.skip("dagster-dg-cli is not installed")
    done = subprocess.run(
        [dg_program, "list", "defs", "--json"], cwd=root(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {each["asset_key"] for each in listed["assets"]} == KEYS

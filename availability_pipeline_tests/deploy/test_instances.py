"""The Dagster instances of the deployments are that of the checkout, where they have no reason to differ."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from availability_pipeline.defs import launch
from availability_pipeline.defs.event_log import BATCH_SIZE, BatchingSqliteStorage
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.deploy.stack import image_environment

INSTANCES = (
    "availability_pipeline/defs/dagster_home.yaml",
    "deploy/systemd/dagster.yaml",
    "deploy/docker/dagster.yaml",
)
SAME = ("concurrency", "run_monitoring", "retention", "telemetry", "nux")
STATE = "/var/lib/binance-futures-availability/"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root() / name).read_text(encoding="utf-8"))
    return found


def in_snakes(value: Any) -> Any:
    """The chart's names as dagster.yaml has them."""
    if not isinstance(value, dict):
        return value
    return {
        re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", key): in_snakes(below) for key, below in value.items()
    }


@pytest.mark.parametrize("name", INSTANCES)
def test_what_matters_is_as_in_the_checkout(name: str) -> None:
    ours, checkout = read(name), read("dagster.yaml")
    assert {key: ours[key] for key in SAME} == {key: checkout[key] for key in SAME}


@pytest.mark.parametrize("name", [name for name in ("dagster.yaml", *INSTANCES) if "docker" not in name])
def test_records_in_sqlite_are_written_in_batches(name: str) -> None:
    storage = read(name)["storage"]["custom"]
    assert (storage["module"], storage["class"]) == (
        BatchingSqliteStorage.__module__,
        BatchingSqliteStorage.__name__,
    )


def test_so_are_those_in_postgresql() -> None:
    """By dagster-postgres, in the processes of runs; the cluster has the same image."""
    assert image_environment()["DAGSTER_EVENT_BATCH_SIZE"] == str(BATCH_SIZE)


def test_so_it_is_in_the_cluster() -> None:
    values, checkout = read("deploy/kubernetes/values.yaml"), read("dagster.yaml")
    assert values["concurrency"].pop("enabled")
    monitoring = in_snakes(values["dagsterDaemon"]["runMonitoring"])
    assert in_snakes(values["concurrency"]) == checkout["concurrency"]
    assert {key: monitoring[key] for key in checkout["run_monitoring"]} == checkout["run_monitoring"]
    assert values["telemetry"] == checkout["telemetry"]
    assert values["additionalInstanceConfig"]["nux"] == checkout["nux"]


def test_ticks_are_kept_for_the_same_time_everywhere() -> None:
    retention = in_snakes(read("deploy/kubernetes/values.yaml")["retention"])
    assert retention.pop("enabled")
    assert retention["sensor"]["purge_after_days"].pop("started") == -1  # which is the default
    assert read("dagster.yaml")["retention"] == retention


def test_the_services_instance_is_one_and_keeps_its_state_in_their_folder(tmp_path: Path) -> None:
    shutil.copy(root() / "deploy" / "systemd" / "dagster.yaml", tmp_path)
    reference = InstanceRef.from_dir(str(tmp_path))
    folders = re.findall(r"base_dir: (.*)", (tmp_path / "dagster.yaml").read_text("utf-8"))
    assert len(folders) == 3
    assert all(folder.startswith(STATE) for folder in folders)
    assert str(tmp_path) not in reference.run_storage_data.config_yaml
    assert str(tmp_path) not in reference.event_storage_data.config_yaml
    assert str(tmp_path) not in reference.schedule_storage_data.config_yaml


def test_what_no_instance_knows_is_refused(tmp_path: Path) -> None:
    text = (root() / "deploy" / "systemd" / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(
        text.replace("granularity: op", "granularity: ops"), encoding="utf-8"
    )
    with pytest.raises(dg.DagsterInvalidConfigError):
        InstanceRef.from_dir(str(tmp_path))


def test_only_folders_that_are_written_out_are_put_below_the_instance(tmp_path: Path) -> None:
    config = {
        "compute_logs": {"config": {"base_dir": {"env": "DAGSTER_LOGS_DIR"}}},
        "storage": {"custom": {"config": {"base_dir": {"env": "DAGSTER_HOME"}}}},
        "x": {"base_dir": "below"},
    }
    absolute = launch._absolute(config, tmp_path)
    assert absolute == {
        "compute_logs": config["compute_logs"],
        "storage": {"custom": {"config": {"base_dir": str(tmp_path)}}},
        "x": {"base_dir": str(tmp_path / "below")},
    }

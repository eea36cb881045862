"""The guide to object storage is followed, with moto's server as the bucket and as the web server in front of it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from availability_pipeline.cli.main import cli
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.settings import Settings
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.demo_data import NOW, Demo, clock_at
from availability_pipeline_tests.documents import schemas
from availability_pipeline_tests.publishing.remote.stores import Store, memory, new_bucket

TEXT = (root() / "docs" / "guides" / "object-storage.md").read_text("utf-8")
WEB = "https://data.example.com/availability"
URL = "s3://my-bucket/availability"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(store: Store, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A reader's machine, with the demo's data in the bucket of the guide."""
    new_bucket("my-bucket")
    mirror(Settings.load({}, data_dir=str(demo.settings.data_dir), publish_url=URL))
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(tmp_path / "reader"))
    return store


def exports() -> dict[str, list[str]]:
    """The variables that the guide sets, with the values that it shows."""
    found: dict[str, list[str]] = {}
    for line in "".join(blocks("sh")).splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        found.setdefault(name, []).append(value)
    return found


def test_the_settings_are_those_that_are_tested_here() -> None:
    assert exports() == {
        "AVAILABILITY_PUBLISH_URL": [URL],
        "AWS_ENDPOINT_URL_S3": ["https://minio.example.com:9000"],
        "AVAILABILITY_DB_PATH": [URL, WEB],
    }


@pytest.mark.parametrize("location", [URL, WEB])
def test_readers_are_answered(reader: Store, location: str) -> None:
    web = f"{reader.gateway.url}/my-bucket/availability"
    lines = re.findall(r"^\$ binance-futures-availability (.*)$", "".join(blocks("console")), re.MULTILINE)
    environ = {"AVAILABILITY_DB_PATH": location.replace(WEB, web)}
    reading = [line for line in lines if line != "publish"]
    assert len(reading) == len(lines) - 1 == 3
    with clock_at(NOW):
        for line in reading:
            done = CliRunner(env=environ).invoke(cli, shlex.split(line), catch_exceptions=False)
            assert (done.exit_code, done.stderr) == (0, ""), line


def test_its_python_runs(reader: Store) -> None:
    names: dict[str, object] = {}
    for block in blocks("python"):
        code = block.replace(WEB, f"{reader.gateway.url}/my-bucket/availability")
        exec(compile(code, "object-storage.md", "exec"), names)  # noqa: S102 - our own document
    assert len(names["years"]) == len(names["table"]) > 50_000  # type: ignore[arg-type]
    assert len(names["newest"]) <= 20  # type: ignore[arg-type]


@pytest.mark.usefixtures("reader")
def test_latest_json_is_what_the_schema_says() -> None:
    latest = json.loads(memory().get_object("my-bucket", "availability/latest.json").value)
    assert schemas.problems("manifest.schema.json", latest) == []


def test_the_policy_allows_what_is_done_and_no_more(reader: Store) -> None:
    policy, lifecycle = map(json.loads, blocks("json"))
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert allowed == {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    assert {request.method for request in reader.gateway.requests} <= {"GET", "PUT", "DELETE"}
    assert [rule["Filter"] for rule in lifecycle["Rules"]] == [{"Prefix": "availability/"}]

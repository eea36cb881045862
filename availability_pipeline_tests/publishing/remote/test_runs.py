"""Whole runs that upload: in Dagster, from the command line, and killed in the middle."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from availability_pipeline import AvailabilityQueries
from availability_pipeline.cli.main import cli
from availability_pipeline.collecting import process as worker_process
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.errors import RunError, UsageError
from availability_pipeline.publishing.remote.cache import published_file
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.quality.guard import publish_checked, publish_now
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.remote.stores import (
    KEY_ID,
    SECRET,
    TOKEN,
    Answer,
    Request,
    Store,
    gateway_to,
    saying,
)
from availability_pipeline_tests.simulator import ScriptedArchive, serve

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

DAY = "2024-01-15"


@pytest.fixture
def uploading(site: Site, store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store that runs of the site upload to."""
    monkeypatch.setenv("AVAILABILITY_PUBLISH_URL", store.s3_url)
    assert site.instance
    return store


def times(count: int, ending: str, status: int) -> Callable[[Request], Answer | None]:
    """Refuse so many writes of an object."""
    left = [count]

    def instead(request: Request) -> Answer | None:
        if request.method == "PUT" and request.path.endswith(ending) and left[0]:
            left[0] -= 1
            return saying(status)
        return None

    return instead


def test_a_run_uploads_what_it_published_and_asks_the_archive_without_credentials(
    site: Site, uploading: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with gateway_to(site.server.url) as archive:
        monkeypatch.setenv("AVAILABILITY_S3_ENDPOINT", archive.url)
        run = site.run("2024-01-01", "2024-01-05")
    assert archive.count("GET") >= len(site.archive.symbols())
    assert {request.path for request in archive.requests} == {"/data.binance.vision"}
    assert not any("Authorization" in request.headers for request in archive.requests)
    assert all(f"/{uploading.bucket}" in request.path for request in uploading.gateway.requests)
    assert all("Authorization" in request.headers for request in uploading.gateway.requests)

    reported, latest = run.metadata["published_database"], uploading.latest()
    assert (latest["run_id"], latest["generation"]) == (run.run_id, reported["generation"])
    keys = uploading.keys("generations/")
    [report] = [key for key in keys if key.endswith("/report.html")]
    assert uploading.object(report).value.startswith(b"<!doctype html>")
    assert run.metadata["report"]["page"] == f"{uploading.s3_url}/{report}"
    sizes = [len(uploading.object(key).value) for key in keys if key != report]
    assert reported["uploaded_to"] == uploading.s3_url
    assert (reported["uploaded_files"], reported["uploaded_bytes"]) == (len(sizes), sum(sizes))
    assert len(sizes) == 9
    reader = Settings.load({}, data_dir=str(tmp_path / "reader"))
    with AvailabilityQueries(uploading.http_url, settings=reader) as queries:
        rows = queries.get_availability_range("2024-01-01", "2024-01-05")
    truth = [row[:2] for row in site.truth("2024-01-01", "2024-01-05") if row[2]]
    assert [(row["date"], row["symbol"]) for row in rows] == truth


def test_a_failure_that_passes_is_tried_again_without_another_publication(
    site: Site, uploading: Store
) -> None:
    uploading.gateway.instead = times(2, "latest.json", 503)
    run = site.run(DAY)
    [generation] = sample.generations(site.settings.data_dir)
    assert uploading.latest()["generations"] == [generation]
    events = site.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    assert [event.step_key for event in events] == ["published_database"] * 2


def test_a_refused_upload_fails_the_run_in_one_sentence_without_credentials(
    site: Site, uploading: Store
) -> None:
    site.collected(DAY)
    mirror(Settings.load())
    before = uploading.latest()
    echo = f"<Error><Code>AccessDenied</Code><Message>{KEY_ID} {SECRET} {TOKEN}</Message></Error>".encode()
    uploading.gateway.instead = lambda request: saying(403, echo) if request.method == "PUT" else None
    with pytest.raises(RunError, match=r"was published here, but not to s3://.*: HTTP 403 AccessDenied for"):
        site.run("2024-01-16")
    assert uploading.latest() == before
    run_id = site.instance.get_runs(limit=1)[0].run_id
    with AvailabilityQueries(site.settings.db_file) as queries:
        assert queries.publication.run_id == run_id
    recorded = str(site.instance.all_logs(run_id))
    assert "HTTP 403" in recorded
    assert not any(secret in recorded for secret in (KEY_ID, SECRET, TOKEN))


def update_job() -> dg.JobDefinition:
    return build_defs().resolve_job_def("availability_update")


def test_a_run_that_is_executed_again_from_its_failure_publishes_nothing_new(
    site: Site, uploading: Store
) -> None:
    site.collected(DAY)
    mirror(Settings.load())
    [first] = sample.generations(site.settings.data_dir)
    uploading.gateway.instead = lambda request: saying(403) if request.method == "PUT" else None
    with pytest.raises(RunError):
        site.run("2024-01-16")
    for allowed in (False, True):
        if allowed:
            uploading.gateway.instead = lambda _: None
        failed = site.instance.get_runs(limit=1)[0].run_id
        done = dg.execute_job(
            dg.reconstructable(update_job), site.instance,
            reexecution_options=dg.ReexecutionOptions.from_failure(failed, site.instance),
        )  # fmt: skip
        assert done.success is allowed
    [_, second] = sample.generations(site.settings.data_dir)
    assert uploading.latest()["generations"] == [second, first]


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_PROFILE", "missing"), ("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
     ("AWS_RETRY_MODE", "nonsense"), ("AWS_REQUEST_CHECKSUM_CALCULATION", "nonsense")],
)  # fmt: skip
def test_the_archive_is_listed_whatever_is_set_for_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        settings = Settings.load(server.environment(), data_dir=str(tmp_path))
        pipeline.discover(settings)
    assert pipeline.query(settings, "SELECT symbol FROM symbols") == [("BTCUSDT",)]


def test_a_run_publishes_once_unless_the_rows_have_changed(tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path))
    with sample.working_database(tmp_path) as connection:
        first = publish_checked(connection, settings, "run-a").generation
        assert publish_checked(connection, settings, "run-a").generation == first
        sample.collect(connection, sample.sample_files(2), "run-2", sample.DAYS)
        second = publish_checked(connection, settings, "run-a").generation
        third = publish_checked(connection, settings, "run-b").generation
        again = publish_checked(connection, settings, "run-c", repeated=(None, "run-b"))
        assert again.generation == third
    assert sample.generations(tmp_path) == [first, second, third]


@pytest.fixture
def machine(store: Store, published: Path, tmp_path: Path) -> Settings:
    """A machine with the sample, published here and uploaded."""
    folder = tmp_path / "machine"
    shutil.copytree(published, folder)
    settings = Settings.load({}, data_dir=str(folder), publish_url=store.s3_url)
    mirror(settings)
    return settings


def start(machine: Settings, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """A command on the machine, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "availability_pipeline", *arguments],
        env={**os.environ, **machine.environment(), "PYTHONPATH": str(ROOT), **environ},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


# The last file is not begun before one of the others is there.
@pytest.mark.parametrize("ending", ["/symbol_lifecycle.parquet", "/latest.json"])
def test_an_upload_that_is_killed_leaves_readers_the_old_generation(
    store: Store, machine: Settings, tmp_path: Path, ending: str
) -> None:
    before, held, go_on = store.latest(), threading.Event(), threading.Event()

    def hold(handler: BaseHTTPRequestHandler) -> None:
        held.set()
        go_on.wait(60)
        handler.close_connection = True

    store.gateway.instead = lambda r: hold if r.method == "PUT" and r.path.endswith(ending) else None
    process = start(machine, "publish")
    try:
        assert held.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        go_on.set()
    assert ended(process)[0] == -signal.SIGKILL
    store.gateway.instead = lambda _: None
    reader = Settings.load({}, data_dir=str(tmp_path / "reader"))
    for url in (store.s3_url, store.http_url):
        assert published_file(url, reader).parent.name == before["generation"]
    assert store.latest() == before
    assert len(store.generations()) == 2  # what died is there in part
    generation = publish_now(machine).generation
    mirror(machine)
    assert store.latest()["generations"] == [generation, before["generation"]]
    assert published_file(store.http_url, reader).parent.name == generation


def test_the_command_line_says_what_was_uploaded_and_what_was_not(store: Store, machine: Settings) -> None:
    first = store.latest()["generation"]
    code, output, _ = ended(start(machine, "publish"))
    assert code == 0
    second = store.latest()["generation"]
    keys = [key for key in store.keys(f"generations/{second}/") if not key.endswith("/report.html")]
    sizes = [len(store.object(key).value) for key in keys]
    assert f"\nUploaded {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, to {store.s3_url} in " in output
    code, _, errors = ended(start(machine, "publish", AWS_ENDPOINT_URL="http://127.0.0.1:1"))
    assert code == 1
    assert re.fullmatch(
        rf"Error: generation \S+ was published here, but not to {store.s3_url}: the connection failed; check the "
        "endpoint and the network; readers there keep the one before\n",
        errors,
    )
    assert store.latest()["generations"] == [second, first]
    code, output, errors = ended(start(machine, "publish", "--rollback"))
    assert (code, errors) == (0, "")
    assert f"is generation {second} again" in output
    assert store.latest()["generations"] == [second, first]


@pytest.mark.parametrize(
    "command", ["update", "backfill", "publish", "publish --rollback", "validate", "demo"]
)
def test_what_writes_needs_a_file(command: str, tmp_path: Path) -> None:
    environ = {"AVAILABILITY_DB_PATH": "s3://bucket/x", "AVAILABILITY_DATA_DIR": str(tmp_path / "data")}
    done = CliRunner(env=environ).invoke(cli, command.split(), catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "AVAILABILITY_DB_PATH is s3://bucket/x, which can only be read; set it to a file" in done.stderr
    assert "AVAILABILITY_PUBLISH_URL" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_run_of_the_daemon_needs_a_file_as_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", "https://host.example/x")
    with pytest.raises(UsageError, match="which can only be read"):
        site.run(DAY)


def test_a_demo_is_not_uploaded_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_PUBLISH_URL", "s3://production/x")
    simulated = Settings.load({"AVAILABILITY_S3_ENDPOINT": "http://127.0.0.1:1"})
    assert "AVAILABILITY_PUBLISH_URL" not in worker_process.environment_of(simulated)
    real = Settings.load()
    assert worker_process.environment_of(real)["AVAILABILITY_PUBLISH_URL"] == "s3://production/x"

"""Reading daily bars from an S3 that others wrote, and after a run that was killed."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator

import pytest
from moto.s3.models import get_canned_acl, s3_backends
from moto.server import ThreadedMotoServer

from availability_pipeline.dates import DayRange
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.listing import KeyNames
from availability_pipeline.simulator.server import BUCKET
from availability_pipeline.simulator.shape import day_of
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.collecting.test_volume import DAYS, bars, day, make_archive, read, truth
from availability_pipeline_tests.conftest import SettingsFactory, empty_moto, start_python
from availability_pipeline_tests.simulator import ScriptedArchive, serve

DAYS_HERE = DayRange(day("01-01"), DAYS.end)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def copy(archive: SimulatedArchive, days: DayRange) -> None:
    """Put the files of an archive straight into moto's memory."""
    backend, names = s3_backends["123456789012"]["aws"], KeyNames(archive.dataset)
    for folder in archive.folders():
        files = archive.visible(folder.facts.symbol)
        for at, number in enumerate(files.days if files else ()):
            if files is None or day_of(number) not in days:
                continue
            name = names.file_name(folder.facts.symbol, number)
            key = f"{names.root}{folder.facts.symbol}/{names.inner}{name}"
            body = folder.body(name, files, at) if archive.dataset.interval == "1d" else b"zip"
            backend.put_object(BUCKET, key, body).set_acl(get_canned_acl("public-read"))


def test_another_s3_gives_the_same_bars(moto: str, settings_for: SettingsFactory) -> None:
    empty_moto(moto)
    s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "ap-northeast-1")
    archive: ScriptedArchive = make_archive()
    archive.monthly_bars.omit_days("LIVEUSDT", [day("01-05")])
    for each in (archive, *archive.bars):
        copy(each, DAYS_HERE)
    settings = settings_for(s3_endpoint=moto, archive_url=f"{moto}/{BUCKET}", s3_bucket=BUCKET)
    pipeline.discover(settings)
    read(settings, DAYS_HERE)
    assert bars(settings, DAYS_HERE) == truth(archive, DAYS_HERE)
    assert read(settings, DAYS_HERE).files.num_rows == 0
    one = DayRange(DAYS.end, DAYS.end)
    assert read(settings, one).files.num_rows == 0


def test_a_run_that_was_killed_leaves_nothing_and_the_next_one_reads_all(
    settings_for: SettingsFactory,
) -> None:
    archive = make_archive()
    with serve(archive) as server:
        settings = settings_for(server, connections="2")
        pipeline.discover(settings)
        server.latency = 0.05
        running = start_python(
            """
            from availability_pipeline.settings import Settings
            from availability_pipeline_tests.collecting.test_volume import DAYS, read
            read(Settings.load(), DAYS)
            """,
            **settings.environment(),
        )
        with running:
            while server.requests.count("GET") < 5 and running.poll() is None:
                time.sleep(0.01)
            running.send_signal(signal.SIGKILL)
            assert running.wait() == -signal.SIGKILL
        server.latency = 0
        assert bars(settings) == []
        read(settings, DAYS)
        assert bars(settings) == truth(archive)

"""The same questions to an S3 that others wrote: moto's server, so that the simulator's mistakes are not ours too."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator

import pytest
from moto.s3.models import get_canned_acl, s3_backends
from moto.server import ThreadedMotoServer

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.listing import FolderQuery, list_files, list_folders
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveRefused, UnexpectedAnswer
from availability_pipeline_tests.archive.doubles import both_keys, day, found, span
from availability_pipeline_tests.conftest import SettingsFactory, empty_moto

NAME = "data.binance.vision"
HELD = {
    "BTCUSDT": range(620),
    "龙虾USDT": range(600, 604),
    "BTCUSDT_210326": range(3),
    "AUSDT_SETTLED": [5, 9],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def _filled(url: str) -> None:
    empty_moto(url)
    # Straight into its memory: a thousand requests to it would take most of a minute.
    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket(NAME, "ap-northeast-1")
    names = [key for symbol, numbers in HELD.items() for key in both_keys(numbers, symbol)]
    for key in [*names, f"{DEFAULT_DATASET.root}BTCUSDT//stray.zip", f"{DEFAULT_DATASET.root}odd&name+/x"]:
        backend.put_object(NAME, key, key.encode()).set_acl(get_canned_acl("public-read"))


@pytest.fixture
def bucket(url: str, settings_for: SettingsFactory) -> Iterator[ListingClient]:
    opened = ListingClient(settings_for(s3_endpoint=url))
    yield opened
    opened.close()


def test_all_folders_are_found(bucket: ListingClient) -> None:
    folders = list_folders(bucket)
    assert {symbol.name for symbol in folders.symbols} == set(HELD)
    assert folders.unknown == (f"{DEFAULT_DATASET.root}odd&name+/",)


@pytest.mark.parametrize("symbol", HELD)
def test_all_files_of_a_folder_are_found(bucket: ListingClient, symbol: str) -> None:
    listing = list_files(bucket, [FolderQuery(symbol, span(0, 700))], connections=4, progress=Progress())
    assert found(listing) == list(HELD[symbol])
    assert set(listing.files.column("symbol").to_pylist()) == {symbol}


def test_a_window_is_listed_with_one_request(bucket: ListingClient) -> None:
    listing = list_files(bucket, [FolderQuery("BTCUSDT", span(600, 619))], connections=4, progress=Progress())
    assert (found(listing), listing.pages) == (list(range(600, 620)), 1)


def test_an_empty_folder_is_not_believed(bucket: ListingClient) -> None:
    with pytest.raises(UnexpectedAnswer, match="shows no file in it"):
        list_files(bucket, [FolderQuery("NOSUCHUSDT", span(0, 9))], connections=4, progress=Progress())


def test_another_bucket_is_refused(url: str, settings_for: SettingsFactory) -> None:
    with pytest.raises(ArchiveRefused, match="HTTP 404 NoSuchBucket"):
        list_folders(ListingClient(settings_for(s3_endpoint=url, s3_bucket="another-bucket")))


def test_heads_and_listings_say_the_same(
    bucket: ListingClient, url: str, settings_for: SettingsFactory
) -> None:
    settings = settings_for(archive_url=f"{url}/{NAME}")
    probed = probe_files(settings, list(HELD), day(602))
    queries = [FolderQuery(symbol, DayRange(dt.date(2020, 1, 1), day(619))) for symbol in HELD]
    listed = list_files(bucket, queries, connections=4, progress=Progress()).files.to_pylist()
    # A HEAD says nothing of the checksum.
    on_that_day = [{**row, "has_checksum": None} for row in listed if row["date"] == day(602)]
    assert sorted(probed.to_pylist(), key=str) == sorted(on_that_day, key=str)
    assert {row["symbol"] for row in on_that_day} == {"BTCUSDT", "龙虾USDT"}

"""Discovery: all folders over all pages, in particular those that sort last, which are the ones that are not ASCII."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.listing import list_folders
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.errors import UnexpectedAnswer
from availability_pipeline.settings import Settings
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

NOW = dt.datetime.fromisoformat("2026-10-06 12:00")
DAY = dt.date(2024, 1, 15)


@pytest.fixture(scope="module")
def empty_server() -> Iterator[ObservedServer]:
    with serve(ScriptedArchive.empty(NOW)) as running:
        yield running


@pytest.fixture(scope="module")
def bucket(empty_server: ObservedServer) -> Iterator[ListingClient]:
    opened = ListingClient(Settings.load(empty_server.environment()))
    yield opened
    opened.close()


def fill(archive: ScriptedArchive, names: list[str]) -> None:
    """Make an archive have these folders and no others."""
    for name in archive.symbols():
        archive.remove_symbol(name)
    for name in names:
        archive.add_symbol(name, DAY)


def test_all_recorded_folders_are_found_over_two_pages(settings_for: SettingsFactory) -> None:
    archive = ScriptedArchive.recorded(now=NOW)
    with serve(archive) as server:
        opened = ListingClient(settings_for(server))
        folders = list_folders(opened)
        opened.close()
        assert server.requests.count("LIST") == folders.pages == 2
    assert [symbol.name for symbol in folders.symbols] == archive.symbols()
    assert len(folders.symbols) > 1000
    assert {"币安人生USDT", "龙虾USDT"} <= {symbol.name for symbol in folders.symbols}


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (999, 1), (1000, 1), (1001, 2), (2000, 2), (2001, 3)])
def test_pages_are_read_to_the_last(
    empty_server: ObservedServer, bucket: ListingClient, count: int, pages: int
) -> None:
    names = [f"A{number:05}USDT" for number in range(count)]
    fill(empty_server.archive, names)
    folders = list_folders(bucket)
    assert ([symbol.name for symbol in folders.symbols], folders.pages) == (names, pages)


names = st.sets(
    st.text("ABZ0198&+%_ 币龙虾\U0001f680é-", min_size=1, max_size=8).map(lambda text: f"{text}USDT"),
    max_size=20,
)


@given(names)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_name_is_found_as_it_is(
    empty_server: ObservedServer, bucket: ListingClient, chosen: set[str]
) -> None:
    fill(empty_server.archive, ["BTCUSDT", *(chosen - {"BTCUSDT"})])
    folders = list_folders(bucket)
    seen = [symbol.name for symbol in folders.symbols] + [
        prefix.removeprefix(DEFAULT_DATASET.root).rstrip("/") for prefix in folders.unknown
    ]
    assert sorted(seen) == sorted(chosen | {"BTCUSDT"})


def test_what_is_no_contract_is_told_apart(empty_server: ObservedServer, bucket: ListingClient) -> None:
    fill(empty_server.archive, ["BTCUSDT", "BTCUSDT_210326", "BTCUSDT_PERP", "ethusdt"])
    folders = list_folders(bucket)
    assert [symbol.contract for symbol in folders.symbols] == ["perpetual", "delivery"]
    assert folders.unknown == (f"{DEFAULT_DATASET.root}BTCUSDT_PERP/", f"{DEFAULT_DATASET.root}ethusdt/")


def test_a_token_that_repeats_is_not_followed(empty_server: ObservedServer, bucket: ListingClient) -> None:
    fill(empty_server.archive, [f"A{number:05}USDT" for number in range(1500)])
    empty_server.requests.clear()
    empty_server.faults.inject(Fault.repeated_token(), on="LIST")
    with pytest.raises(UnexpectedAnswer, match="the listing repeats its continuation token"):
        list_folders(bucket)
    empty_server.faults.clear()
    assert len(empty_server.requests) == 2


def test_an_archive_without_a_folder_is_not_believed(
    empty_server: ObservedServer, bucket: ListingClient
) -> None:
    fill(empty_server.archive, [])
    with pytest.raises(
        UnexpectedAnswer, match="the listing has no contract in it; check AVAILABILITY_S3_BUCKET"
    ):
        list_folders(bucket)

"""Everything that can go wrong between here and the archive ends in an error that says what, and in nothing written.

Each fault is injected into every kind of request, first at the functions that ask and then below a whole
collection, whose table must be the same before and after. A fault that passed would show as a file that is
"not there" although the simulated archive has it.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.exchange_info import fetch_contracts
from availability_pipeline.archive.listing import FolderQuery, list_files, list_folders
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.collecting.collect import discover
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import (
    ArchiveError,
    ArchiveFailures,
    ArchiveRefused,
    ArchiveUnreachable,
    AvailabilityError,
    UnexpectedAnswer,
)
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.archive.servers import nobody_accepting, nobody_listening
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

NOW = dt.datetime.fromisoformat("2026-10-06 12:00")
SYMBOLS = ["BTCUSDT", "ETHUSDT", "LUNAUSDT", "SOLUSDT", "币安人生USDT"]
FIRST, LAST = dt.date(2020, 1, 1), dt.date(2026, 10, 4)
WINDOW = DayRange(dt.date(2026, 9, 15), LAST)
SOME_FAIL = (ArchiveError, ArchiveFailures)


class Case(NamedTuple):
    """A fault, and what is to be said of it."""

    fault: Fault
    error: type[ArchiveError]
    text: str
    status: int | None = None


ANYWHERE = {
    "403": Case(Fault.status(403), ArchiveRefused, "HTTP 403", 403),
    "500": Case(Fault.status(500), ArchiveRefused, "HTTP 500", 500),
    "503": Case(Fault.status(503), ArchiveRefused, "HTTP 503", 503),
    "429": Case(Fault.status(429), ArchiveRefused, "HTTP 429", 429),
    "451": Case(Fault.status(451), ArchiveRefused, "HTTP 451", 451),
    "reset": Case(Fault.reset(), ArchiveUnreachable, "connection"),
    "read time-out": Case(Fault.hang(), ArchiveUnreachable, "no answer within 2 s"),
}
BODIES = {
    "cut": Case(Fault.cut(), ArchiveUnreachable, "connection failed|broke off after"),
    "cut short": Case(Fault.cut_short(), UnexpectedAnswer, "the answer is not"),
    "html": Case(Fault.html(), UnexpectedAnswer, "the answer is not"),
}
LISTINGS = {
    "404": Case(Fault.status(404), ArchiveRefused, "HTTP 404 NoSuchKey", 404),
    "truncated without token": Case(Fault.truncated_without_token(), UnexpectedAnswer, "where it goes on"),
    "out of order": Case(Fault.out_of_order(), UnexpectedAnswer, "out of order"),
    "duplicate keys": Case(Fault.duplicate_keys(), UnexpectedAnswer, "twice"),
    "without IsTruncated": Case(Fault.without_is_truncated(), UnexpectedAnswer, "whether it is complete"),
    "half missing": Case(Fault.half_missing(), UnexpectedAnswer, "announces"),
}
ON_FOLDERS = ANYWHERE | BODIES | LISTINGS | {
    "empty": Case(Fault.empty_listing(), UnexpectedAnswer, "has no contract in it"),
    "repeated token": Case(Fault.repeated_token(), UnexpectedAnswer, "cut off before its first key"),
}  # fmt: skip
ON_FILES = ANYWHERE | BODIES | LISTINGS | {
    "empty": Case(Fault.empty_listing(), UnexpectedAnswer, "shows no file in it"),
    "repeated token": Case(Fault.repeated_token(), UnexpectedAnswer, "cut off before its first key"),
}  # fmt: skip
ON_HEAD = ANYWHERE | {
    "html": Case(Fault.html(), UnexpectedAnswer, "web page", 200),
    "without size": Case(Fault.without_header("Content-Length"), UnexpectedAnswer, "Content-Length", 200),
    "without time": Case(Fault.without_header("Last-Modified"), UnexpectedAnswer, "Last-Modified", 200),
}


def said_of(error: AvailabilityError, case: Case, *named: str) -> None:
    """Check what an error says."""
    assert type(error) is case.error
    assert getattr(error, "status", None) == case.status
    assert re.search(case.text, str(error))
    assert all(part in str(error) for part in named)
    assert "\n" not in str(error)


@pytest.fixture(scope="module")
def archive() -> ScriptedArchive:
    made = ScriptedArchive.recorded(SYMBOLS, now=NOW)
    made.set_last_published_day(LAST)
    return made


@pytest.fixture(scope="module")
def shared_server(archive: ScriptedArchive) -> Iterator[ObservedServer]:
    with serve(archive) as running:
        yield running


@pytest.fixture
def server(shared_server: ObservedServer) -> Iterator[ObservedServer]:
    shared_server.faults.clear()
    shared_server.requests.clear()
    yield shared_server
    shared_server.faults.clear()


@pytest.fixture
def settings(server: ObservedServer, settings_for: SettingsFactory) -> Settings:
    return settings_for(server, timeout_seconds=2)


def ask_folders(settings: Settings) -> object:
    bucket = ListingClient(settings)
    try:
        return list_folders(bucket)
    finally:
        bucket.close()


def ask_files(settings: Settings, days: DayRange = WINDOW) -> object:
    bucket = ListingClient(settings)
    queries = [FolderQuery(symbol, days) for symbol in SYMBOLS]
    try:
        return list_files(bucket, queries, connections=4, progress=Progress())
    finally:
        bucket.close()


def ask_head(settings: Settings) -> object:
    return probe_files(settings, SYMBOLS, LAST)


@pytest.mark.parametrize("case", ON_FOLDERS.values(), ids=ON_FOLDERS)
def test_discovery(server: ObservedServer, settings: Settings, case: Case) -> None:
    server.faults.inject(case.fault, on="LIST")
    with pytest.raises(ArchiveError) as raised:
        ask_folders(settings)
    said_of(raised.value, case, f"{server.url}/data.binance.vision?prefix=data/futures/um/daily/klines/")


@pytest.mark.parametrize("case", ON_FILES.values(), ids=ON_FILES)
def test_listing_a_folder(server: ObservedServer, settings: Settings, case: Case) -> None:
    server.faults.inject(case.fault, on="LIST", match="SOLUSDT")
    with pytest.raises(ArchiveError) as raised:
        ask_files(settings, DayRange(FIRST, dt.date(2026, 10, 5)))
    said_of(
        raised.value,
        case,
        "SOLUSDT",
        f"{server.url}/data.binance.vision?prefix=data/futures/um/daily/klines/SOL",
    )


@pytest.mark.parametrize("case", ON_HEAD.values(), ids=ON_HEAD)
def test_probing(server: ObservedServer, settings: Settings, case: Case) -> None:
    server.faults.inject(case.fault, on="HEAD", match="SOLUSDT")
    with pytest.raises(ArchiveError) as raised:
        ask_head(settings)
    said_of(
        raised.value,
        case,
        f"SOLUSDT {LAST}: ",
        f"{server.url}/data/futures/um/daily/klines/SOLUSDT/1m/SOLUSDT-1m",
    )


@pytest.mark.parametrize("name", [*ANYWHERE, *BODIES])
def test_exchange_info(server: ObservedServer, settings: Settings, name: str) -> None:
    case = (ANYWHERE | BODIES)[name]
    server.faults.inject(case.fault, on="EXCHANGE_INFO")
    with pytest.raises(ArchiveError) as raised:
        fetch_contracts(settings)
    status = 200 if case.error is UnexpectedAnswer else case.status
    said_of(raised.value, case._replace(status=status), f"{server.url}/fapi/v1/exchangeInfo")


@pytest.mark.parametrize("name", [*ANYWHERE, *BODIES])
def test_discovery_goes_on_without_exchange_info(
    server: ObservedServer, settings: Settings, name: str
) -> None:
    server.faults.inject((ANYWHERE | BODIES)[name].fault, on="EXCHANGE_INFO")
    found = discover(settings)
    assert [symbol.name for symbol in found.folders.symbols] == SYMBOLS
    assert found.exchange.contracts == ()
    assert "exchangeInfo" in (found.exchange_problem or "")


@contextmanager
def no_such_host() -> Iterator[str]:
    yield "http://no-such-host.invalid"


UNREACHABLE = {
    "DNS failure": (no_such_host, "no connection|connection failed"),
    "refused": (nobody_listening, "no connection|connection failed"),
    "connect time-out": (nobody_accepting, "within 1 s"),
}
ASK = {"discovery": ask_folders, "folders": ask_files, "HEAD": ask_head, "exchangeInfo": fetch_contracts}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize(("place", "text"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_host_that_cannot_be_reached(
    settings_for: SettingsFactory,
    ask: Callable[[Settings], object],
    place: Callable[[], AbstractContextManager[str]],
    text: str,
) -> None:
    with place() as url:
        settings = settings_for(s3_endpoint=url, archive_url=url, fapi_url=url, timeout_seconds=1)
        with pytest.raises(
            SOME_FAIL, match=text if ask is not fetch_contracts else "connection|within"
        ) as raised:
            ask(settings)
    failures = getattr(raised.value, "failures", (raised.value,))
    assert {type(failure) for failure in failures} == {ArchiveUnreachable}
    assert f"({url}/" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_all_that_fail_are_named_with_their_number(server: ObservedServer, settings: Settings) -> None:
    for symbol in SYMBOLS[1:]:
        server.faults.inject(Fault.status(503), on="HEAD", match=symbol)
    with pytest.raises(ArchiveFailures, match="4 of 5 symbols failed and nothing was written") as raised:
        ask_head(settings)
    assert {failure.symbol for failure in raised.value.failures} == set(SYMBOLS[1:])
    assert raised.value.transient


def test_a_source_that_is_down_is_left_alone_soon(
    server: ObservedServer, settings_for: SettingsFactory
) -> None:
    server.faults.inject(Fault.status(503), on="HEAD")
    with pytest.raises(ArchiveFailures):
        probe_files(settings_for(server, connections=4), [f"A{number}USDT" for number in range(300)], LAST)
    assert 4 <= server.requests.count("HEAD") <= 7


@pytest.fixture(scope="module")
def past_days(shared_server: ObservedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with some past days, to be copied."""
    folder = tmp_path_factory.mktemp("past")
    settings = Settings.load(shared_server.environment(), data_dir=str(folder))
    pipeline.run(settings, dt.date(2026, 9, 1), dt.date(2026, 9, 20))
    return settings.working_path


@pytest.fixture
def filled(settings: Settings, past_days: Path) -> Settings:
    """Settings with a table of some past days."""
    settings.working_path.parent.mkdir(parents=True)
    shutil.copy(past_days, settings.working_path)
    return settings


def nothing_is_written(settings: Settings, collect: Callable[[], object]) -> None:
    before, content = settings.working_path.read_bytes(), pipeline.everything(settings)
    with pytest.raises(SOME_FAIL):
        collect()
    assert pipeline.everything(settings) == content
    assert settings.working_path.read_bytes() == before


# That each fault is an error is tested above; what an error writes does not depend on which it is.
@pytest.mark.parametrize(
    ("name", "symbol"),
    # Of one contract among several; and of all of them.
    [("503", "SOLUSDT"), ("cut", "SOLUSDT"), ("half missing", "SOLUSDT"), ("503", None)],
)
def test_no_fault_in_a_listing_is_written(
    server: ObservedServer, filled: Settings, name: str, symbol: str | None
) -> None:
    server.faults.inject(ON_FILES[name].fault, on="LIST", match=symbol)
    nothing_is_written(filled, lambda: pipeline.collect_days(filled, WINDOW.start, WINDOW.end))


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("reset", "SOLUSDT"), ("without size", "SOLUSDT"), ("503", None)],
)
def test_no_fault_in_a_probe_is_written(
    server: ObservedServer, filled: Settings, name: str, symbol: str | None
) -> None:
    server.faults.inject(ON_HEAD[name].fault, on="HEAD", match=symbol)
    nothing_is_written(filled, lambda: pipeline.collect_days(filled, LAST))


@pytest.mark.parametrize("name", ["503", "cut short", "half missing", "empty"])
def test_no_fault_in_a_discovery_is_written(server: ObservedServer, filled: Settings, name: str) -> None:
    server.faults.inject(ON_FOLDERS[name].fault, on="LIST")
    nothing_is_written(filled, lambda: pipeline.discover(filled))


# What a fault in any one page of a long history, once, makes of the whole.
@pytest.mark.parametrize(
    ("name", "spared"),
    # In the middle each, and what is refused, cut short or left out on the first and the last page as well.
    [
        (name, 2)
        for name in ("reset", "cut", "truncated without token", "out of order", "duplicate keys", "empty")
    ]
    + [(name, spared) for name in ("503", "half missing", "repeated token") for spared in (0, 2, 4)],
)
def test_one_bad_page_of_a_history_is_enough(
    server: ObservedServer, filled: Settings, archive: ScriptedArchive, name: str, spared: int
) -> None:
    injected = server.faults.inject(ON_FILES[name].fault, on="LIST", match="BTCUSDT", times=1, after=spared)
    before = pipeline.table(filled)
    try:
        pipeline.collect_days(filled, FIRST, LAST, only=["BTCUSDT"])
    except SOME_FAIL:
        assert injected.fired == 1
        assert pipeline.table(filled) == before
        return
    # A page that asks for more than there is does no harm, and a used connection that is reset is asked once more:
    # nothing that the page left out may be called absent.
    assert name in ("repeated token", "reset")
    expected = pipeline.truth(archive, server.url, ["BTCUSDT"], DayRange(FIRST, LAST))
    assert [row for row in pipeline.table(filled) if row[1] == "BTCUSDT"] == expected


def test_a_fault_while_a_new_contract_gets_its_history_writes_nothing(
    server: ObservedServer, filled: Settings, archive: ScriptedArchive
) -> None:
    archive.add_symbol("NEWUSDT", dt.date(2026, 9, 3))
    try:
        pipeline.discover(filled)
        server.faults.inject(Fault.status(503), on="LIST", match="NEWUSDT")
        nothing_is_written(filled, lambda: pipeline.collect_days(filled, LAST))
    finally:
        archive.remove_symbol("NEWUSDT")

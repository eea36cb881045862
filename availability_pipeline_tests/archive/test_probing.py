"""Probing one day: one HEAD per contract, and only a 404 says that there is no file.

Failures of the connection and wrong statuses are in `test_faults`.
"""

from __future__ import annotations

import datetime as dt

import pytest

from availability_pipeline.archive.files import FILES
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.errors import ArchiveRefused, UnexpectedAnswer
from availability_pipeline_tests.archive.servers import canned
from availability_pipeline_tests.conftest import SettingsFactory, run_python
from availability_pipeline_tests.simulator import Fault, ScriptedArchive, serve

DAY = dt.date(2024, 1, 15)
NOW = dt.datetime.fromisoformat("2026-10-06 12:00")
SYMBOLS = ["BTCUSDT", "LUNAUSDT", "币安人生USDT", "ETHUSDT"]
RIGHT = {"Content-Length": "65000", "Last-Modified": "Tue, 16 Jan 2024 08:12:33 GMT"}


def probe_one(settings_for: SettingsFactory, url: str) -> list[dict[str, object]]:
    table = probe_files(settings_for(archive_url=url), ["BTCUSDT"], DAY)
    assert table.schema == FILES
    return table.to_pylist()


def test_there_is_one_head_per_contract_and_nothing_else(settings_for: SettingsFactory) -> None:
    archive = ScriptedArchive.recorded(40, now=NOW)
    with serve(archive) as server:
        probe_files(settings_for(server), archive.symbols(), DAY)
        assert sorted(record.symbol or "" for record in server.requests) == sorted(archive.symbols())
        assert {record.kind for record in server.requests} == {"HEAD"}


def test_files_are_those_that_the_archive_has(settings_for: SettingsFactory) -> None:
    archive = ScriptedArchive.recorded(SYMBOLS, now=NOW)
    day, told = dt.date(2026, 1, 20), []
    with serve(archive) as server:
        table = probe_files(settings_for(server), [*SYMBOLS, "NOSUCHUSDT"], day, on_probed=told.append)
    truth = {symbol: file for symbol in SYMBOLS if (file := archive.file(symbol, day))}
    assert {row["symbol"]: (row["file_size_bytes"], row["last_modified"]) for row in table.to_pylist()} == {
        symbol: (file.size, file.last_modified) for symbol, file in truth.items()
    }
    assert set(truth) == {"BTCUSDT", "ETHUSDT", "币安人生USDT"}
    assert told == [1] * 5


def test_no_contract_means_no_request(settings_for: SettingsFactory) -> None:
    assert probe_files(settings_for(archive_url="http://no-such-host.invalid"), [], DAY).num_rows == 0


def test_a_file_hassize_and_time(settings_for: SettingsFactory) -> None:
    with canned(200, b"", RIGHT) as url:
        assert probe_one(settings_for, url) == [
            {
                "date": DAY,
                "symbol": "BTCUSDT",
                "file_size_bytes": 65000,
                "last_modified": dt.datetime.fromisoformat("2024-01-16 08:12:33"),
                "has_checksum": None,
            }
        ]


def test_a_404_is_no_file_even_as_a_web_page(settings_for: SettingsFactory) -> None:
    with canned(404, b"<html>", {"Content-Type": "text/html"}) as url:
        assert probe_one(settings_for, url) == []


@pytest.mark.parametrize(
    "status", [301, 302, 307, 400, 401, 403, 405, 410, 416, 429, 451, 500, 502, 503, 206, 201]
)
def test_every_other_status_says_nothing(settings_for: SettingsFactory, status: int) -> None:
    with (
        canned(status, b"", {**RIGHT, "Location": "/elsewhere"}) as url,
        pytest.raises(
            ArchiveRefused, match=rf"^BTCUSDT 2024-01-15: the archive answered HTTP {status} \({url}/"
        ),
    ):
        probe_one(settings_for, url)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Content-Type": "text/html; charset=utf-8"}, "web page"),
        ({"Content-Type": "Text/HTML"}, "web page"),
        ({"Last-Modified": "yesterday"}, "Invalid"),
        ({"Last-Modified": ""}, "Invalid"),
        ({"Last-Modified": "Tue, 16 Jan 2024 08:12:33 +0900"}, "not in UTC"),
        ({"Last-Modified": "Tue, 99 Jan 2024 08:12:33 GMT"}, "day"),
        ({"Content-Length": "-5"}, "no number"),
        ({"Content-Length": "6_5"}, "no number"),
        ({"Content-Length": "many"}, "no number"),
        ({"Content-Length": "\xb2"}, "no number"),
    ],
)
def test_an_answer_that_describes_no_file_is_refused(
    settings_for: SettingsFactory, headers: dict[str, str], reason: str
) -> None:
    with (
        canned(200, b"", {**RIGHT, **headers}) as url,
        pytest.raises(
            UnexpectedAnswer, match=f"BTCUSDT 2024-01-15: the answer does not describe a file: .*{reason}"
        ),
    ):
        probe_one(settings_for, url)


@pytest.mark.parametrize("name", ["Content-Length", "Last-Modified"])
def test_an_answer_without_size_or_time_is_refused(settings_for: SettingsFactory, name: str) -> None:
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        server.faults.inject(Fault.without_header(name), on="HEAD")
        with pytest.raises(UnexpectedAnswer, match="it has no Content-Length or no Last-Modified"):
            probe_one(settings_for, server.url)


ELSEWHERE = """
    import datetime as dt, sys
    from availability_pipeline.archive.probing import probe_files
    from availability_pipeline.settings import Settings

    settings = Settings.load({}, archive_url=sys.argv[1])
    [row] = probe_files(settings, ["BTCUSDT"], dt.date(2024, 1, 15)).to_pylist()
    print(row["last_modified"])
"""


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""])
def test_times_are_utc_whatever_the_machines_time_zone(zone: str) -> None:
    headers = {**RIGHT, "Last-Modified": f"Tue, 16 Jan 2024 08:12:33 {zone}".strip()}
    with canned(200, b"", headers) as url:
        assert run_python(ELSEWHERE, url, TZ="Asia/Tokyo").strip() == "2024-01-16 08:12:33"

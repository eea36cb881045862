"""Volume confirms what sizes say, from the real content of the few files around a change."""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from availability_pipeline import AvailabilityQueries
from availability_pipeline.archive.contents import traded_minutes
from availability_pipeline.archive.klines import MAX_BYTES
from availability_pipeline.cli.main import cli
from availability_pipeline.collecting.inspect import confirm
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.archive.servers import canned, nobody_listening
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

NOW = dt.datetime(2025, 12, 20, 12, tzinfo=dt.UTC)
START, END = dt.date(2025, 1, 20), dt.date(2025, 12, 19)


@dataclass(frozen=True)
class Place:
    """An archive, and a database that was made from it."""

    server: ObservedServer
    settings: Settings


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """LITUSDT flat and listed again, FTTUSDT flat from the first collected day on, and a quiet contract."""
    archive = ScriptedArchive.recorded(symbols=["BTCUSDT", "LITUSDT", "FTTUSDT", "SOLUSDT"], now=NOW)
    with serve(archive) as server, clock_at(NOW, server):
        for day in range(1, 8):  # sizes that do not tell, of files in which there are trades
            archive.replace_file("SOLUSDT", dt.date(2025, 12, day), size=9_400)
        settings = Settings.load(
            server.environment(), data_dir=str(tmp_path_factory.mktemp("confirm")), connections="4"
        )
        pipeline.run_and_publish(settings, START, END)
        yield Place(server, settings)


def test_the_ends_of_every_run_are_looked_into(place: Place) -> None:
    place.server.requests.clear()
    with AvailabilityQueries(place.settings.db_path) as queries:
        found = {row["symbol"]: row for row in confirm(queries, place.settings)}
    assert set(found) == {"LITUSDT", "FTTUSDT", "SOLUSDT"}
    lit, ftt = found["LITUSDT"], found["FTTUSDT"]
    assert (lit["last_live_day"], lit["first_day"], lit["last_day"]) == (
        dt.date(2025, 1, 31), dt.date(2025, 2, 1), dt.date(2025, 11, 30)
    )  # fmt: skip
    assert lit["live_minutes"]
    assert (lit["first_minutes"], lit["last_minutes"], lit["verdict"]) == (0, 0, "flat")
    assert (ftt["last_live_day"], ftt["live_minutes"], ftt["verdict"]) == (None, None, "flat")
    assert found["SOLUSDT"]["verdict"] == "traded"  # sizes called it flat, and the volume knows better
    assert place.server.requests.count() == 3 + 2 + 3


def test_the_command_shows_it(place: Place) -> None:
    runner = CliRunner(env={**place.settings.environment()})
    result = runner.invoke(cli, ["query", "lifecycle", "litusdt", "--confirm"], catch_exceptions=False)
    [row] = json.loads(result.stdout)
    assert (row["symbol"], row["evidence"], row["verdict"]) == ("LITUSDT", "size", "flat")
    table = runner.invoke(cli, ["query", "lifecycle", "litusdt", "--confirm", "--format", "table"])
    assert table.stdout.startswith("1 run of small files")


def test_an_archive_that_is_down_is_one_sentence(place: Place) -> None:
    place.server.faults.inject(Fault.status(503), on="GET")
    try:
        result = CliRunner(env={**place.settings.environment()}).invoke(
            cli, ["query", "lifecycle", "litusdt", "--confirm"]
        )
    finally:
        place.server.faults.clear()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "3 of 3 symbols failed" in result.stderr
    assert "HTTP 503" in result.stderr


def packed(*names: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, text)
    return buffer.getvalue()


ROWS = "{},1.0,1.0,1.0,1.0,{},1705276859999,0,0,0,0,0\n"
ENTRY = "BTCUSDT-1m-2024-01-15.csv"
MODIFIED = {"Last-Modified": "Tue, 16 Jan 2024 08:12:33 GMT"}


def rows(*volumes: str) -> str:
    return "".join(ROWS.format(1705276800000 + 60_000 * at, volume) for at, volume in enumerate(volumes))


HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n"
DAY = dt.date(2024, 1, 15)


@pytest.mark.parametrize("header", [HEADER, ""])
@pytest.mark.parametrize(("volumes", "minutes"), [(("0", "0.0", "0.00000"), 0), (("0", "12.5", "1e-3"), 2)])
def test_minutes_with_volume_are_counted(header: str, volumes: tuple[str, ...], minutes: int) -> None:
    body = packed(ENTRY, text=header + rows(*volumes))
    with canned(200, body, MODIFIED) as url:
        settings = Settings.load({}, archive_url=url)
        assert traded_minutes(settings, [("BTCUSDT", DAY)]) == {("BTCUSDT", DAY): minutes}


WHOLE = packed(ENTRY, text=rows(*["1"] * 1_440))
UNUSABLE = {
    "html": b"<html>no</html>",
    "cut": WHOLE[:-40],
    "flipped": WHOLE[:60] + bytes([WHOLE[60] ^ 255]) + WHOLE[61:],
    "two files": packed(ENTRY, "b.csv", text=rows("1")),
    "no numbers": packed(ENTRY, text=rows("much")),
    "few columns": packed(ENTRY, text="1705276800000,1.0\n"),
    "only a header": packed(ENTRY, text=HEADER),
    "empty": packed(ENTRY, text=""),
    "a bomb": packed(ENTRY, text="0" * (MAX_BYTES + 1)),
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_zip_of_klines_is_named(name: str) -> None:
    with canned(200, UNUSABLE[name], MODIFIED) as url, pytest.raises(UnexpectedAnswer) as caught:
        traded_minutes(Settings.load({}, archive_url=url), [("BTCUSDT", DAY)])
    assert str(caught.value).startswith("BTCUSDT 2024-01-15: the file is no zip of klines (")


def test_a_file_that_cannot_be_had_is_named() -> None:
    for status in (404, 302, 500):
        with canned(status, b"", {"Location": "/elsewhere"}) as url, pytest.raises(ArchiveRefused) as caught:
            traded_minutes(Settings.load({}, archive_url=url), [("BTCUSDT", DAY)])
        assert f"HTTP {status}" in str(caught.value)
    with nobody_listening() as url, pytest.raises(ArchiveUnreachable, match="BTCUSDT 2024-01-15"):
        traded_minutes(Settings.load({}, archive_url=url), [("BTCUSDT", DAY)])

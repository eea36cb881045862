"""Files with daily bars: which there are when, that all three routes agree, and what is in them."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import zipfile
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.listing import KeyNames
from availability_pipeline.simulator.shape import day_number
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve
from availability_pipeline_tests.simulator.conftest import BUCKET, ROOT, parse_xml, s3_client

BTC = "BTCUSDT"
NOW = dt.datetime.fromisoformat("2024-03-10 12:00")
MONTHLY = "data/futures/um/monthly/klines/"


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def recorded(*symbols: str, now: dt.datetime = NOW) -> ScriptedArchive:
    return ScriptedArchive.recorded(symbols, now=now)


def rows_of(archive: SimulatedArchive, symbol: str, first: dt.date) -> list[list[str]]:
    """The rows of a visible file, with the header if it has one, and checks of its container on the way."""
    folder, files = archive.folder(symbol), archive.visible(symbol)
    at = None if files is None else files.index(day_number(first))
    assert folder is not None
    assert files is not None
    assert at is not None
    name = KeyNames(archive.dataset).file_name(symbol, files.days[at])
    body = folder.body(name, files, at)
    assert len(body) == files.sizes[at]
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == [name.replace(".zip", ".csv")]
        return list(csv.reader(io.TextIOWrapper(packed.open(packed.namelist()[0]))))


def bars_of(archive: SimulatedArchive, symbol: str, first: dt.date) -> dict[int, list[str]]:
    """The bars of a file by their milliseconds."""
    return {int(row[0]): row for row in rows_of(archive, symbol, first) if row[0] != "open_time"}


def milliseconds(of: dt.date) -> int:
    return day_number(of) * 86_400_000


@pytest.mark.parametrize("symbol", [BTC, "龙虾USDT"])
@pytest.mark.parametrize("root", [ROOT, MONTHLY])
def test_the_three_routes_agree(symbol: str, root: str) -> None:
    archive = recorded(symbol, now=dt.datetime.fromisoformat("2026-09-10 12:00"))
    with serve(archive) as server, requests.Session() as http:
        client = s3_client(server.url)
        prefix = f"{root}{symbol}/1d/"
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
        for entry in (*listed[:4], *listed[-4:]):
            head = http.head(f"{server.url}/{entry['Key']}")
            got = http.get(f"{server.url}/{entry['Key']}")
            assert len(got.content) == entry["Size"] == int(head.headers["Content-Length"])
            assert entry["ETag"] == head.headers["ETag"] == got.headers["ETag"]
            assert parsedate_to_datetime(got.headers["Last-Modified"]) == entry["LastModified"]
            if entry["Key"].endswith(".zip"):
                name, digest = entry["Key"].rpartition("/")[2], hashlib.sha256(got.content).hexdigest()
                checksum = http.get(f"{server.url}/{entry['Key']}.CHECKSUM")
                assert checksum.content.decode() == f"{digest}  {name}\n"
        client.close()


def test_a_daily_file_is_there_with_its_1_minute_file() -> None:
    archive = recorded(BTC, "FTTUSDT", "ICPUSDT")
    for symbol in archive.symbols():
        assert archive.daily_bars.files(symbol) == archive.files(symbol)
    assert day("2022-09-23") not in archive.daily_bars.files("ICPUSDT")


def test_months_begin_with_the_first_whole_one() -> None:
    months = recorded(BTC).monthly_bars.files(BTC)
    assert (months[0], months[-1], len(months)) == (day("2020-01-01"), day("2024-02-01"), 50)
    assert day("2019-12-31") in recorded(BTC).daily_bars.files(BTC)


def test_a_month_appears_in_the_first_half_of_the_next_one() -> None:
    archive = ScriptedArchive.recorded(40, now=NOW)
    delays = []
    for symbol in archive.symbols():
        for month in archive.monthly_bars.files(symbol):
            file = archive.monthly_bars.file(symbol, month)
            assert file is not None
            following = (month + dt.timedelta(days=31)).replace(day=1)
            delays.append((file.last_modified.date() - following).days)
    assert min(delays) == 1
    assert 10 <= max(delays) <= 16
    assert sorted(delays)[len(delays) // 2] <= 5


def test_a_month_is_visible_from_its_last_modified_on() -> None:
    archive = recorded(BTC)
    file = archive.monthly_bars.file(BTC, day("2024-02-01"))
    assert file is not None
    archive.set_now(file.last_modified - dt.timedelta(seconds=1))
    assert archive.monthly_bars.files(BTC)[-1] == day("2024-01-01")
    archive.set_now(file.last_modified)
    assert archive.monthly_bars.file(BTC, day("2024-02-01")) == file


def test_a_last_published_day_holds_for_months() -> None:
    archive = recorded(BTC)
    archive.set_last_published_day(day("2024-01-31"))
    assert archive.monthly_bars.files(BTC)[-1] == day("2023-12-01")
    assert archive.daily_bars.files(BTC)[-1] == day("2024-01-31")


@pytest.mark.parametrize("symbol", [BTC, "FTTUSDT", "ICPUSDT", "LUNAUSDT", "TSLAUSDT"])
def test_a_month_has_the_bars_of_its_days(symbol: str) -> None:
    archive = recorded(symbol, now=dt.datetime.fromisoformat("2026-09-10 12:00"))
    days = archive.daily_bars.files(symbol)
    for month in archive.monthly_bars.files(symbol)[-14:]:
        expected = {}
        for each in days:
            if each.replace(day=1) == month:
                expected |= bars_of(archive.daily_bars, symbol, each)
        assert bars_of(archive.monthly_bars, symbol, month) == expected


def test_a_day_that_came_late_replaces_its_month() -> None:
    archive = recorded("SOLUSDT", now=dt.datetime.fromisoformat("2025-11-20 12:00"))
    filled = archive.monthly_bars.file("SOLUSDT", day("2025-10-01"))
    assert filled is not None
    assert len(bars_of(archive.monthly_bars, "SOLUSDT", day("2025-10-01"))) == 31
    archive.add_file("SOLUSDT", day("2025-11-21"))
    archive.remove_file("SOLUSDT", day("2025-10-12"))
    without = archive.monthly_bars.file("SOLUSDT", day("2025-10-01"))
    assert without is not None
    assert without.size < filled.size
    archive.add_file("SOLUSDT", day("2025-10-12"))
    again = archive.monthly_bars.file("SOLUSDT", day("2025-10-01"))
    assert again is not None
    assert (again.last_modified, again.etag != filled.etag) == (archive.now(), True)


def test_columns_times_and_header() -> None:
    archive = recorded(BTC)
    [early] = rows_of(archive.daily_bars, BTC, day("2022-03-31"))
    header, late = rows_of(archive.daily_bars, BTC, day("2022-04-01"))
    assert (len(early), len(late), header[0], header[8]) == (12, 12, "open_time", "count")
    assert (int(late[0]), int(late[6])) == (
        milliseconds(day("2022-04-01")),
        milliseconds(day("2022-04-02")) - 1,
    )
    opened, high, low, closed, volume = map(float, late[1:6])
    assert low < min(opened, closed) <= max(opened, closed) < high
    assert 0 < float(late[9]) < volume
    assert low < float(late[7]) / volume < high
    assert int(late[8]) > 1_440


@pytest.mark.parametrize(
    ("symbol", "silent"),
    [("FTTUSDT", "2023-01-01"), ("TRXUSDT", "2020-09-18"), ("TRXUSDT", "2020-09-21")],
)
def test_a_bar_without_a_trade(symbol: str, silent: str) -> None:
    archive = recorded(symbol)
    [row] = bars_of(archive.daily_bars, symbol, day(silent)).values()
    assert set(row[1:5]) == {row[1]}
    assert (float(row[5]), float(row[7]), int(row[8]), float(row[9])) == (0, 0, 0, 0)
    size = archive.file(symbol, day(silent)).size  # type: ignore[union-attr]
    assert 7_400 <= size < 8_400


def test_both_folders_of_a_contract_are_listed(server: ObservedServer, http: requests.Session) -> None:
    query = {"list-type": "2", "prefix": f"{ROOT}AB/", "delimiter": "/"}
    answer = http.get(f"{server.url}/{BUCKET}", params=query)
    names = [node.text for node in parse_xml(answer.content).iterfind("{*}CommonPrefixes/{*}Prefix")]
    assert names == [f"{ROOT}AB/1d/", f"{ROOT}AB/1m/"]


def test_a_later_day_is_listed_from_a_mark_on(s3: Any) -> None:
    mark = f"{ROOT}{BTC}/1d/{BTC}-1d-2024-03-08"
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{ROOT}{BTC}/1d/", StartAfter=mark)
    assert [entry["Key"] for entry in page["Contents"]] == [
        f"{mark[:-2]}{text}" for text in ("08.zip", "08.zip.CHECKSUM", "09.zip", "09.zip.CHECKSUM")
    ]


def test_a_month_that_lacks_days() -> None:
    archive = recorded(BTC)
    archive.monthly_bars.omit_days(BTC, [day("2024-01-05"), day("2024-01-06")])
    bars = bars_of(archive.monthly_bars, BTC, day("2024-01-01"))
    assert len(bars) == 29
    assert milliseconds(day("2024-01-05")) not in bars
    assert bars_of(archive.daily_bars, BTC, day("2024-01-05"))


def test_a_bar_without_a_1_minute_file_and_the_reverse(archive: ScriptedArchive) -> None:
    archive.daily_bars.add_file("AB", day("2024-03-08"))
    archive.daily_bars.remove_file(BTC, day("2024-03-05"))
    assert archive.daily_bars.files("AB")[-1] == day("2024-03-08")
    assert day("2024-03-08") not in archive.files("AB")
    assert day("2024-03-05") in archive.files(BTC)
    assert day("2024-03-05") not in archive.daily_bars.files(BTC)
    assert bars_of(archive.daily_bars, "AB", day("2024-03-08"))


def test_a_month_that_is_replaced_later() -> None:
    archive = recorded(BTC)
    before = archive.monthly_bars.file(BTC, day("2024-01-01"))
    assert before is not None
    archive.monthly_bars.replace_file(BTC, day("2024-01-01"), size=before.size + 7)
    after = archive.monthly_bars.file(BTC, day("2024-01-01"))
    assert after is not None
    assert (after.size, after.last_modified) == (before.size + 7, NOW)
    assert after.etag != before.etag
    assert len(bars_of(archive.monthly_bars, BTC, day("2024-01-01"))) == 31


def test_scripted_contents(server: ObservedServer, http: requests.Session) -> None:
    first = day("2024-03-05")
    for archive, interval in ((server.archive, "1m"), (server.archive.daily_bars, "1d")):
        archive.replace_file(BTC, first, body=b"no zip")
        url = f"{server.url}/{ROOT}{BTC}/{interval}/{BTC}-{interval}-2024-03-05.zip"
        assert (http.get(url).content, http.head(url).headers["Content-Length"]) == (b"no zip", "6")
        assert http.get(f"{url}.CHECKSUM").text.startswith(hashlib.sha256(b"no zip").hexdigest())
        archive.set_checksum(BTC, first, b"nothing\n")
        assert http.get(f"{url}.CHECKSUM").text == "nothing\n"


def test_changes_of_bars_outlive_new_contracts(archive: ScriptedArchive) -> None:
    archive.daily_bars.remove_file(BTC, day("2024-03-05"))
    archive.add_symbol("NEWUSDT", day("2024-03-05"))
    assert day("2024-03-05") not in archive.daily_bars.files(BTC)
    assert archive.daily_bars.files("NEWUSDT")[0] == day("2024-03-05")
    archive.remove_symbol(BTC)
    with pytest.raises(UsageError):
        archive.daily_bars.add_file(BTC, day("2024-03-05"))


def test_a_scripted_size_tells_whether_there_were_trades(archive: ScriptedArchive) -> None:
    archive.replace_file(BTC, day("2024-03-05"), size=7_900)
    [row] = bars_of(archive.daily_bars, BTC, day("2024-03-05")).values()
    assert row[8] == "0"
    archive.replace_file(BTC, day("2024-03-05"), size=9_400)
    [row] = bars_of(archive.daily_bars, BTC, day("2024-03-05")).values()
    assert int(row[8]) > 0


def test_every_size_suffices() -> None:
    archive = ScriptedArchive.recorded(now=dt.datetime.fromisoformat("2026-10-20 12:00"))
    for symbol in archive.symbols()[::25]:
        months = archive.monthly_bars.files(symbol)
        for month in (*months[:2], *months[2::7]):
            assert rows_of(archive.monthly_bars, symbol, month)
        for each in archive.daily_bars.files(symbol)[::60]:
            assert rows_of(archive.daily_bars, symbol, each)

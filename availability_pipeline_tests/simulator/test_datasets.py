"""What the archive has of each dataset of the catalogue: recorded days, the three routes, stray keys, exchangeInfo."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import zipfile

import pytest
import requests

from availability_pipeline.catalogue.datasets import DATASETS
from availability_pipeline.simulator.bars import bar_archives
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.datasets import recorded_content
from availability_pipeline.simulator.exchange import exchange_info
from availability_pipeline.simulator.listing import KeyNames, KeySpace
from availability_pipeline.simulator.objects import object_response
from availability_pipeline.simulator.s3 import list_objects
from availability_pipeline.simulator.shape import day_number
from availability_pipeline_tests.simulator import ScriptedArchive, serve
from availability_pipeline_tests.simulator.conftest import BUCKET, parse_xml

NOW = dt.datetime.fromisoformat("2026-11-20 12:00")

KINDS = {(each.market.name, each.kind): each.name for each in reversed(DATASETS.values())}
"""One dataset of each kind of each market."""

OTHERS = [*KINDS.values(), "um/klines/5m", "um/klines/1d", "um/markPriceKlines/1d", "spot/klines/1d"]


def recorded(name: str, symbols: int | list[str] | None = None, now: dt.datetime = NOW) -> ScriptedArchive:
    return ScriptedArchive.recorded(symbols, now, DATASETS[name])


def symbols_of(name: str) -> int | None:
    """Few of datasets that have all folders of their market."""
    return 6 if DATASETS[name].kind == "klines" else None


def listed(archive: SimulatedArchive, symbol: str) -> list[tuple[str, int, str]]:
    """Key, size and ETag of a first page of a folder."""
    names = KeyNames(archive.dataset)
    query = {"list-type": "2", "prefix": f"{names.root}{symbol}/{names.inner}"}
    page = parse_xml(list_objects(KeySpace(archive), BUCKET, query))
    return [
        (entry.findtext("{*}Key", ""), int(entry.findtext("{*}Size", "")), entry.findtext("{*}ETag", ""))
        for entry in page.iterfind("{*}Contents")
    ]


def body_of(archive: SimulatedArchive, key: str) -> bytes:
    return bytes(object_response(KeySpace(archive), key, head=False).body)


@pytest.mark.parametrize("name", OTHERS)
def test_listing_head_and_get_agree(name: str) -> None:
    archive = recorded(name, symbols_of(name))
    for symbol in archive.symbols():
        files = [entry for entry in listed(archive, symbol) if "//" not in entry[0]]
        for key, size, etag in (*files[:2], *files[-2:]):
            head = object_response(KeySpace(archive), key, head=True)
            assert (int(head.headers["Content-Length"]), head.headers["ETag"]) == (size, etag)
            if key in KeyNames(archive.dataset).strays(symbol):
                continue
            body = body_of(archive, key)
            assert len(body) == size
            if key.endswith(".zip"):
                check_zip(archive, key, body)


def check_zip(archive: SimulatedArchive, key: str, body: bytes) -> None:
    file = key.rpartition("/")[2]
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.namelist() == [file.replace(".zip", ".csv")]
        assert packed.testzip() is None
    assert body_of(archive, f"{key}.CHECKSUM").decode() == f"{hashlib.sha256(body).hexdigest()}  {file}\n"


@pytest.mark.parametrize("name", DATASETS)
def test_it_begins_and_ends_as_the_catalogue_says(name: str) -> None:
    dataset = DATASETS[name]
    folders = recorded_content(dataset, symbols_of(name)).folders
    assert min(facts.first_day for facts in folders) == dataset.first_file_day
    archive = SimulatedArchive.recorded([folders[0].symbol, folders[-1].symbol], dataset)
    for folder in archive.folders():
        last = folder.visible(archive.seconds()).days[-1]
        assert day_number(folder.facts.first_day) <= last <= day_number(dataset.last_day)


def absent(archive: ScriptedArchive, symbol: str) -> set[dt.date]:
    """The days without a file between a folder's first and last one."""
    files = archive.files(symbol)
    days = {files[0] + dt.timedelta(days=number) for number in range((files[-1] - files[0]).days)}
    return days - set(files)


def test_days_that_a_whole_dataset_lacks() -> None:
    for name, symbol, days in (
        ("um/premiumIndexKlines/1m", "BTCUSDT", 6 + 29),
        ("option/BVOLIndex", "BTCBVOLUSDT", 21),
        ("option/EOHSummary", "XRPUSDT", 12),
    ):
        assert len(absent(recorded(name), symbol)) == days


def test_most_metrics_begin_late() -> None:
    archive = recorded("um/metrics")
    firsts = {symbol: archive.files(symbol)[0] for symbol in ("BTCUSDT", "ETHUSDT")}
    assert firsts == {"BTCUSDT": dt.date(2020, 9, 1), "ETHUSDT": dt.date(2021, 12, 1)}


def test_coin_margined_contracts() -> None:
    archive = recorded("cm/klines/1m", now=dt.datetime.fromisoformat("2023-05-28 12:00"))
    late = {dt.date(2020, 11, day) for day in range(2, 7)}
    assert archive.files("BTCUSD_PERP")[0] == dt.date(2020, 8, 11)
    assert absent(archive, "BTCUSD_PERP") == late
    archive.set_now(NOW)
    assert absent(archive, "BTCUSD_PERP") == set()
    assert archive.files("XMRUSD_PERP")[-1] == dt.date(2024, 2, 16)
    assert {"BTCUSD_200925", "BTCUSD_210326", "BTCUSD_261225"} <= set(archive.symbols())
    assert recorded("cm/indexPriceKlines/1h").symbols() == ["BTCUSD", "ETHUSD", "XMRUSD"]


def test_spot_has_the_shape_of_the_real_listing() -> None:
    archive = recorded("spot/klines/1m", now=dt.datetime.fromisoformat("2026-02-04 12:00"))
    files, lacking = 0, {}
    for folder in archive.folders():
        if folder.facts.quote == "USDT":
            days = folder.visible(archive.seconds()).days
            files += len(days)
            if missing := days[-1] - days[0] + 1 - len(days):
                lacking[folder.facts.symbol] = missing
    assert files == 736_121
    assert (len(lacking), sum(lacking.values())) == (23, 1_473)
    assert (lacking["FTTUSDT"], lacking["VENUSDT"]) == (310, 87)


def test_spot_files_have_no_header_and_microseconds_from_2025_on() -> None:
    archive = recorded("spot/klines/1m", ["BTCUSDT"])
    daily, monthly = bar_archives(archive)
    for each, last, first in (
        (archive, dt.date(2024, 12, 31), dt.date(2025, 1, 1)),
        (daily, dt.date(2024, 12, 31), dt.date(2025, 1, 1)),
        (monthly, dt.date(2024, 12, 1), dt.date(2025, 1, 1)),
    ):
        names = KeyNames(each.dataset)
        for day, units in ((last, 1_000), (first, 1_000_000)):
            text = names.texts[day_number(day)]
            with zipfile.ZipFile(io.BytesIO(body_of(each, f"{names.stem('BTCUSDT')}{text}.zip"))) as packed:
                rows = list(csv.reader(io.TextIOWrapper(packed.open(packed.namelist()[0]))))
            length = (60 if each is archive else 86_400) * units
            assert int(rows[0][0]) == day_number(day) * 86_400 * units
            assert int(rows[0][6]) == int(rows[0][0]) + length - 1
            assert len(rows) == (1_440 if each is archive else 31 if each is monthly else 1)


def test_daily_bars_of_all_klines_are_the_same() -> None:
    day = day_number(dt.date(2024, 5, 6))
    bars = {
        folder.bar(day)
        for name in ("um/klines/1m", "um/klines/5m", "um/klines/1d")
        for folder in recorded(name, ["SOLUSDT"]).folders()
    }
    assert len(bars) == 1


def test_bars_are_a_dataset_of_their_own_and_beside_others(http: requests.Session) -> None:
    given = [recorded(name, ["BTCUSDT"]) for name in ("um/klines/1m", "um/klines/1d", "um/klines/5m")]
    day = dt.date(2024, 5, 6)
    given[1].replace_file("BTCUSDT", day, size=1_234)
    with serve(*given) as server:
        keys = [each.dataset.key("BTCUSDT", day) for each in given]
        sizes = [int(http.head(f"{server.url}/{key}").headers["Content-Length"]) for key in keys]
        month = given[1].dataset.daily_bars("monthly").key("BTCUSDT", dt.date(2024, 4, 1))
        assert http.head(f"{server.url}/{month}").status_code == 200
        folders = {"list-type": "2", "prefix": f"{given[0].dataset.root}BTCUSDT/", "delimiter": "/"}
        page = parse_xml(http.get(f"{server.url}/{BUCKET}", params=folders).content)
    assert sizes[1] == 1_234
    assert len(set(sizes)) == 3
    inner = [
        prefix.text.split("/")[-2] for prefix in page.iterfind("{*}CommonPrefixes/{*}Prefix") if prefix.text
    ]
    assert inner == ["", "1d", "1m", "5m"]


def test_stray_keys_are_where_they_sort() -> None:
    archive = recorded("um/aggTrades")
    keys = {symbol: [key for key, *_ in listed(archive, symbol)] for symbol in ("BTCUSDT", "LUNAUSDT")}
    root = archive.dataset.root
    assert keys["BTCUSDT"][0] == f"{root}BTCUSDT//BTCUSDT--2021-03-01.zip"
    assert keys["LUNAUSDT"][-1] == f"{root}LUNAUSDT/LUNAUSDT-aggTrades-2022-5.zip"
    names, space = KeyNames(archive.dataset), KeySpace(archive)
    part = names.strays("BTCUSDT")[1]
    for after, count in (
        (names.stem("BTCUSDT") + "2026-11-19.zip", 2),
        (part[:-1], 1),
        (part, 0),
        (f"{part}x", 0),
    ):
        page = space.page(f"{root}BTCUSDT/", after, "", 1000)
        assert page.count == count
        assert count == 0 or page.last == part
    assert all(keys == sorted(keys, key=str.encode) for keys in keys.values())
    assert object_response(space, part, head=True).status_code == 200


def test_a_few_contracts_come_first() -> None:
    assert recorded("cm/klines/1m", 3).symbols() == ["BTCUSD_PERP", "ETHUSD_PERP", "XMRUSD_PERP"]
    assert set(recorded("spot/klines/1m", 4).symbols()) == {"BTCUSDT", "ETHUSDT", "FTTUSDT", "币安人生USDT"}


def test_exchange_info_of_each_market(http: requests.Session) -> None:
    names = ("um/klines/1m", "um/bookTicker", "cm/klines/1m", "spot/aggTrades")
    with serve(*(recorded(name, symbols_of(name)) for name in names)) as server:
        answers = {
            path: http.get(f"{server.url}{path}/exchangeInfo").json()
            for path in ("/fapi/v1", "/dapi/v1", "/api/v3")
        }
        assert http.get(f"{server.url}/xapi/v1/exchangeInfo").status_code == 404
    entries = {
        path: {entry["symbol"]: entry for entry in answer["symbols"]} for path, answer in answers.items()
    }
    # SOLUSDT is only in the second dataset of the market.
    assert {"BTCUSDT", "SOLUSDT"} <= entries["/fapi/v1"].keys()
    assert len(answers["/fapi/v1"]["symbols"]) == len(entries["/fapi/v1"])
    perpetual, pair = entries["/dapi/v1"]["BTCUSD_PERP"], entries["/api/v3"]["VENUSDT"]
    assert (perpetual["contractStatus"], perpetual["pair"], perpetual["marginAsset"]) == (
        "TRADING",
        "BTCUSD",
        "BTC",
    )
    assert "status" not in perpetual
    assert entries["/dapi/v1"]["BTCUSD_261225"]["contractType"] == "CURRENT_QUARTER"
    assert "XMRUSD_PERP" not in entries["/dapi/v1"]
    assert (pair["status"], pair["baseAsset"], pair["quoteAsset"]) == ("BREAK", "VEN", "USDT")
    assert not {"contractType", "onboardDate", "deliveryDate"} & pair.keys()
    assert entries["/api/v3"]["BNBBTC"]["status"] == "TRADING"
    assert "BTCSIM" not in entries["/api/v3"]


def test_a_contract_trades_on_after_a_dataset_has_ended() -> None:
    archive = recorded("um/bookTicker")
    assert archive.files("BTCUSDT")[-1] == dt.date(2024, 3, 30)
    [entry] = [entry for entry in exchange_info(archive)["symbols"] if entry["symbol"] == "BTCUSDT"]
    assert entry["status"] == "TRADING"

"""exchangeInfo knows the contracts of its moment, and none that are gone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import requests

from availability_pipeline.simulator.exchange import NAMELESS_BASE, PENDING_BASE, exchange_info
from availability_pipeline_tests.simulator import ScriptedArchive, serve

PENDING, NAMELESS = f"{PENDING_BASE}USDT", f"{NAMELESS_BASE}USDT"


def contracts(archive: ScriptedArchive) -> dict[str, dict[str, Any]]:
    return {entry["symbol"]: entry for entry in exchange_info(archive)["symbols"]}


def recorded(now: str = "2026-10-05 12:00") -> dict[str, dict[str, Any]]:
    return contracts(ScriptedArchive.recorded(now=dt.datetime.fromisoformat(now)))


def milliseconds(day: str) -> int:
    return int(dt.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * 1000


def test_every_contract_with_files_to_come_is_known() -> None:
    archive = ScriptedArchive.recorded(now=dt.datetime.fromisoformat("2026-10-05 12:00"))
    known = contracts(archive).keys() - {PENDING, NAMELESS}
    facts = [folder.facts for folder in archive.folders()]
    assert known == {
        one.symbol
        for one in facts
        if one.kind != "settled" and (one.last_day is None or one.last_day >= dt.date(2026, 10, 5))
    }


def test_a_trading_contract() -> None:
    entry = recorded()["BTCUSDT"]
    assert (entry["contractType"], entry["status"]) == ("PERPETUAL", "TRADING")
    assert (entry["baseAsset"], entry["quoteAsset"], entry["marginAsset"]) == ("BTC", "USDT", "USDT")
    assert entry["deliveryDate"] == 4_133_404_800_000
    assert entry["onboardDate"] <= milliseconds("2019-12-31")


def test_a_delisted_contract_settles() -> None:
    assert recorded("2022-11-14 12:00")["FTTUSDT"]["status"] == "TRADING"
    entry = recorded("2022-11-15 12:00")["FTTUSDT"]
    assert (entry["status"], entry["deliveryDate"]) == ("SETTLING", milliseconds("2022-11-15"))


def test_a_relisted_contract_trades_again() -> None:
    assert recorded("2025-11-30 12:00")["LITUSDT"]["status"] == "SETTLING"
    assert recorded("2025-12-31 12:00")["LITUSDT"]["status"] == "TRADING"


def test_a_status_that_only_the_exchange_tells() -> None:
    assert recorded("2026-08-05 12:00")["NFPUSDT"]["status"] == "TRADING"
    assert recorded("2026-08-06 12:00")["NFPUSDT"]["status"] == "SETTLING"


def test_a_purged_contract_is_gone() -> None:
    assert "LUNAUSDT" in recorded("2022-05-13 12:00")
    assert "LUNAUSDT" not in recorded("2022-05-14 12:00")


def test_settled_folders_are_no_contracts() -> None:
    assert not [symbol for symbol in recorded() if "SETTLED" in symbol]


def test_stocks_have_their_own_type() -> None:
    entry = recorded()["TSLAUSDT"]
    assert (entry["contractType"], entry["underlyingType"]) == ("TRADIFI_PERPETUAL", "EQUITY")


def test_delivery_contracts_are_of_this_quarter_or_the_next() -> None:
    known = recorded()
    assert known["BTCUSDT_261225"]["contractType"] == "CURRENT_QUARTER"
    assert known["BTCUSDT_270326"]["contractType"] == "NEXT_QUARTER"
    assert known["BTCUSDT_261225"]["deliveryDate"] == milliseconds("2026-12-25") + 8 * 3_600_000
    assert known["BTCUSDT_261225"]["pair"] == "BTCUSDT"


def test_a_pending_contract_has_a_future_and_no_folder() -> None:
    archive = ScriptedArchive.recorded(3)
    entry = contracts(archive)[PENDING]
    assert entry["status"] == "PENDING_TRADING"
    assert entry["onboardDate"] > archive.seconds() * 1000
    assert PENDING not in archive.symbols()


def test_one_contract_has_no_type() -> None:
    assert recorded()[NAMELESS]["contractType"] == ""


def test_an_onboard_date_after_the_moment_is_not_told() -> None:
    # LITUSDT was listed again on 2025-12-23; before that the exchange gave the first listing.
    assert recorded("2024-01-01 12:00")["LITUSDT"]["onboardDate"] == milliseconds("2021-02-18")
    assert recorded()["LITUSDT"]["onboardDate"] == milliseconds("2025-12-23")


def test_it_speaks_of_the_day_after_the_last_published_one() -> None:
    archive = ScriptedArchive.recorded(["LUNAUSDT", "0GUSDT"])
    archive.set_last_published_day(dt.date(2022, 5, 12))
    assert contracts(archive).keys() == {"LUNAUSDT", PENDING, NAMELESS}


def test_a_scripted_status() -> None:
    archive = ScriptedArchive.empty()
    archive.add_symbol("NEWUSDC", dt.date(2024, 1, 1), status="SETTLING")
    entry = contracts(archive)["NEWUSDC"]
    assert (entry["status"], entry["quoteAsset"], entry["baseAsset"]) == ("SETTLING", "USDC", "NEW")


def test_an_empty_archive_has_no_contract() -> None:
    assert contracts(ScriptedArchive.empty()) == {}


def test_over_http(http: requests.Session) -> None:
    archive = ScriptedArchive.recorded(["币安人生USDT"], now=dt.datetime.fromisoformat("2026-10-05 12:00"))
    with serve(archive) as server:
        answer = http.get(f"{server.url}/fapi/v1/exchangeInfo")
        assert server.requests.count("EXCHANGE_INFO") == 1
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["serverTime"] == milliseconds("2026-10-05") + 12 * 3_600_000
    assert answer.json()["symbols"][0]["symbol"] == "币安人生USDT"

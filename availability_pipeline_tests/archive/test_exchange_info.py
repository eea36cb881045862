"""exchangeInfo: read strictly, because what it says is stored, and a wrong answer must look like no answer."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from availability_pipeline.archive.exchange_info import ListedContract, fetch_contracts
from availability_pipeline.errors import ArchiveRefused, UnexpectedAnswer
from availability_pipeline.simulator import SimulatedArchive, serve
from availability_pipeline_tests.archive.servers import canned
from availability_pipeline_tests.conftest import SettingsFactory

ENTRY = {"symbol": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", "onboardDate": 1569398400000}


def fetched(
    settings_for: SettingsFactory, *entries: object, body: bytes | None = None
) -> list[ListedContract]:
    """What is made of an answer with these entries."""
    answer = json.dumps({"symbols": entries}).encode() if body is None else body
    with canned(200, answer) as url:
        return fetch_contracts(settings_for(fapi_url=url))


def test_a_contract_has_type_status_and_listing_day(settings_for: SettingsFactory) -> None:
    expected = ListedContract("BTCUSDT", "PERPETUAL", "TRADING", dt.date(2019, 9, 25))
    assert fetched(settings_for, ENTRY) == [expected]


@pytest.mark.parametrize(
    "entry", [{**ENTRY, "onboardDate": 0}, {k: v for k, v in ENTRY.items() if k != "onboardDate"}]
)
def test_the_listing_day_may_be_unknown(settings_for: SettingsFactory, entry: dict[str, object]) -> None:
    assert fetched(settings_for, entry)[0].onboard_date is None


def test_the_type_may_be_empty(settings_for: SettingsFactory) -> None:
    assert fetched(settings_for, {**ENTRY, "contractType": ""})[0].contract_type == ""


def test_no_contract_is_an_answer(settings_for: SettingsFactory) -> None:
    assert fetched(settings_for) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b"[]", b"{}", b'{"symbols": null}', b'{"symbols": 5}', b'{"symbols": ["BTCUSDT"]}',
     b'{"symbols": [{"symbol": "BTCUSDT"}]}', b"\xff", b'{"symbols": [', b"null",
     json.dumps({"symbols": [{**ENTRY, "onboardDate": "soon"}]}).encode(),
     json.dumps({"symbols": [{**ENTRY, "onboardDate": 10**30}]}).encode(),
     json.dumps({"symbols": [{**ENTRY, "symbol": "\ud800USDT"}]}).encode(), b"[" * 200_000],
)  # fmt: skip
def test_what_is_no_exchange_info_is_refused(settings_for: SettingsFactory, body: bytes) -> None:
    with pytest.raises(
        UnexpectedAnswer,
        match=r"the answer is not an exchangeInfo; check AVAILABILITY_FAPI_URL \(http://.*/fapi/v1/exchangeInfo\)",
    ):
        fetched(settings_for, body=body)


@pytest.mark.parametrize("status", [204, 302, 403, 418, 429, 451, 500, 503])
def test_a_refusal_has_its_status(settings_for: SettingsFactory, status: int) -> None:
    with canned(status, b"") as url, pytest.raises(ArchiveRefused, match=f"HTTP {status}") as refusal:
        fetch_contracts(settings_for(fapi_url=url))
    assert refusal.value.status == status


def test_the_simulated_exchange_lists_what_trades(settings_for: SettingsFactory) -> None:
    now = dt.datetime.fromisoformat("2026-10-06 12:00")
    with serve(SimulatedArchive.recorded(["BTCUSDT", "TSLAUSDT", "LUNAUSDT"], now=now)) as server:
        listed = {contract.symbol: contract for contract in fetch_contracts(settings_for(server))}
        assert server.requests.counts()["EXCHANGE_INFO"] == 1
    assert (listed["BTCUSDT"].contract_type, listed["TSLAUSDT"].contract_type) == (
        "PERPETUAL",
        "TRADIFI_PERPETUAL",
    )
    assert "LUNAUSDT" not in listed


def test_a_redirect_that_leads_to_no_url_is_refused(settings_for: SettingsFactory) -> None:
    with (
        canned(302, b"", {"Location": "http://[bad/"}) as url,
        pytest.raises(ArchiveRefused, match="HTTP 302"),
    ):
        fetch_contracts(settings_for(fapi_url=url))

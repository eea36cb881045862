"""exchangeInfo: read entry by entry, because what it says is stored, and a wrong answer must look like no answer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest

from availability_pipeline.archive.exchange_info import ExchangeInfo, ListedContract, fetch_contracts
from availability_pipeline.errors import ArchiveRefused, UnexpectedAnswer
from availability_pipeline_tests.archive.servers import canned
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import ScriptedArchive, serve

ENTRY = {
    "symbol": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", "onboardDate": 1569398400000,
    "deliveryDate": 4133404800000, "underlyingType": "COIN",
}  # fmt: skip
BTC = ListedContract("BTCUSDT", "PERPETUAL", "TRADING", dt.date(2019, 9, 25), None, "COIN")
ETH = ListedContract("ETHUSDT", "PERPETUAL", "TRADING", dt.date(2019, 9, 25), None, "COIN")


def fetched(settings_for: SettingsFactory, *entries: object, body: bytes | None = None) -> ExchangeInfo:
    """What is made of an answer with these entries."""
    answer = json.dumps({"symbols": entries}).encode() if body is None else body
    with canned(200, answer) as url:
        return fetch_contracts(settings_for(fapi_url=url))


def test_a_contract_has_type_status_and_listing_day(settings_for: SettingsFactory) -> None:
    assert fetched(settings_for, ENTRY) == ExchangeInfo((BTC,), odd_entries=0)


def test_the_type_may_be_empty(settings_for: SettingsFactory) -> None:
    found = fetched(settings_for, {**ENTRY, "contractType": ""})
    assert (found.contracts[0].contract_type, found.odd_entries) == ("", 0)


def test_a_scheduled_end_is_a_moment(settings_for: SettingsFactory) -> None:
    found = fetched(settings_for, {**ENTRY, "deliveryDate": 1718096400000})
    assert found == ExchangeInfo(
        (dataclasses.replace(BTC, delivery_date=dt.datetime.fromisoformat("2024-06-11 09:00")),)
    )


REAL = [
    ("FTTUSDT", "PERPETUAL", "SETTLING", 1649919600000, 1668398400000, "COIN"),
    ("BTCUSDT_241227", "CURRENT_QUARTER", "TRADING", 1719561600000, 1735286400000, "COIN"),
    ("DEFIUSDT", "PERPETUAL", "TRADING", 1569398400000, 4133404800000, "INDEX"),
    ("FETUSDT", "PERPETUAL", "TRADING", 1673766000000, 4133408400000, "COIN"),
    ("BTCSTUSDT", "", "PENDING_TRADING", 1614754800000, 4133404800000, "COIN"),
]
"""Entries of the answer of 2024-10-02, in the order of ENTRY."""


def test_recorded_entries_are_read(settings_for: SettingsFactory) -> None:
    found = fetched(settings_for, *(dict(zip(ENTRY, entry, strict=True)) for entry in REAL))
    assert found.odd_entries == 0
    assert [(contract.status, contract.delivery_date) for contract in found.contracts] == [
        ("SETTLING", dt.datetime.fromisoformat("2022-11-14 04:00")),
        ("TRADING", dt.datetime.fromisoformat("2024-12-27 08:00")),
        ("TRADING", None),
        ("TRADING", None),
        ("PENDING_TRADING", None),
    ]
    assert [contract.underlying_type for contract in found.contracts] == [
        "COIN",
        "COIN",
        "INDEX",
        "COIN",
        "COIN",
    ]


def test_no_contract_is_an_answer(settings_for: SettingsFactory) -> None:
    assert fetched(settings_for) == ExchangeInfo()


TEXTS = [None, 5, True, 1.5, [], {}, "\ud800", "a\nb", "\x1b[31m", "\0"]
DAYS = [
    None, "soon", "1569398400000", True, False, [], {}, 0, -1, -1569398400000, 1569398400, 1569398400000000,
    1569398400000000000, 10**30, -(10**400), 1569398400000.5, 1e300, float("nan"), float("inf"), float("-inf"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("contractType", value) for value in TEXTS), *(("status", value) for value in [*TEXTS, ""]),
     *((name, value) for name in ("onboardDate", "deliveryDate") for value in DAYS),
     *(("underlyingType", value) for value in [*TEXTS, ""])],
)  # fmt: skip
def test_what_an_entry_does_not_say_in_a_usable_form_is_none(
    settings_for: SettingsFactory, name: str, value: object
) -> None:
    found = fetched(settings_for, {**ENTRY, "symbol": "ETHUSDT"}, {**ENTRY, name: value})
    assert found.odd_entries == 1
    assert found.contracts == (
        ETH,
        ListedContract(
            "BTCUSDT",
            None if name == "contractType" else "PERPETUAL",
            None if name == "status" else "TRADING",
            None if name == "onboardDate" else dt.date(2019, 9, 25),
            None,
            None if name == "underlyingType" else "COIN",
        ),
    )


@pytest.mark.parametrize("name", sorted(set(ENTRY) - {"symbol"}))
def test_an_entry_may_lack_something(settings_for: SettingsFactory, name: str) -> None:
    found = fetched(settings_for, {key: value for key, value in ENTRY.items() if key != name})
    assert (found.odd_entries, found.contracts[0].symbol) == (1, "BTCUSDT")


@pytest.mark.parametrize(
    "entry",
    [None, 5, "BTCUSDT", [], {}, *({**ENTRY, "symbol": value} for value in [*TEXTS, ""])],
)  # fmt: skip
def test_an_entry_without_a_symbol_is_left_out_and_counted(
    settings_for: SettingsFactory, entry: object
) -> None:
    assert fetched(settings_for, entry, ENTRY) == ExchangeInfo((BTC,), odd_entries=1)


def test_of_a_symbol_that_is_there_twice_the_first_entry_counts(settings_for: SettingsFactory) -> None:
    found = fetched(settings_for, ENTRY, {**ENTRY, "status": "SETTLING"}, {**ENTRY, "symbol": "ETHUSDT"})
    assert found == ExchangeInfo((BTC, ETH), odd_entries=1)


def test_a_whole_number_may_be_written_with_a_point(settings_for: SettingsFactory) -> None:
    assert fetched(settings_for, {**ENTRY, "onboardDate": 1569398400000.0}) == ExchangeInfo((BTC,))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b"[]", b"{}", b'{"symbols": null}', b'{"symbols": 5}', b'{"symbols": "BTCUSDT"}',
     b'{"symbols": {"BTCUSDT": {}}}', b"\xff", b'{"symbols": [', b"null", b"[" * 200_000,
     b'{"symbols": [' + b"9" * 5000 + b"]}"],
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
    with serve(ScriptedArchive.recorded(["BTCUSDT", "TSLAUSDT", "LUNAUSDT"], now=now)) as server:
        found = fetch_contracts(settings_for(server))
        assert server.requests.counts()["EXCHANGE_INFO"] == 1
    listed = {contract.symbol: contract for contract in found.contracts}
    assert (listed["BTCUSDT"].contract_type, listed["TSLAUSDT"].contract_type) == (
        "PERPETUAL",
        "TRADIFI_PERPETUAL",
    )
    assert "LUNAUSDT" not in listed
    assert found.odd_entries == 0


@pytest.mark.parametrize("location", ["http://[bad/", "/fapi/v1/exchangeInfo", "http://127.0.0.1:1/"])
def test_a_redirect_is_not_followed(settings_for: SettingsFactory, location: str) -> None:
    with canned(302, b"", {"Location": location}) as url, pytest.raises(ArchiveRefused, match="HTTP 302"):
        fetch_contracts(settings_for(fapi_url=url))

"""The grammar of names: every kind that the archive has is read, everything else is refused.

A name read wrongly is a contract that is tracked wrongly or not at all, and nothing later would notice. The names are
those of the real archive, and its 1,057 recorded folders as a whole.
"""

from __future__ import annotations

import datetime as dt
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from availability_pipeline.archive.names import (
    FileKey,
    Symbol,
    UnknownName,
    parse_folder,
    parse_key,
    parse_symbol,
)
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.simulator.facts import recorded_facts

DATASET = DEFAULT_DATASET
ROOT = DATASET.root
DAY = dt.date(2024, 1, 15)
KEY = f"{ROOT}BTCUSDT/1m/BTCUSDT-1m-2024-01-15.zip"

symbols = st.builds(
    lambda base, quote, ending: base + quote + ending,
    st.text("ABCXYZ0123456789币安人生龙虾", min_size=1, max_size=10),
    st.sampled_from(DATASET.market.quotes),
    st.sampled_from(["", "_SETTLED", "SETTLED", "SETTLEDSETTLED", "_210326"]),
)
days = st.dates(dt.date(2019, 1, 1), dt.date(2100, 1, 1))


@pytest.mark.parametrize(
    ("name", "contract", "quote"),
    [
        ("BTCUSDT", "perpetual", "USDT"),
        ("1000000MOGUSDT", "perpetual", "USDT"),
        ("币安人生USDT", "perpetual", "USDT"),
        ("我踏马来了USDT", "perpetual", "USDT"),
        ("BTCBUSD", "perpetual", "BUSD"),
        ("BTCUSDC", "perpetual", "USDC"),
        ("BTCUSD1", "perpetual", "USD1"),
        ("BTCU", "perpetual", "U"),
        ("ETHBTC", "perpetual", "BTC"),
        ("BTCUSDT_210326", "delivery", "USDT"),
        ("ICPUSDT_SETTLED", "settled", "USDT"),
        ("CVXUSDTSETTLED", "settled", "USDT"),
        ("AERGOUSDTSETTLEDSETTLED", "settled", "USDT"),
        ("ALLEUR", "perpetual", None),
        ("USDT", "perpetual", None),
    ],
)
def test_every_kind_of_folder_is_read(name: str, contract: str, quote: str | None) -> None:
    assert parse_symbol(DATASET, name) == Symbol(name, contract, quote)
    assert parse_folder(DATASET, f"{ROOT}{name}/") == Symbol(name, contract, quote)


@pytest.mark.parametrize(
    "name",
    ["", " ", "btcusdt", "BTCusdt", "BTC-USDT", "BTCUSDT_PERP", "BTCUSDT_", "_SETTLED", "BTCUSDT_21032",
     "BTCUSDT_2103261",
     "BTCUSDT_210332", "BTCUSDT_211326", "BTCUSDT_２１０３２６", "BTCUSDT_210326_SETTLED", "BTC/USDT", "BTCUSDT\n",
     "BTC USDT", "BTC%20USDT", "BTCUSDT_SETTLED_SETTLED", "../BTCUSDT", "ßUSDT"],
)  # fmt: skip
def test_other_names_are_no_contract(name: str) -> None:
    with pytest.raises(UnknownName):
        parse_symbol(DATASET, name)


def test_all_recorded_folders_are_read_as_what_they_are() -> None:
    kinds = {"tradifi_perpetual": "perpetual"}
    for facts in recorded_facts().folders:
        expected = Symbol(facts.symbol, kinds.get(facts.kind, facts.kind), facts.quote)
        assert parse_symbol(DATASET, facts.symbol) == expected


@pytest.mark.parametrize(
    "prefix",
    [
        ROOT,
        f"{ROOT}/",
        f"{ROOT}BTCUSDT",
        "BTCUSDT/",
        f"{ROOT}BTCUSDT/1m/",
        f"x{ROOT}BTCUSDT/",
        f"{ROOT}BTCUSDT//",
        "",
    ],
)
def test_other_prefixes_are_no_folder(prefix: str) -> None:
    with pytest.raises(UnknownName):
        parse_folder(DATASET, prefix)


def test_a_zip_and_its_checksum_are_read() -> None:
    assert parse_key(DATASET, KEY) == FileKey("BTCUSDT", DAY)
    assert parse_key(DATASET, f"{KEY}.CHECKSUM") == FileKey("BTCUSDT", DAY, checksum=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2024-01-15", "2024-02-30"),
        ("2024-01-15", "2024-13-01"),
        ("2024-01-15", "0000-01-01"),
        ("2024-01-15", "2024-01"),
        ("2024-01-15", "２０２４-01-15"),
        ("2024-01-15", "20240115"),
        ("1m", "1h"),
        ("/1m/", "/5m/"),
        ("-1m-", "-5m-"),
        ("/1m/", "//"),
        ("BTCUSDT-", "ETHUSDT-"),
        ("BTCUSDT", "btcusdt"),
        ("BTCUSDT", "BTCUSDT_PERP"),
        ("BTCUSDT", ""),
        ("BTCUSDT", "A/B"),
        (".zip", ".ZIP"),
        (".zip", ".zip.CHECKSUM.CHECKSUM"),
        (".zip", ".zip.checksum"),
        (".zip", ".zip\n"),
        (".zip", "xzip"),
        (".zip", ""),
        ("daily", "monthly"),
        ("data/", "/data/"),
    ],
)
def test_other_keys_are_no_file(old: str, new: str) -> None:
    assert old in KEY
    with pytest.raises(UnknownName):
        parse_key(DATASET, KEY.replace(old, new))


def test_the_stray_object_of_the_archive_is_no_file() -> None:
    with pytest.raises(UnknownName):
        parse_key(DATASET, f"{ROOT}BTCUSDT//BTCUSDT--2021-03-01.zip")


@given(symbols, days, st.booleans())
def test_a_key_reads_back_as_it_was_built(symbol: str, day: dt.date, checksum: bool) -> None:
    key = DATASET.key(symbol, day, checksum=checksum)
    assert parse_key(DATASET, key) == FileKey(symbol, day, checksum=checksum)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse_symbol, parse_key, parse_folder):
        try:
            read(DATASET, text)
        except UnknownName as refusal:
            assert repr(text) in str(refusal)  # noqa: PT017 - most texts are refused, some are not


@given(symbols, days)
def test_the_mark_of_a_day_sorts_right_before_its_keys(symbol: str, day: dt.date) -> None:
    mark = DATASET.day_mark(symbol, day).encode()
    before = DATASET.key(symbol, day - dt.timedelta(days=1), checksum=True).encode()
    own = [DATASET.key(symbol, day, checksum=checksum).encode() for checksum in (False, True)]
    assert [before, mark, *own] == sorted([*own, mark, before])


@given(symbols, days)
def test_a_url_is_ascii_and_leads_to_the_key(symbol: str, day: dt.date) -> None:
    url = DATASET.file_url("https://host", symbol, day)
    assert url.isascii()
    assert unquote(url) == f"https://host/{DATASET.key(symbol, day)}"


def test_a_url_is_percent_encoded_as_utf_8() -> None:
    assert DATASET.file_url("https://data.binance.vision", "龙虾USDT", DAY) == (
        f"https://data.binance.vision/{ROOT}%E9%BE%99%E8%99%BEUSDT/1m/%E9%BE%99%E8%99%BEUSDT-1m-2024-01-15.zip"
    )

"""Names as people type them lead to the contract that is meant, and wrong ones to the nearest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from availability_pipeline.simulator.facts import recorded_facts
from availability_pipeline.symbols import folded, known, suggestion

SYMBOLS = [facts.symbol for facts in recorded_facts().folders]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("btcusdt", "BTCUSDT"),
        (" BtcUsdt\n", "BTCUSDT"),
        ("BTC-USDT", "BTCUSDT"),
        ("btc/usdt", "BTCUSDT"),
        ("ＢＴＣＵＳＤＴ", "BTCUSDT"),
        ("币安人生usdt", "币安人生USDT"),
        ("icpusdt_settled", "ICPUSDT_SETTLED"),
        ("btcusdt_210326", "BTCUSDT_210326"),
        ("BTC", None),
        ("", None),
        ("-", None),
        ("' OR 1=1", None),
    ],
)
def test_what_is_meant(typed: str, meant: str | None) -> None:
    assert known(typed, SYMBOLS) == meant


@given(
    symbol=st.sampled_from(SYMBOLS), as_typed=st.sampled_from([str.lower, str.upper, str.title, str.strip])
)
def test_every_contract_is_found_in_any_case_and_by_nobody_elses_name(symbol: str, as_typed: object) -> None:
    assert callable(as_typed)
    assert known(as_typed(symbol), SYMBOLS) == symbol
    assert folded(symbol) == symbol


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("BTCUST", "; similar names: BTCUSDT"),
        ("pepe", "; similar names: 1000PEPEUSD"),
        ("币安人", "; similar names: 币安人生USDT"),
        ("?", ""),
        ("", ""),
    ],
)
def test_the_nearest_names_are_suggested(typed: str, nearest: str) -> None:
    assert suggestion(typed, SYMBOLS).startswith(nearest)
    assert bool(suggestion(typed, SYMBOLS)) == bool(nearest)

"""exchangeInfo: the contracts that the exchange knows at a moment, as JSON.

Belongs here: which folders are contracts then, and what the exchange says of them. Does not belong here: files
(`content.py`) and HTTP (`server.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.facts import FolderFacts
from availability_pipeline.simulator.shape import SECONDS_PER_DAY, day_number, day_of

STATUS_RECORDED_ON = dt.date(2026, 8, 6)
"""From when on the recorded status holds where the files do not tell it."""

NO_DELIVERY_MS = 4_133_404_800_000
"""The delivery date of a contract that has none, 2100-12-25 in milliseconds."""

PENDING_BASE = "SIMPENDING"
"""The base asset of a contract that will be listed, and has no folder yet."""

NAMELESS_BASE = "SIMNOTYPE"
"""That of another one, whose type is not settled either: the empty string."""

_TYPES = {"perpetual": "PERPETUAL", "tradifi_perpetual": "TRADIFI_PERPETUAL", "settled": "PERPETUAL"}
_PENDING_DAYS = 5


def exchange_info(archive: SimulatedArchive, *beside: SimulatedArchive) -> dict[str, Any]:
    """What exchangeInfo of a market answers at an archive's moment.

    Args:
        archive: An archive of the market.
        beside: Others, which may have other contracts.
    """
    market, today = archive.dataset.market, archive.exchange_day()
    recorded = {
        folder.facts.symbol: folder.facts
        for each in reversed((archive, *beside))
        for folder in each.folders()
    }
    symbols = (
        _pairs(recorded.values(), today) if market.name == "spot" else _contracts(recorded.values(), today)
    )
    if recorded and market.name != "spot":
        symbols += _without_folders(
            archive.dataset, max(today, day_of(int(archive.seconds()) // SECONDS_PER_DAY))
        )
    for each in symbols:
        each[market.exchange_status] = each.pop("status")
    return {
        "timezone": "UTC",
        "serverTime": int(archive.seconds() * 1000),
        **(_ONLY_UM if market.name == "um" else {}),
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
        ],
        "exchangeFilters": [],
        "symbols": symbols,
    }


_ONLY_UM = {
    "futuresType": "U_MARGINED",
    "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
}


def _contracts(recorded: Iterable[FolderFacts], today: dt.date) -> list[dict[str, Any]]:
    known = [facts for facts in recorded if _exists(facts, today)]
    return [_contract(facts, known, today) for facts in known]


def _pairs(recorded: Iterable[FolderFacts], today: dt.date) -> list[dict[str, Any]]:
    """Pairs of the spot market, which are there after their end as well; of an unknown quote none is."""
    return [
        {
            "symbol": facts.symbol,
            "status": "TRADING" if _exists(facts, today) else "BREAK",
            "baseAsset": facts.symbol.removesuffix(facts.quote),
            "baseAssetPrecision": 8,
            "quoteAsset": facts.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "MARKET"],
            "icebergAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [],
            "permissions": [],
        }
        for facts in recorded
        if facts.quote and facts.first_day <= today
    ]


def _exists(facts: FolderFacts, today: dt.date) -> bool:
    return (
        facts.kind not in ("settled", "index")
        and facts.first_day <= today
        and (facts.last_day is None or today <= facts.last_day)
    )


def _status(facts: FolderFacts, today: dt.date) -> str:
    if facts.flat_on(today):
        return "SETTLING"
    if facts.status == "SETTLING" and not facts.flat and today >= STATUS_RECORDED_ON:
        return "SETTLING"
    return "TRADING" if facts.status in ("", "SETTLING") else facts.status


def _contract(facts: FolderFacts, known: list[FolderFacts], today: dt.date) -> dict[str, Any]:
    status = _status(facts, today)
    onboard = facts.onboard_day
    listed = onboard if onboard is not None and onboard <= today else facts.first_day
    delivery = NO_DELIVERY_MS
    if facts.kind == "delivery" and facts.last_day is not None:
        delivery = _milliseconds(facts.last_day) + 8 * 3_600_000
    elif status == "SETTLING" and facts.flat:
        delivery = _milliseconds(facts.flat[-1].start)
    kind = _quarter(facts, known) if facts.kind == "delivery" else _TYPES[facts.kind]
    return _entry(facts.symbol, facts.quote, kind, status, _milliseconds(listed), delivery)


def _quarter(facts: FolderFacts, known: list[FolderFacts]) -> str:
    """The nearest delivery contract of a pair is the current quarter's, those after it the next one's."""
    pair = facts.symbol.partition("_")[0] + "_"
    nearest = min(
        other.symbol for other in known if other.kind == "delivery" and other.symbol.startswith(pair)
    )
    return "CURRENT_QUARTER" if facts.symbol == nearest else "NEXT_QUARTER"


def _without_folders(dataset: Dataset, today: dt.date) -> list[dict[str, Any]]:
    quote = dataset.market.tracked_quotes[0]
    ending = quote + dataset.market.perpetual_ending
    coming = _milliseconds(today + dt.timedelta(days=_PENDING_DAYS))
    return [
        _entry(PENDING_BASE + ending, quote, "PERPETUAL", "PENDING_TRADING", coming, NO_DELIVERY_MS),
        _entry(NAMELESS_BASE + ending, quote, "", "PENDING_TRADING", coming, NO_DELIVERY_MS),
    ]


def _entry(
    symbol: str, quote: str, kind: str, status: str, onboard_ms: int, delivery_ms: int
) -> dict[str, Any]:
    pair = symbol.partition("_")[0]
    base = pair.removesuffix(quote)
    return {
        "symbol": symbol,
        "pair": pair,
        "contractType": kind,
        "deliveryDate": delivery_ms,
        "onboardDate": onboard_ms,
        "status": status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": base if quote == "USD" else quote,
        "pricePrecision": 4,
        "quantityPrecision": 0,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "EQUITY" if kind == "TRADIFI_PERPETUAL" else "COIN",
        "underlyingSubType": [],
        "filters": [],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK"],
    }


def _milliseconds(day: dt.date) -> int:
    return day_number(day) * SECONDS_PER_DAY * 1000

"""What the exchange says of its contracts now: exchangeInfo.

It refuses many clouds and countries (HTTP 451), so nothing may depend on its answer; callers decide what a
failure means to them. An answer is read entry by entry: what one of them does not say is no reason to leave out others.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from availability_pipeline.archive.http import FAILURES, Session, problem
from availability_pipeline.catalogue.datasets import Market
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.settings import Settings

_EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC).timestamp() * 1000
_LATEST = dt.datetime(2100, 1, 1, tzinfo=dt.UTC).timestamp() * 1000

# The deliveryDate of contracts without a scheduled end is 2100-12-25, not always at the same hour.
_AFTER_ENDLESS = dt.datetime(2101, 1, 1, tzinfo=dt.UTC).timestamp() * 1000


@dataclass(frozen=True)
class ListedContract:
    """One contract as the exchange describes it; None is what it does not say in a usable form."""

    symbol: str
    contract_type: str | None
    """PERPETUAL, TRADIFI_PERPETUAL, CURRENT_QUARTER, NEXT_QUARTER, or empty."""
    status: str | None
    """TRADING, SETTLING or PENDING_TRADING."""
    onboard_date: dt.date | None
    """The UTC day of its listing; it changes between answers, so do not rely on it alone."""
    delivery_date: dt.datetime | None = None
    """The scheduled end, naive UTC; of a settled contract the settlement. None without one."""
    underlying_type: str | None = None
    """COIN, INDEX, EQUITY, …"""
    quote: str | None = None
    """The quote asset."""


@dataclass(frozen=True)
class ExchangeInfo:
    """What of an answer can be used."""

    contracts: tuple[ListedContract, ...] = ()
    """One for each symbol; of entries with the same symbol the first."""
    odd_entries: int = 0
    """How many entries lack something, have it in no usable form, or are of a symbol that was there before."""


def fetch_contracts(settings: Settings) -> ExchangeInfo:
    """All contracts that the exchange lists now; none where exchangeInfo does not speak of the dataset.

    Raises:
        ArchiveError: No usable answer came.
        UsageError: The configuration of the network cannot be used.
    """
    market = settings.dataset.market
    if market.exchange_url is None:
        return ExchangeInfo()
    url = settings.fapi_url + market.exchange_info_path
    with Session(anonymous=True) as session:
        try:
            answer = session.get(url, timeout=settings.timeout_seconds)
        except FAILURES as error:
            raise ArchiveUnreachable(problem(error, settings.timeout_seconds), url=url) from error
    if answer.status_code != 200:
        why = f"exchangeInfo answered HTTP {answer.status_code}"
        raise ArchiveRefused(why, url=url, status=answer.status_code)
    try:
        entries = answer.json()["symbols"]
        if not isinstance(entries, list):
            raise TypeError("symbols is no list")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        why = "the answer is not an exchangeInfo; check AVAILABILITY_FAPI_URL"
        raise UnexpectedAnswer(why, url=url, status=200) from error
    return _read(entries, market)


def _read(entries: list[Any], market: Market) -> ExchangeInfo:
    contracts: dict[str, ListedContract] = {}
    odd = 0
    for entry in entries:
        contract = _contract(entry if isinstance(entry, dict) else {}, market.exchange_status)
        odd += (
            not contract.symbol or contract.symbol in contracts or _lacks_something(contract, entry, market)
        )
        if contract.symbol:
            contracts.setdefault(contract.symbol, contract)
    return ExchangeInfo(tuple(contracts.values()), odd)


def _contract(entry: dict[str, Any], status: str) -> ListedContract:
    """What of an entry can be used; without a symbol, nothing."""
    return ListedContract(
        _text(entry.get("symbol")) or "",
        _text(entry.get("contractType")),
        _text(entry.get(status)) or None,
        _day(entry.get("onboardDate")),
        _moment(entry.get("deliveryDate")),
        _text(entry.get("underlyingType")) or None,
        _text(entry.get("quoteAsset")) or None,
    )


def _lacks_something(contract: ListedContract, entry: dict[str, Any], market: Market) -> bool:
    if not market.has_contract_terms:
        return contract.status is None
    said = (contract.contract_type, contract.status, contract.onboard_date, contract.underlying_type)
    return None in said or (contract.delivery_date is None and not _is_endless(entry.get("deliveryDate")))


def _is_endless(milliseconds: object) -> bool:
    return isinstance(milliseconds, int | float) and _LATEST <= milliseconds < _AFTER_ENDLESS


def _text(value: object) -> str | None:
    """A text of one line that can be stored, which half a character, as JSON allows it, cannot."""
    return value if isinstance(value, str) and value.isprintable() else None


def _day(milliseconds: object) -> dt.date | None:
    """The UTC day of a moment in milliseconds, or None."""
    moment = _moment(milliseconds)
    return None if moment is None else moment.date()


def _moment(milliseconds: object) -> dt.datetime | None:
    """A moment in milliseconds, naive in UTC; None for other units as well, which are in other centuries."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    if not _EARLIEST <= milliseconds < _LATEST or milliseconds != int(milliseconds):
        return None
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).replace(tzinfo=None)

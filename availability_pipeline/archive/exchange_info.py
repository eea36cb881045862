"""What the exchange says of its contracts now: exchangeInfo.

It refuses many clouds and countries (HTTP 451), so nothing may depend on its answer; callers decide what a
failure means to them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.network.failures import FAILURES, problem
from availability_pipeline.network.session import Session
from availability_pipeline.settings import Settings

PATH = "/fapi/v1/exchangeInfo"


@dataclass(frozen=True)
class ListedContract:
    """One contract as the exchange describes it."""

    symbol: str
    contract_type: str
    """PERPETUAL, TRADIFI_PERPETUAL, CURRENT_QUARTER, NEXT_QUARTER, or empty."""
    status: str
    """TRADING, SETTLING or PENDING_TRADING."""
    onboard_date: dt.date | None
    """The UTC day of its listing; it changes between answers, so do not rely on it alone."""


def fetch_contracts(settings: Settings) -> list[ListedContract]:
    """All contracts that the exchange lists now.

    Raises:
        ArchiveError: No usable answer came.
        UsageError: The configuration of the network cannot be used.
    """
    url = settings.fapi_url + PATH
    with Session(anonymous=True) as session:
        try:
            answer = session.get(url, timeout=settings.timeout_seconds)
        except FAILURES as error:
            raise ArchiveUnreachable(problem(error, settings.timeout_seconds), url=url) from error
    if answer.status_code != 200:
        why = f"exchangeInfo answered HTTP {answer.status_code}"
        raise ArchiveRefused(why, url=url, status=answer.status_code)
    try:
        return [_contract(entry) for entry in answer.json()["symbols"]]
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        OSError,
        RecursionError,
    ) as error:
        why = "the answer is not an exchangeInfo; check AVAILABILITY_FAPI_URL"
        raise UnexpectedAnswer(why, url=url, status=200) from error


def _contract(entry: dict[str, Any]) -> ListedContract:
    milliseconds = entry.get("onboardDate")
    onboard = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).date() if milliseconds else None
    return ListedContract(
        _text(entry["symbol"]), _text(entry["contractType"]), _text(entry["status"]), onboard
    )


def _text(value: object) -> str:
    """A text that can be stored; JSON allows half a character, which raises UnicodeEncodeError here."""
    return str(value).encode().decode()

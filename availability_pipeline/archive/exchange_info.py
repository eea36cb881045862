"""What the exchange says of its contracts now: exchangeInfo.

It refuses many clouds and countries (HTTP 451), so nothing may depend on its answer; callers decide what a
failure means to them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import requests

from availability_pipeline.archive.probing import open_session
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
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
    """
    url = settings.fapi_url + PATH
    with open_session(settings.fapi_url, 1) as session:
        try:
            answer = session.get(url, timeout=settings.timeout_seconds)
        except requests.Timeout as error:
            raise ArchiveUnreachable(f"no answer within {settings.timeout_seconds} s", url=url) from error
        except requests.RequestException as error:
            problem = "the connection failed; check the host's name and the network"
            raise ArchiveUnreachable(problem, url=url) from error
        except ValueError as error:  # it led to something that is no URL
            problem = "the answer redirects to what is no URL; check AVAILABILITY_FAPI_URL"
            raise UnexpectedAnswer(problem, url=url) from error
    if answer.status_code != 200:
        problem = f"exchangeInfo answered HTTP {answer.status_code}"
        raise ArchiveRefused(problem, url=url, status=answer.status_code)
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
        problem = "the answer is not an exchangeInfo; check AVAILABILITY_FAPI_URL"
        raise UnexpectedAnswer(problem, url=url, status=200) from error


def _contract(entry: dict[str, Any]) -> ListedContract:
    milliseconds = entry.get("onboardDate")
    onboard = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).date() if milliseconds else None
    return ListedContract(
        _text(entry["symbol"]), _text(entry["contractType"]), _text(entry["status"]), onboard
    )


def _text(value: object) -> str:
    """A text that can be stored; JSON allows half a character, which raises UnicodeEncodeError here."""
    return str(value).encode().decode()

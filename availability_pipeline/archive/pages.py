"""One page of a listing that can be believed.

A page is taken at its word only if it is consistent: its keys in order and after what it was asked to follow, under
the prefix, as many as it announces, and saying whether more follows. Anything else raises. Which pages are asked for
is `listing`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import lt
from typing import Any
from urllib.parse import unquote_plus

from availability_pipeline.archive import keys
from availability_pipeline.archive.client import Bucket
from availability_pipeline.archive.clock import check_clock
from availability_pipeline.archive.page_parser import Entries
from availability_pipeline.days import utc_now
from availability_pipeline.errors import UnexpectedAnswer


@dataclass
class Page:
    """One page that has passed all checks."""

    names: list[str]
    prefixes: list[str]
    entries: Entries
    token: str | None
    """Where the next page begins, or None on the last one."""
    clock_confirmed: bool
    """Whether the answer named a moment, which is then that of the machine's clock."""


def checked_page(bucket: Bucket, symbol: str | None, *, after: str, **parameters: str | int) -> Page:
    """Ask for a page and make sure that it can be believed.

    Args:
        bucket: Where to ask.
        symbol: The contract that it is about, if it is about one.
        after: What every key and prefix of the page must come after.
        parameters: The request.

    Raises:
        ArchiveError: It could not be had, or contradicts itself.
        ClockError: The machine's clock is not the archive's.
    """
    asked = utc_now()
    answer = bucket.list_page(symbol, **parameters)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    clock_confirmed = check_clock(headers, asked, utc_now())
    url_encoded = answer.get("EncodingType") == "url"
    entries: Entries = answer.get("Contents") or Entries([], [], [])
    names = _decoded((key.decode() for key in entries.keys), url_encoded)
    prefixes = _decoded((entry.get("Prefix", "") for entry in answer.get("CommonPrefixes", ())), url_encoded)
    problem = _contradiction(answer, names, prefixes, after, str(parameters["Prefix"]))
    if problem:
        raise unexpected(bucket, symbol, problem)
    token = answer["NextContinuationToken"] if answer["IsTruncated"] else None
    return Page(names, prefixes, entries, token, clock_confirmed)


def _decoded(names: Iterable[str], url_encoded: bool) -> list[str]:
    if not url_encoded:
        return list(names)
    return [unquote_plus(name) if "%" in name or "+" in name else name for name in names]


def _contradiction(
    answer: dict[str, Any], names: list[str], prefixes: list[str], after: str, prefix: str
) -> str | None:
    """Why a page cannot be believed, or None."""
    if "IsTruncated" not in answer:
        return "the listing does not say whether it is complete"
    if answer["IsTruncated"] and not answer.get("NextContinuationToken"):
        return "the listing is cut off without saying where it goes on"
    if answer["IsTruncated"] and not names and not prefixes:
        return "the listing is cut off before its first key"
    if answer.get("KeyCount", len(names) + len(prefixes)) != len(names) + len(prefixes):
        return f"the listing announces {answer['KeyCount']} keys and has {len(names) + len(prefixes)}"
    for column in (names, prefixes):
        if not all(map(lt, column, column[1:])) or (column and column[0] <= after):
            return "the listing has keys twice or out of order"
        if column and not (column[0].startswith(prefix) and column[-1].startswith(prefix)):
            return f"the listing has keys outside {prefix}"
    return None


def unexpected(bucket: Bucket, symbol: str | None, problem: str) -> UnexpectedAnswer:
    """The error for a listing that cannot be believed, of a contract's folder or of all folders."""
    prefix = keys.folder(symbol) if symbol else keys.ROOT
    return UnexpectedAnswer(problem, url=f"{bucket.url}?prefix={prefix}", symbol=symbol)

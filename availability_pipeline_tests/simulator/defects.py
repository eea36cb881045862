"""How the XML of a listing is spoiled while it stays well-formed.

One function for each defect, from right XML to wrong XML. An answer that is no listing, such as an error, comes back
as it was.
"""

from __future__ import annotations

import re

from starlette.requests import Request

from availability_pipeline.simulator.s3 import token_of

_ENTRY = re.compile(rb"<Contents>.*?</Contents>|<CommonPrefixes>.*?</CommonPrefixes>", re.DOTALL)
_TOKEN = re.compile(rb"<NextContinuationToken>[^<]*</NextContinuationToken>")
_NEXT_TOKEN = re.compile(rb"<NextContinuationToken>([^<]*)<")
_TRUNCATED = re.compile(rb"<IsTruncated>\w+</IsTruncated>")
_KEY_COUNT = re.compile(rb"<KeyCount>\d+</KeyCount>")
_BEHIND_ALL = "\U0010ffff"
"""Sorts behind every key of a prefix."""


def truncated_without_token(xml: bytes) -> bytes:
    """Say that more follows and not where."""
    return _TOKEN.sub(b"", _truncated(xml))


def repeated_token(request: Request, xml: bytes) -> bytes:
    """Say that more follows where this page began; the first page tells the truth or leads behind its end."""
    found = _NEXT_TOKEN.search(xml)
    token = request.query_params.get("continuation-token") or (found[1].decode() if found else "")
    token = token or token_of(request.query_params.get("prefix", "") + _BEHIND_ALL)
    element = f"<NextContinuationToken>{token}</NextContinuationToken><KeyCount>".encode()
    return truncated_without_token(xml).replace(b"<KeyCount>", element, 1)


def reversed_entries(xml: bytes) -> bytes:
    """Turn the order of the entries around."""
    return _with_entries(xml, _ENTRY.findall(xml)[::-1])


def doubled_entries(xml: bytes) -> bytes:
    """Give every entry twice, and count them so."""
    entries = _ENTRY.findall(xml)
    return _with_key_count(
        _with_entries(xml, [entry for entry in entries for _ in range(2)]), 2 * len(entries)
    )


def without_is_truncated(xml: bytes) -> bytes:
    """Leave out whether more follows."""
    return _TRUNCATED.sub(b"", xml)


def empty(xml: bytes) -> bytes:
    """Leave out all entries, as for a bucket with nothing in it."""
    xml = _TRUNCATED.sub(b"<IsTruncated>false</IsTruncated>", _TOKEN.sub(b"", xml))
    return _with_key_count(_with_entries(xml, []), 0)


def half_missing(xml: bytes) -> bytes:
    """Leave out every second entry and nothing else."""
    return _with_entries(xml, _ENTRY.findall(xml)[::2])


def _truncated(xml: bytes) -> bytes:
    return _TRUNCATED.sub(b"<IsTruncated>true</IsTruncated>", xml)


def _with_entries(xml: bytes, entries: list[bytes]) -> bytes:
    end = b"</ListBucketResult>"
    return _ENTRY.sub(b"", xml).replace(end, b"".join(entries) + end)


def _with_key_count(xml: bytes, count: int) -> bytes:
    return _KEY_COUNT.sub(f"<KeyCount>{count}</KeyCount>".encode(), xml)

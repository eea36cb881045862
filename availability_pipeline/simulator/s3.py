"""The bucket side: a ListObjectsV2 request, and its answer as XML.

Belongs here: parameters, tokens, errors and the XML of a listing, as Amazon S3 writes them. Does not belong here:
which keys a page has (`listing.py`), and HTTP (`server.py`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from availability_pipeline.simulator.content import checksum_moment
from availability_pipeline.simulator.listing import (
    STRAY_MODIFIED,
    STRAY_SIZE,
    KeySpace,
    Run,
    StrayKeys,
    stray_etag,
)
from availability_pipeline.simulator.shape import (
    CLOCK_TEXTS,
    DAY_TEXTS,
    ETAG_BYTES,
    SECONDS_PER_DAY,
    listing_time,
)

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
MOST_KEYS = 1_000
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_TOKEN_SALT = b"simulated listing "


class S3Error(Exception):
    """An answer of S3 that is an error.

    Args:
        status: The HTTP status.
        code: The code that S3 gives it, such as `NoSuchBucket`.
        message: Its sentence.
        details: Further elements of the XML.
    """

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        elements = {
            "Code": code,
            "Message": message,
            **details,
            "RequestId": "SIMULATED0000001",
            "HostId": "simulator",
        }
        safe = {name: escape(value) for name, value in elements.items()}
        self.body = f"{DECLARATION}<Error>{_elements(safe)}</Error>".encode()


def _limit(text: str) -> int:
    try:
        limit = int(text or MOST_KEYS)
    except ValueError:
        limit = -1
    if not 0 <= limit < 2**31:
        raise _invalid("max-keys", text, "Argument maxKeys must be an integer between 0 and 2147483647")
    return min(limit, MOST_KEYS)


def _invalid(name: str, value: str, message: str) -> S3Error:
    return S3Error(400, "InvalidArgument", message, ArgumentName=name, ArgumentValue=value)


def encoded(name: str) -> str:
    """A name as `encoding-type=url` writes it."""
    return quote_plus(name, safe="/*").replace("~", "%7E")


def token_of(name: str) -> str:
    """The continuation token that goes on after an entry."""
    text = name.encode()
    return base64.b64encode(hashlib.sha256(_TOKEN_SALT + text).digest()[:6] + text).decode()


def _name_of(token: str) -> str:
    try:
        raw = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    name = raw[6:].decode("utf-8", "replace")
    if not raw or token_of(name) != token:
        raise _invalid("continuation-token", token, "The continuation token provided is incorrect")
    return name


def list_objects(keys: KeySpace, bucket: str, query: Mapping[str, str]) -> bytes:
    """The answer to a ListObjectsV2 request as XML.

    Args:
        keys: All keys.
        bucket: The bucket's name.
        query: The parameters, under their names of S3.

    Raises:
        S3Error: A parameter is not what S3 allows.
    """
    if query.get("list-type") != "2":
        raise S3Error(501, "NotImplemented", "Only version 2 of ListObjects is simulated")
    write = _writer(query.get("encoding-type", ""))
    prefix, delimiter, start = (query.get(name, "") for name in ("prefix", "delimiter", "start-after"))
    token, limit = query.get("continuation-token"), _limit(query.get("max-keys", ""))
    page = keys.page(prefix, start if token is None else _name_of(token), delimiter, limit)
    optional = {
        "StartAfter": write(start),
        "ContinuationToken": token,
        "NextContinuationToken": token_of(page.last) if page.truncated else None,
        "KeyCount": str(page.count),
        "MaxKeys": str(limit),
        "Delimiter": write(delimiter),
        "EncodingType": query.get("encoding-type"),
        "IsTruncated": "true" if page.truncated else "false",
    }
    head = {name: value for name, value in optional.items() if value}
    parts = [_elements({"Name": bucket, "Prefix": write(prefix), **head})]
    parts += (text for run in page.runs for text in _contents(run, write))
    parts += (f"<CommonPrefixes><Prefix>{write(name)}</Prefix></CommonPrefixes>" for name in page.prefixes)
    return f'{DECLARATION}<ListBucketResult xmlns="{_NAMESPACE}">{"".join(parts)}</ListBucketResult>'.encode()


def _writer(encoding: str) -> Callable[[str], str]:
    """How names are written: escaped for XML, and percent-encoded if that is asked for."""
    if encoding not in ("", "url"):
        raise _invalid("encoding-type", encoding, "Invalid Encoding Method specified in Request")
    return (lambda name: escape(encoded(name))) if encoding else escape


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" if value else f"<{name}/>" for name, value in values.items())


def _contents(run: Run, write: Callable[[str], str]) -> Iterator[str]:
    """The entries of a run: whole days together, as those are nearly all, and what is left at its ends."""
    if isinstance(run.keys, StrayKeys):
        key = run.keys.key(0, 0)
        yield _entry(write(key), STRAY_MODIFIED, stray_etag(key), STRAY_SIZE)
        return
    yield "".join(_days(run, run.start // 2, -(-run.stop // 2), write))


def _days(run: Run, first: int, last: int, write: Callable[[str], str]) -> Iterator[str]:
    """Both entries of each day between two indices, as far as the run has them."""
    texts = _day_entries(run, first, last, write)
    if run.start % 2:
        texts[0] = texts[0].partition("</Contents>")[2]
    if run.stop % 2:
        texts[-1] = texts[-1][: texts[-1].rindex("<Contents>")]
    return iter(texts)


def _day_entries(run: Run, first: int, last: int, write: Callable[[str], str]) -> list[str]:
    # This loop runs for every file of every page, so it is written flat.
    name, dates = write(run.keys.prefix), run.keys.texts
    sum_size = run.keys.checksum_size
    raw = run.files.etags[first * ETAG_BYTES : last * ETAG_BYTES]
    texts, hexes = [], raw.hex()
    columns = zip(
        run.files.days[first:last], run.files.modified[first:last], run.files.sizes[first:last], strict=True
    )
    for at, (day, modified, size) in enumerate(columns):
        midnight, second = divmod(modified, SECONDS_PER_DAY)
        key, date, start = f"{name}{dates[day]}.zip", DAY_TEXTS[midnight], 64 * at
        sum_second = checksum_moment(second, raw[ETAG_BYTES * at])
        texts.append(
            f"<Contents><Key>{key}</Key><LastModified>{date}{CLOCK_TEXTS[second]}</LastModified>"
            f"<ETag>&quot;{hexes[start : start + 32]}&quot;</ETag><Size>{size}</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
            f"<Contents><Key>{key}.CHECKSUM</Key><LastModified>{date}{CLOCK_TEXTS[sum_second]}</LastModified>"
            f"<ETag>&quot;{hexes[start + 32 : start + 64]}&quot;</ETag><Size>{sum_size}</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
        )
    return texts


def _entry(name: str, modified: int, etag: str, size: int) -> str:
    return (
        f"<Contents><Key>{name}</Key><LastModified>{listing_time(modified)}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )

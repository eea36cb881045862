"""The S3 side: a ListObjects question, version 1 or 2, and its answer as XML.

Belongs here: parameters, tokens, errors and the XML of a listing, as Amazon S3 writes them. Does not belong
here: which keys a page has (`listing.py`), and HTTP (`wire.py`, `server.py`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from availability_pipeline.simulator.entries import contents
from availability_pipeline.simulator.listing import KeySpace, Page

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

    def __init__(
        self, status: int, code: str, message: str, details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = error_xml(code, message, details or {})


def error_xml(code: str, message: str, details: Mapping[str, str]) -> bytes:
    """The XML of an error."""
    elements = {
        "Code": code,
        "Message": message,
        **details,
        "RequestId": "SIMULATED0000001",
        "HostId": "simulator",
    }
    safe = {name: escape(value) for name, value in elements.items()}
    return f"{DECLARATION}<Error>{_elements(safe)}</Error>".encode()


def no_such_bucket(name: str) -> S3Error:
    """The error for a bucket that does not exist."""
    return S3Error(404, "NoSuchBucket", "The specified bucket does not exist", {"BucketName": name})


def no_such_key(key: str) -> S3Error:
    """The error for a key that does not exist."""
    return S3Error(404, "NoSuchKey", "The specified key does not exist.", {"Key": key})


@dataclass(frozen=True)
class Question:
    """What a ListObjects request asks.

    Args:
        bucket: The bucket's name.
        version: 1 or 2.
        prefix: What all keys begin with.
        delimiter: What ends a common prefix.
        start: `start-after` or, in version 1, `marker`.
        token: The continuation token of version 2.
        limit: The most entries of the page.
        url_encoded: Whether names are written percent-encoded.
    """

    bucket: str
    version: int
    prefix: str
    delimiter: str
    start: str
    token: str
    limit: int
    url_encoded: bool

    @classmethod
    def read(cls, bucket: str, query: Mapping[str, str]) -> Question:
        """Take the parameters of a request, or raise the error of S3 that they deserve."""
        version = 2 if query.get("list-type") == "2" else 1
        encoding = query.get("encoding-type", "")
        if encoding not in ("", "url"):
            raise _invalid("encoding-type", encoding, "Invalid Encoding Method specified in Request")
        if version == 2 and query.get("continuation-token") == "":
            raise _invalid("continuation-token", "", "The continuation token provided is incorrect")
        return cls(
            bucket=bucket,
            version=version,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            start=query.get("start-after" if version == 2 else "marker", ""),
            token=query.get("continuation-token", "") if version == 2 else "",
            limit=_limit(query.get("max-keys", "")),
            url_encoded=encoding == "url",
        )

    def text(self, name: str) -> str:
        """A name as the answer writes it."""
        return escape(encoded(name) if self.url_encoded else name)


def _limit(text: str) -> int:
    try:
        limit = int(text or MOST_KEYS)
    except ValueError:
        limit = -1
    if not 0 <= limit < 2**31:
        raise _invalid("max-keys", text, "Argument maxKeys must be an integer between 0 and 2147483647")
    return min(limit, MOST_KEYS)


def _invalid(name: str, value: str, message: str) -> S3Error:
    return S3Error(400, "InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value})


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
    """The answer to a ListObjects request as XML.

    Raises:
        S3Error: A parameter is not what S3 allows.
    """
    question = Question.read(bucket, query)
    after = _name_of(question.token) if question.token else question.start
    page = keys.page(question.prefix, after, question.delimiter, question.limit)
    keyed = "".join(text for run in page.runs for text in contents(run, question.text))
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{question.text(name)}</Prefix></CommonPrefixes>" for name in page.prefixes
    )
    head = _elements(_head_2(question, page) if question.version == 2 else _head_1(question, page))
    return f'{DECLARATION}<ListBucketResult xmlns="{_NAMESPACE}">{head}{keyed}{prefixes}</ListBucketResult>'.encode()


def _head_1(question: Question, page: Page) -> dict[str, str]:
    head = {
        "Name": question.bucket,
        "Prefix": question.text(question.prefix),
        "Marker": question.text(question.start),
    }
    # S3 names the next marker only for a listing that rolls keys up; otherwise it is the last key.
    if page.truncated and question.delimiter:
        head["NextMarker"] = question.text(page.last)
    return head | _head_end(question, page)


def _head_2(question: Question, page: Page) -> dict[str, str]:
    head = {"Name": question.bucket, "Prefix": question.text(question.prefix)}
    if question.start:
        head["StartAfter"] = question.text(question.start)
    if question.token:
        head["ContinuationToken"] = question.token
    if page.truncated:
        head["NextContinuationToken"] = token_of(page.last)
    return head | {"KeyCount": str(page.count)} | _head_end(question, page)


def _head_end(question: Question, page: Page) -> dict[str, str]:
    end = {"MaxKeys": str(question.limit)}
    if question.delimiter:
        end["Delimiter"] = question.text(question.delimiter)
    if question.url_encoded:
        end["EncodingType"] = "url"
    return end | {"IsTruncated": "true" if page.truncated else "false"}


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" if value else f"<{name}/>" for name, value in values.items())

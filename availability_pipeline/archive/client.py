"""The anonymous S3 client: requests, the page parser, and which pages of a listing can be trusted.

The parser reads one ListObjectsV2 page faster than boto3 does (decision 1). Every page's Date header is compared with
the machine's clock.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from operator import lt
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import boto3
import botocore.session
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError

from availability_pipeline.archive.batch import Turn
from availability_pipeline.archive.boto import send_by
from availability_pipeline.archive.http import Session, problem
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import (
    ArchiveError,
    ArchiveRefused,
    ArchiveUnreachable,
    ClockError,
    UnexpectedAnswer,
)
from availability_pipeline.settings import Settings

# Every repetition is possessive, so that no answer, however odd, costs more than one pass over it.
_CONTENTS = re.compile(
    rb"<Contents><Key>([^<]*+)</Key><LastModified>([^<]*+)</LastModified>(?:<ETag>[^<]*+</ETag>)?+"
    rb"(?:<ChecksumAlgorithm>[^<]*+</ChecksumAlgorithm>)?+(?:<ChecksumType>[^<]*+</ChecksumType>)?+"
    rb"<Size>([0-9]++)</Size>(?:<StorageClass>[^<]*+</StorageClass>)?+</Contents>"
)
# What may stand around the keys: were it more than plain elements, they could be inside a comment or an element.
_PLAIN = (
    rb"(?:<([A-Za-z]++)>[^<]*+</\1>|<[A-Za-z]++/>|<CommonPrefixes><Prefix>[^<]*+</Prefix></CommonPrefixes>)*+"
)
_HEAD = re.compile(
    rb'(?:<\?xml version="1\.0" encoding="(?i:UTF-8)"\?>\s*+)?+<ListBucketResult(?:\s[^<>]*+)?+>' + _PLAIN
)
_TAIL = re.compile(_PLAIN + rb"</ListBucketResult>\s*+")


_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,60})</Code>")
_COMPLETENESS = re.compile(rb"<(?:\w+:)?IsTruncated>(?:true|false)</")


class Entries(NamedTuple):
    """The keys of a page as columns of equal length, as the page writes them."""

    keys: list[bytes]
    last_modified: list[bytes]
    sizes: list[bytes]


def take_contents(
    response_dict: MutableMapping[str, Any], customized_response_dict: MutableMapping[str, Any], **_: object
) -> None:
    """Handle botocore's `before-parse` event: move the keys of a page out of its body.

    The parsed answer then has `Contents` as `Entries`.

    Raises:
        ArchiveRefused: The status is not 200.
        ArchiveUnreachable: The body is shorter than its Content-Length, which botocore does not check.
        UnexpectedAnswer: The body is not XML, or does not say whether the listing is complete.
    """
    if response_dict["status_code"] != 200:
        # Raised here, because botocore would follow some of them to other endpoints.
        raise _refused(response_dict["status_code"], response_dict["body"])
    body: bytes = response_dict["body"]
    _check_length(response_dict["headers"], body)
    entries, rest = split_contents(body)
    if b"ListBucketResult" not in rest:
        raise UnexpectedAnswer(
            "the answer is not the XML of a listing; check AVAILABILITY_S3_ENDPOINT", url=""
        )
    # botocore would read everything but "true" as false, and a page so garbled would count as the last one.
    if rest.count(b"IsTruncated") != 2 or not _COMPLETENESS.search(rest):
        raise UnexpectedAnswer("the listing does not say whether it is complete", url="")
    response_dict["body"] = rest
    customized_response_dict["Contents"] = entries


def _refused(status: int, body: bytes) -> ArchiveRefused:
    code = _ERROR_CODE.search(body)
    reason = f" {code[1].decode()}" if code else ""
    return ArchiveRefused(f"the bucket answered HTTP {status}{reason}", url="", status=status)


def _check_length(headers: Mapping[str, str], body: bytes) -> None:
    promised = headers.get("Content-Length") or headers.get("content-length")
    if promised is not None and promised.isdecimal() and int(promised) != len(body):
        raise ArchiveUnreachable(f"the answer broke off after {len(body)} of {promised} bytes", url="")


def split_contents(body: bytes) -> tuple[Entries, bytes]:
    """Divide a page into its keys and the same XML without them.

    Raises:
        UnexpectedAnswer: The body is not XML.
    """
    start, end = body.find(b"<Contents>"), body.rfind(b"</Contents>") + len(b"</Contents>")
    if 0 <= start < end and _HEAD.fullmatch(body, 0, start) and _TAIL.fullmatch(body, end):
        # One pass gives the captures and, at every fourth place, whatever stands between two keys.
        parts = _CONTENTS.split(body[start:end])
        entries = Entries(parts[1::4], parts[2::4], parts[3::4])
        if not any(parts[::4]) and _is_literal(entries):
            return entries, body[:start] + body[end:]
    return _split_any_shape(body)


def _is_literal(entries: Entries) -> bool:
    """Whether the texts mean what their bytes say: nothing escaped, encoded, or to be normalised."""
    text = b"".join(entries.keys + entries.last_modified)
    return text.isascii() and b"&" not in text and b"\r" not in text


def _split_any_shape(body: bytes) -> tuple[Entries, bytes]:
    try:
        # Expat bounds what entities expand to; RecursionError is what writing a very deep answer ends in.
        root = ET.fromstring(body)  # noqa: S314
        namespace = root.tag[: root.tag.find("}") + 1]
        contents = root.findall(f"{namespace}Contents")
        root[:] = [child for child in root if child.tag != f"{namespace}Contents"]
        rest: bytes = ET.tostring(root)
    except (ET.ParseError, LookupError, ValueError, RecursionError) as error:
        problem = f"the answer is not the XML of a listing ({error}); check AVAILABILITY_S3_ENDPOINT"
        raise UnexpectedAnswer(problem, url="") from error
    columns = (
        [(entry.findtext(namespace + name) or "").encode() for entry in contents]
        for name in ("Key", "LastModified", "Size")
    )
    return Entries(*columns), rest


REGION = "ap-northeast-1"
"""Where the bucket is."""

MAX_KEYS = 1000
"""The most keys that S3 puts on one page."""


class ListingClient:
    """Lists a dataset in the archive's bucket. Safe to use from several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self.dataset = settings.dataset
        self.name = settings.s3_bucket
        self.url = f"{settings.s3_endpoint}/{self.name}"
        self._timeout = settings.timeout_seconds
        self._session = Session(settings.connections, anonymous=True)
        self._client = _unsigned_client(settings)
        self.turn = Turn()
        """What threads that ask for pages side by side take turns by."""
        send_by(self._session, self._client.meta.events, settings.timeout_seconds, self.turn)
        # Under this name, and not "…s3.ListObjectsV2", botocore calls it before its own handler, which would parse
        # the whole page only to see whether it is an error.
        self._client.meta.events.register_first("before-parse.*.ListObjectsV2", take_contents)

    def list_page(self, symbol: str | None = None, **parameters: str | int) -> dict[str, Any]:
        """Ask for one page of ListObjectsV2, keys and prefixes still url-encoded.

        Args:
            symbol: The contract that it is about, for the message of an error.
            parameters: boto3's parameters, `Bucket` and `EncodingType` left out.

        Returns:
            boto3's answer, with `Contents` as `Entries`.

        Raises:
            ArchiveError: No usable answer came.
            UsageError: The configuration of the network cannot be used.
        """
        url = f"{self.url}?prefix={parameters.get('Prefix', '')}"
        try:
            answer: dict[str, Any] = self._client.list_objects_v2(
                Bucket=self.name, EncodingType="url", **parameters
            )
        except ArchiveError as error:
            raise type(error)(error.problem, url=url, symbol=symbol, status=error.status) from error.__cause__
        except (requests.RequestException, BotoCoreError) as error:
            raise ArchiveUnreachable(problem(error, self._timeout), url=url, symbol=symbol) from error
        except (ResponseParserError, ValueError, TypeError) as error:  # the latter are a number that is none
            why = "the answer is not the XML of a listing; check AVAILABILITY_S3_ENDPOINT"
            raise UnexpectedAnswer(why, url=url, symbol=symbol) from error
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._session.close()


@cache
def _unsigned() -> boto3.session.Session:
    """boto3 without what AWS_… and ~/.aws say, which is for publishing, or for other programs.

    All clients are made by one, which takes a tenth of the time: most of it is spent on botocore's descriptions of
    services and on its handlers of events.
    """
    variables = {
        name: (None, None, default, cast)
        for name, (_, _, default, cast) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    nothing = (None, None, os.devnull, None)
    isolated = botocore.session.Session(
        session_vars={**variables, "config_file": nothing, "credentials_file": nothing}
    )
    return boto3.session.Session(botocore_session=isolated)


def _unsigned_client(settings: Settings) -> Any:
    return _unsigned().client(
        "s3",
        region_name=REGION,
        endpoint_url=settings.s3_endpoint,
        config=Config(
            signature_version=UNSIGNED,
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1, "mode": "standard"},
            # botocore would put one together for every page.
            user_agent="binance-futures-availability",
        ),
    )


TOLERANCE = dt.timedelta(minutes=5)
"""How far the clocks may be apart. One that is kept by NTP is less than a second off, and no file appears within hours
of midnight, so that minutes do no harm."""


def check_clock(headers: Mapping[str, str], asked: dt.datetime, answered: dt.datetime) -> bool:
    """Compare the machine's clock with the header Date of an answer.

    Args:
        headers: Those of the answer, in lower case.
        asked: The machine's moment before the request, naive in UTC.
        answered: The same after the answer. In between, the archive may have named any moment.

    Returns:
        Whether the answer confirms the clock; False where it names no moment.

    Raises:
        ClockError: They are too far apart.
    """
    there = _moment(headers)
    if there is None:
        return False
    if asked - TOLERANCE <= there <= answered + TOLERANCE:
        return True
    raise ClockError(
        f"this machine's clock says {answered:%Y-%m-%d %H:%M:%S} UTC and the archive's {there:%Y-%m-%d %H:%M:%S} UTC, "
        "so nothing was written; set the machine's clock, then run the same again"
    )


def _moment(headers: Mapping[str, str]) -> dt.datetime | None:
    """When the answer was sent, naive in UTC; None where that cannot be told."""
    try:
        sent = parsedate_to_datetime(headers["date"])
        # A cache on the way leaves the Date of the answer that it keeps, and says how old that is.
        moment = sent + dt.timedelta(seconds=int(headers.get("age", "0")))
        return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


@dataclass
class CheckedPage:
    """One page that has passed all checks."""

    names: list[str]
    prefixes: list[str]
    entries: Entries
    token: str | None
    """Where the next page begins, or None on the last one."""
    clock_confirmed: bool
    """Whether the answer named a moment, which is then that of the machine's clock."""


def checked_page(
    client: ListingClient, symbol: str | None, *, after: str, **parameters: str | int
) -> CheckedPage:
    """Ask for a page and make sure that it can be believed.

    Args:
        client: Where to ask.
        symbol: The contract that it is about, if it is about one.
        after: What every key and prefix of the page must come after.
        parameters: The request.

    Raises:
        ArchiveError: It could not be had, or contradicts itself.
        ClockError: The machine's clock is not the archive's.
    """
    asked = utc_now()
    answer = client.list_page(symbol, **parameters)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    clock_confirmed = check_clock(headers, asked, utc_now())
    url_encoded = answer.get("EncodingType") == "url"
    entries: Entries = answer.get("Contents") or Entries([], [], [])
    names = _decoded(_texts(entries.keys), url_encoded)
    prefixes = _decoded([entry.get("Prefix", "") for entry in answer.get("CommonPrefixes", ())], url_encoded)
    problem = _contradiction(answer, names, prefixes, after, str(parameters["Prefix"]))
    if problem:
        raise unexpected(client, symbol, problem)
    token = answer["NextContinuationToken"] if answer["IsTruncated"] else None
    return CheckedPage(names, prefixes, entries, token, clock_confirmed)


def _texts(keys: Sequence[bytes]) -> list[str]:
    """All keys as text, in a tenth of the time of one by one."""
    texts = b"\n".join(keys).decode().split("\n")
    return texts if len(texts) == len(keys) else [key.decode() for key in keys]


def _decoded(names: list[str], url_encoded: bool) -> list[str]:
    text = "".join(names) if url_encoded else ""
    if "%" not in text and "+" not in text:
        return names
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


def unexpected(client: ListingClient, symbol: str | None, problem: str) -> UnexpectedAnswer:
    """The error for a listing that cannot be believed, of a contract's folder or of all folders."""
    prefix = client.dataset.folder(symbol) if symbol else client.dataset.root
    return UnexpectedAnswer(problem, url=f"{client.url}?prefix={prefix}", symbol=symbol)

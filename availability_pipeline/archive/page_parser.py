"""Reading one ListObjectsV2 page faster than boto3 does.

boto3 builds a dictionary per key and reads each date with a general date parser: some 45 ms of CPU for a
page of 1,000 keys. Here the keys are taken out of the answer before boto3 parses the rest of it. A regular
expression reads the one shape in which S3 writes them; a page of any other shape goes through an XML
parser, which gives the same rows more slowly. docs/decisions/0001-page-parser.md has the measurements.

Bytes in, rows out: no requests, no meaning of keys.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer

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

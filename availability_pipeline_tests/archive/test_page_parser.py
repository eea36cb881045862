"""The page parser: a page without a key is a file that "does not exist", so both of its ways are compared.

The reference is boto3's own parser. Pages are drawn in every shape that XML allows and cut at every byte; what
the parser takes out and what it leaves must together say the same, or nothing at all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

import botocore.session
import pytest
from botocore.parsers import ResponseParserError, create_parser
from hypothesis import example, given
from hypothesis import strategies as st

from availability_pipeline.archive import client as page_parser
from availability_pipeline.archive.client import Entries, split_contents, take_contents
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
SHAPE = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").output_shape
PREFIX = "data/futures/um/daily/klines/BTCUSDT/1m/"


def contents(key: str = "a", *, size: int | str = 7, extra: str = "") -> str:
    """One key as S3 writes it."""
    return (
        f"<Contents><Key>{key}</Key><LastModified>2024-01-16T08:12:33.000Z</LastModified>"
        f"<ETag>&quot;{'0' * 32}&quot;</ETag>{extra}<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def page(*inner: str, namespace: str = NAMESPACE, truncated: str = "false") -> bytes:
    """A page with elements in it."""
    complete = f"<IsTruncated>{truncated}</IsTruncated>"
    return f"{DECLARATION}<ListBucketResult{namespace}>{complete}{''.join(inner)}</ListBucketResult>".encode()


def full_page(keys: int = 1000) -> bytes:
    """A page as the archive gives it."""
    names = (f"{PREFIX}BTCUSDT-1m-2024-{i:04}.zip" for i in range(keys))
    head = f"<Name>data.binance.vision</Name><Prefix>{PREFIX}</Prefix><KeyCount>{keys}</KeyCount>"
    return page(head, *map(contents, names), "<EncodingType>url</EncodingType>")


def read_by_boto3(body: bytes) -> dict[str, Any]:
    """What boto3 alone makes of a page."""
    answer = create_parser("rest-xml").parse({"status_code": 200, "headers": {}, "body": body}, SHAPE)
    assert isinstance(answer, dict)
    return answer


def rows(body: bytes) -> list[tuple[str, int]]:
    """Keys and sizes of a page as boto3 reads them."""
    return [(entry["Key"], entry["Size"]) for entry in read_by_boto3(body).get("Contents", ())]


def rows_of(entries: Entries) -> list[tuple[str, int]]:
    """The same of what the parser took out."""
    return [(key.decode(), int(size)) for key, size in zip(entries.keys, entries.sizes, strict=True)]


def uses_the_fast_path(body: bytes, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the XML parser is left alone."""
    monkeypatch.setattr(page_parser, "_split_any_shape", lambda _: None)
    return split_contents(body) is not None


class Element(NamedTuple):
    """A piece of a page, and the keys in it."""

    xml: str
    rows: list[tuple[str, int]]


gaps = st.sampled_from(["", "", "", "\n", "  ", "<!-- a remark -->", "\r\n\t"])
names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn")), min_size=1, max_size=12
)
EXTRAS = (
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>",
    "<ChecksumType>FULL_OBJECT</ChecksumType>",
    "<Owner><ID>4f</ID><DisplayName>A &amp; B</DisplayName></Owner>",
    "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>",
    "<StorageClass>STANDARD</StorageClass>",
    "<Note/>",
    '<Note kind="x">Size</Note>',
    "<Note><![CDATA[<Contents><Key>no</Key></Contents>]]></Note>",
)


@st.composite
def entries(draw: st.DrawFn) -> Element:
    """A key with its parts in any order, spelled in any way that XML allows."""
    name, size = draw(names), draw(st.integers(0, 10**12))
    spelled = draw(
        st.sampled_from(
            [
                quote(name),
                escape(name, {'"': "&quot;"}),
                "".join(f"&#x{ord(letter):x};" for letter in name),
                f"<![CDATA[{name.replace(']]>', '')}]]>",
            ]
        )
    )
    parts = [
        f"<Key>{spelled}</Key>",
        "<LastModified>2024-01-16T08:12:33.000Z</LastModified>",
        "<ETag>&quot;00&quot;</ETag>",
        *draw(st.lists(st.sampled_from(EXTRAS), max_size=3, unique=True)),
        f"<Size>{size}</Size>",
    ]
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    between = draw(gaps)
    text = quote(name) if spelled == quote(name) else name.replace("]]>", "") if "CDATA" in spelled else name
    return Element(f"<Contents>{between.join(['', *parts, ''])}</Contents>", [(text, size)])


REPEATED = (
    "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>",
    "<!-- <Contents><Key>no</Key></Contents> -->",
)
ONCE = ("<KeyCount>3</KeyCount>", "<Prefix/>", "<MaxKeys>9</MaxKeys>", "<Name>data.binance.vision</Name>")
repeated = st.sampled_from(REPEATED).map(lambda xml: Element(xml, []))
once = st.lists(
    st.sampled_from(ONCE).map(lambda xml: Element(xml, [])), unique_by=lambda element: element.xml
)


@st.composite
def pages(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, int]]]:
    """A page in any shape, and what is in it."""
    elements = draw(st.lists(st.one_of(entries(), entries(), repeated), max_size=8))
    elements = draw(st.permutations(elements + draw(once)))
    gap, namespace = draw(gaps), draw(st.sampled_from([NAMESPACE, "", ' xmlns="urn:x" a="b"']))
    body = page(gap, *(element.xml + gap for element in elements), namespace=namespace)
    return body, [row for element in elements for row in element.rows]


@given(pages())
def test_both_ways_take_out_what_is_there(drawn: tuple[bytes, list[tuple[str, int]]]) -> None:
    body, expected = drawn
    taken, rest = split_contents(body)
    assert rows_of(taken) == expected
    assert page_parser._split_any_shape(body)[0] == taken
    assert read_by_boto3(rest).get("Contents") is None


@given(pages())
def test_what_is_left_says_what_the_page_said(drawn: tuple[bytes, list[tuple[str, int]]]) -> None:
    left, whole = read_by_boto3(split_contents(drawn[0])[1]), read_by_boto3(drawn[0])
    whole.pop("Contents", None)
    assert left == whole


def test_a_page_of_the_archive_is_read_as_boto3_reads_it() -> None:
    body = full_page()
    assert rows_of(split_contents(body)[0]) == rows(body)
    assert split_contents(body)[0].last_modified == [b"2024-01-16T08:12:33.000Z"] * 1000


@pytest.mark.parametrize("extra", ["", EXTRAS[0], EXTRAS[1], EXTRAS[0] + EXTRAS[1]])
def test_a_page_of_the_archive_takes_the_fast_path(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uses_the_fast_path(page(contents(extra=extra), contents("b")), monkeypatch)


ODD = {
    "in a comment": page(f"<!-- {contents()} -->"),
    "in another element": page(f"<Other>{contents()}</Other>"),
    "in CDATA": page(f"<Note><![CDATA[{contents()}]]></Note>"),
    "between two comments": page("<!-- x", "-->", contents(), "<!-- x -->"),
    "comment between": page(contents("a"), f"<!-- {contents('b')} -->", contents("c")),
    "comment within": page(contents("a", extra="<!-- <Size>1</Size> -->")),
    "prefix between": page(contents("a"), "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>", contents("c")),
    "escaped key": page(contents("a&amp;b&#x4e2d;&quot;")),
    "non-ascii key": page(contents("币")),
    "line end in a key": page(contents("a\r\nb")),
    "empty": page("<Contents></Contents>".replace("><", "><Key>a</Key><Size>1</Size><")),
    "other namespace": page(contents()).replace(b"<ListBucketResult", b'<x:ListBucketResult xmlns:x="urn:x"').replace(
        b"</ListBucketResult", b"</x:ListBucketResult"
    ),
    "latin-1": page(contents("é")).decode().replace("UTF-8", "ISO-8859-1").encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + page(contents()),
    "utf-16": page(contents()).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_an_odd_page_is_left_to_the_xml_parser(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not uses_the_fast_path(body, monkeypatch)


@pytest.mark.parametrize("name", ["in a comment", "in another element", "in CDATA"])
def test_what_only_looks_like_a_key_is_none(name: str) -> None:
    assert split_contents(ODD[name])[0] == Entries([], [], [])


@pytest.mark.parametrize(
    "name", ["comment between", "prefix between", "between two comments", "byte order mark"]
)
def test_keys_in_odd_places_are_found(name: str) -> None:
    assert rows_of(split_contents(ODD[name])[0]) == rows(ODD[name])


def test_encodings_are_those_that_the_page_declares() -> None:
    assert split_contents(ODD["latin-1"])[0].keys == ["é".encode()]
    assert split_contents(ODD["utf-16"])[0].keys == [b"a"]
    assert split_contents(ODD["escaped key"])[0].keys == ['a&b中"'.encode()]


def believed(body: bytes) -> dict[str, Any] | None:
    """What the client would make of a body, or None if it would refuse it."""
    response: dict[str, Any] = {"status_code": 200, "headers": {}, "body": body}
    custom: dict[str, Any] = {}
    try:
        take_contents(response, custom)
        return {**read_by_boto3(response["body"]), **custom}
    except (UnexpectedAnswer, ResponseParserError):
        return None


@pytest.mark.parametrize(
    "body",
    [
        page(contents("a"), contents("b"), "<KeyCount>2</KeyCount>"),
        page("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"),
        page(contents("&#x4e2d;", extra=EXTRAS[2])),
    ],
    ids=["fast", "prefixes", "any shape"],
)
def test_a_body_cut_anywhere_is_refused(body: bytes) -> None:
    assert believed(body)
    assert [cut for cut in range(len(body)) if believed(body[:cut])] == []


@given(st.integers(0, 400), st.integers(1, 400))
@example(0, 1)
def test_a_body_with_a_piece_missing_is_refused_or_still_has_its_whole_keys(start: int, length: int) -> None:
    whole = page(contents("a"), contents("b"))
    answer = believed(whole[:start] + whole[start + length :])
    if answer is not None:
        assert set(answer["Contents"].keys) <= {b"a", b"b", b""}
        assert "IsTruncated" in answer


@pytest.mark.parametrize(
    "text", ["", " true ", "TRUE", "True", "1", "yes", "true</IsTruncated><IsTruncated>false"]
)
def test_whether_a_page_is_the_last_must_be_said_exactly(text: str) -> None:
    response = {"status_code": 200, "headers": {}, "body": page(contents(), truncated=text)}
    with pytest.raises(UnexpectedAnswer, match="does not say whether it is complete"):
        take_contents(response, {})


@pytest.mark.parametrize(
    "body",
    [
        b"", b"sorry", b"\0" * 99, b"<html><br></html>", page(contents())[:-5], page("<a>" * 50_000, "</a>" * 50_000),
        b'<?xml version="1.0" encoding="no-such"?><ListBucketResult/>',
        b'<?xml version="1.0" encoding="big5"?><ListBucketResult/>',
        b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
        + b"]><l>&j;</l>",
    ],
    ids=["empty", "text", "zeros", "html", "cut", "deep", "no encoding", "other encoding", "many entities"],
)  # fmt: skip
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer, match="not the XML of a listing"):
        split_contents(body)


START = "<Contents><Key>a</Key><LastModified>b</LastModified>"
SLOW = {
    "no sizes": page(START * 5_000),
    "no sizes, closed": page(f"{START}</Contents>" * 4_500),
    "many elements": page(START, "<A>x</A>" * 37_000, "</Contents>"),
    "open brackets": page(START, "<" * 300_000, "</Contents>"),
    "open tag": page(START, f"<{'a' * 300_000}", "</Contents>"),
    "long text": page(f"<Contents><Key>{'a' * 300_000}</Contents>"),
    "only begins": page("<Contents><Key>" * 20_000, "</Contents>"),
    "empty entries": page("<Contents></Contents>" * 14_000),
    "empty entries apart": page("<X/><Contents></Contents>" * 12_000),
    "long head": page("<a>x</a>" * 37_000, f"{START}<Size>1</Size></Contents>"),
    "long tail": page(f"{START}<Size>1</Size></Contents>", "<a>x</a>" * 37_000, "<a>"),
    "digits": page(f"{START}<Size>{'1' * 300_000}</Contents>"),
}


@pytest.mark.parametrize("body", SLOW.values(), ids=SLOW)
def test_no_body_takes_long(body: bytes) -> None:
    started = time.process_time()
    believed(body)
    assert time.process_time() - started < 1


def test_a_full_page_is_read_at_least_three_times_as_fast_as_by_an_xml_parser() -> None:
    body = full_page()

    def seconds(read: Any) -> float:
        started = time.process_time()
        for _ in range(10):
            read(body)
        return time.process_time() - started

    ratio = max(seconds(page_parser._split_any_shape) / seconds(split_contents) for _ in range(5))
    assert ratio > 3


def taken(headers: Mapping[str, str], status: int = 200) -> tuple[dict[str, Any], dict[str, Any]]:
    response: dict[str, Any] = {"status_code": status, "headers": headers, "body": page(contents())}
    custom: dict[str, Any] = {}
    take_contents(response, custom, operation_model=None)
    return response, custom


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": str(len(page(contents())))}, {"content-length": "\xb2"}]
)
def test_a_whole_body_is_taken_apart(headers: dict[str, str]) -> None:
    response, custom = taken(headers)
    assert custom["Contents"].keys == [b"a"]
    assert b"Contents" not in response["body"]


@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
@pytest.mark.parametrize("difference", [-1, 1, 1000])
def test_a_body_of_another_length_than_promised_broke_off(name: str, difference: int) -> None:
    length = len(page(contents()))
    with pytest.raises(ArchiveUnreachable, match=f"broke off after {length} of {length + difference} bytes"):
        taken({name: str(length + difference)})


@pytest.mark.parametrize("status", [202, 204, 206, 301, 307, 400, 403, 404, 503])
def test_only_a_200_is_an_answer(status: int) -> None:
    with pytest.raises(ArchiveRefused, match=f"HTTP {status} ") as refusal:
        taken({}, status)
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<Error><Code>SlowDown</Code><Message>x</Message></Error>", "HTTP 503 SlowDown "),
        (b"<Error><Code>two words\n</Code></Error>", "HTTP 503 "),
        (b"\xff<Code>", "HTTP 503 "),
    ],
)
def test_the_reason_is_told_if_there_is_one(body: bytes, text: str) -> None:
    with pytest.raises(ArchiveRefused) as refusal:
        take_contents({"status_code": 503, "headers": {}, "body": body}, {})
    assert str(refusal.value) == f"the bucket answered {text}()"

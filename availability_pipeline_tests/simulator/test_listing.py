"""Pages put together are the sorted truth, whatever is asked: a listing that lost a key would prove nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline.simulator.listing import KeySpace
from availability_pipeline.simulator.s3 import S3Error, list_objects
from availability_pipeline_tests.simulator.conftest import (
    BUCKET,
    ROOT,
    all_keys,
    make_small_archive,
    parse_xml,
)

ARCHIVE = make_small_archive()
KEYS = all_keys(ARCHIVE)
SPACE = KeySpace(ARCHIVE, ARCHIVE.daily_bars)
SPACE_OF_NAMES = "{http://s3.amazonaws.com/doc/2006-03-01/}"

# Cuts of real keys, and what sorts just before and after them.
cuts = st.builds(lambda key, end, tail: key[:end] + tail, st.sampled_from(KEYS), st.integers(0, 80),
                 st.sampled_from(["", "", "", "!", "/", "~", "0", "é"]))  # fmt: skip
delimiters = st.sampled_from(["", "/", "/", "-", ".zip", "/1m/", "/1", "03", "USDT", "CHECKSUM", "虾", "//"])


class Answer(NamedTuple):
    """One page, read with nothing but an XML parser."""

    entries: list[str]
    truncated: bool
    following: str | None
    key_count: int | None


def ask(**query: str) -> Answer:
    root = parse_xml(
        list_objects(SPACE, BUCKET, {key.replace("_", "-"): value for key, value in query.items()})
    )
    keys = [node.findtext(f"{SPACE_OF_NAMES}Key") for node in root.iter(f"{SPACE_OF_NAMES}Contents")]
    prefixes = [
        node.findtext(f"{SPACE_OF_NAMES}Prefix") for node in root.iter(f"{SPACE_OF_NAMES}CommonPrefixes")
    ]
    for names in (keys, prefixes):
        assert names == sorted(names, key=lambda name: str(name).encode())
    count = root.findtext(f"{SPACE_OF_NAMES}KeyCount")
    return Answer(
        entries=sorted((str(name) for name in (*keys, *prefixes)), key=str.encode),
        truncated=root.findtext(f"{SPACE_OF_NAMES}IsTruncated") == "true",
        following=root.findtext(f"{SPACE_OF_NAMES}NextContinuationToken"),
        key_count=None if count is None else int(count),
    )


def truth(prefix: str, delimiter: str, after: str) -> list[str]:
    """What a listing has to give, by looking at every key."""
    entries = []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if end < 0 else key[: end + len(delimiter)]
        if key > after and entry > after and entry not in entries[-1:]:
            entries.append(entry)
    return entries


def pages(limit: int, **query: str) -> Iterator[Answer]:
    token: dict[str, str] = {}
    while True:
        page = ask(list_type="2", max_keys=str(limit), **query, **token)
        yield page
        if not page.truncated:
            return
        token = {"continuation_token": str(page.following)}


@settings(max_examples=150, deadline=None)
@given(prefix=cuts, delimiter=delimiters, after=st.one_of(st.just(""), cuts), limit=st.integers(1, 12))
def test_pages_are_the_truth(prefix: str, delimiter: str, after: str, limit: int) -> None:
    expected = truth(prefix, delimiter, after)
    found = list(pages(limit, prefix=prefix, delimiter=delimiter, start_after=after))
    assert [entry for page in found for entry in page.entries] == expected
    assert all(len(page.entries) == page.key_count for page in found)
    assert all(page.key_count == limit for page in found[:-1])


@pytest.mark.parametrize("after", KEYS)
def test_every_key_is_a_place_to_go_on_from(after: str) -> None:
    assert ask(list_type="2", start_after=after).entries == KEYS[KEYS.index(after) + 1 :]


def test_folders_are_listed_with_their_empty_child() -> None:
    page = ask(list_type="2", prefix=f"{ROOT}BTCUSDT/", delimiter="/")
    assert page.entries == [f"{ROOT}BTCUSDT/{child}/" for child in ("", "1d", "1m")]


def test_folders_without_a_visible_file_are_not_listed() -> None:
    names = [entry.removeprefix(ROOT) for entry in ask(list_type="2", prefix=ROOT, delimiter="/").entries]
    assert names == ["A/", "AB/", "A_B&C/", "BTCUSDT/", "BTCUSDT_240329/", "龙虾USDT/"]


def test_the_list_of_folders_needs_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_small_archive()
    names = []
    for folder in archive.folders():
        monkeypatch.setattr(
            folder, "visible", lambda _, folder=folder: names.append(folder.facts.symbol) or []
        )
    list_objects(KeySpace(archive), BUCKET, {"list-type": "2", "prefix": ROOT, "delimiter": "/"})
    assert set(names) <= {"LATERUSDT"}


def test_a_page_has_at_most_a_thousand_entries() -> None:
    archive = make_small_archive()
    archive.add_symbol("OLDUSDT", ARCHIVE.now().date().replace(year=2020))
    xml = list_objects(KeySpace(archive), BUCKET, {"list-type": "2", "max-keys": "5000"})
    assert xml.count(b"<Contents>") == 1_000
    assert b"<KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys>" in xml


def test_no_keys_asked_for() -> None:
    assert ask(list_type="2", max_keys="0") == Answer([], False, None, 0)


@pytest.mark.parametrize(
    "query",
    [
        {"max-keys": "many"},
        {"max-keys": "-1"},
        {"max-keys": "2147483648"},
        {"encoding-type": "base64"},
        {"continuation-token": "nonsense"},
        {"continuation-token": "bm9uc2Vuc2Ugb2YgYW5vdGhlciBraW5k"},
        {"continuation-token": "é"},
        {"continuation-token": ""},
    ],
)
def test_parameters_that_s3_refuses(query: dict[str, str]) -> None:
    with pytest.raises(S3Error) as caught:
        list_objects(SPACE, BUCKET, {"list-type": "2", **query})
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")
    assert parse_xml(caught.value.body).findtext("Code") == "InvalidArgument"


def test_version_1_is_not_simulated() -> None:
    with pytest.raises(S3Error, match="Only version 2") as caught:
        list_objects(SPACE, BUCKET, {"marker": KEYS[3]})
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")


def test_elements_are_in_the_order_of_s3() -> None:
    query = {"list-type": "2", "prefix": ROOT, "delimiter": "/", "start-after": ROOT, "max-keys": "3"}
    root = parse_xml(list_objects(SPACE, BUCKET, query | {"encoding-type": "url"}))
    assert [child.tag.removeprefix(SPACE_OF_NAMES) for child in root] == [
        "Name", "Prefix", "StartAfter", "NextContinuationToken", "KeyCount", "MaxKeys", "Delimiter",
        "EncodingType", "IsTruncated", "CommonPrefixes", "CommonPrefixes", "CommonPrefixes",
    ]  # fmt: skip


def test_an_entry_looks_like_one_of_s3() -> None:
    xml = list_objects(SPACE, BUCKET, {"list-type": "2", "prefix": f"{ROOT}A/1m/", "max-keys": "1"}).decode()
    assert xml.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3')
    entry = xml[xml.index("<Contents>") : xml.index("</Contents>")]
    pattern = (
        rf"<Contents><Key>{ROOT}A/1m/A-1m-2024-03-06.zip</Key>"
        r"<LastModified>2024-03-0\dT0\d:\d\d:\d\d\.000Z</LastModified><ETag>&quot;[0-9a-f]{32}&quot;</ETag>"
        r"<Size>\d{5}</Size><StorageClass>STANDARD</StorageClass>"
    )
    assert re.fullmatch(pattern, entry)


def test_names_are_percent_encoded_on_request() -> None:
    query = {"list-type": "2", "prefix": f"{ROOT}龙虾USDT/", "encoding-type": "url", "max-keys": "1"}
    xml = list_objects(SPACE, BUCKET, query).decode()
    assert xml.count(f"{ROOT}%E9%BE%99%E8%99%BEUSDT/") == 2
    assert unquote_plus(xml).count("龙虾USDT") == 3


def test_names_are_escaped_otherwise() -> None:
    xml = list_objects(SPACE, BUCKET, {"list-type": "2", "prefix": f"{ROOT}A_B&C/"}).decode()
    assert f"<Prefix>{ROOT}A_B&amp;C/</Prefix>" in xml
    assert parse_xml(xml).findtext(f"{SPACE_OF_NAMES}Prefix") == f"{ROOT}A_B&C/"

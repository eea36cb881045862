"""Listing a contract's files: all that are there, none twice, with as few requests as the range needs.

Requests are counted exactly, because a day's budget of them is promised. Folders that the archive could have but
the simulator does not (a missing checksum, odd objects) come from a bucket in memory.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import Entries
from availability_pipeline.archive.listing import FolderQuery, list_files
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.errors import ArchiveFailures, UnexpectedAnswer
from availability_pipeline_tests.archive.doubles import KeyBucket, as_entries, both_keys, day, found, span

ODD = [
    f"{DEFAULT_DATASET.folder('BTCUSDT')}{name}"
    for name in ("BTCUSDT-1m-2020-02-30.zip", "BTCUSDT-1m-2021-readme", "README", "x")
]


@dataclasses.dataclass
class Count(Progress):
    """How far a listing says that it is."""

    total: int = 0
    done: int = 0

    def grow(self, count: int) -> None:
        """More to do."""
        self.total += count

    def advance(self, count: int = 1) -> None:
        """Some of it is done."""
        self.done += count


@pytest.mark.parametrize(
    ("days", "asked", "requests"),
    [
        (1, 1, 1),  # one page
        (20, 20, 1),
        (499, 2600, 1),
        (500, 2600, 1),  # a full page with nothing after it
        (501, 501, 2),
        (501, 2600, 6),  # an ended contract: where it ends is not known before
        (1000, 1000, 2),
        (1001, 1001, 3),
        (2600, 2600, 6),
    ],
)
def test_a_history_takes_as_many_requests_as_it_has_pages(days: int, asked: int, requests: int) -> None:
    bucket = KeyBucket(both_keys(range(days)))
    listing = bucket.list_days(span(0, asked - 1))
    assert found(listing) == list(range(days))
    assert len(bucket.asked) == listing.pages == requests


def test_a_history_with_gaps_takes_no_more_requests() -> None:
    held = [number for number in range(2600) if number % 7 and not 600 < number < 900]
    bucket = KeyBucket(both_keys(held))
    assert found(bucket.list_days(span(0, 2599))) == held
    assert len(bucket.asked) <= 6


def test_no_page_is_asked_for_twice() -> None:
    bucket = KeyBucket(both_keys(range(2600)))
    listing = bucket.list_days(span(0, 2599))
    assert len({request["StartAfter"] for request in bucket.asked}) == len(bucket.asked)
    assert listing.keys == 2 * 2600


@pytest.mark.parametrize("numbers", [[7], [499], [500], [499, 999, 1499], range(0, 1600, 3)])
def test_a_missing_checksum_does_not_shift_the_pages(numbers: Any) -> None:
    absent = {f"{DEFAULT_DATASET.key('BTCUSDT', day(number))}.CHECKSUM" for number in numbers}
    bucket = KeyBucket([key for key in both_keys(range(1600)) if key not in absent])
    assert found(bucket.list_days(span(0, 1599))) == list(range(1600))
    assert len(bucket.asked) <= 5


def test_a_page_may_end_with_a_key_that_is_no_file() -> None:
    odd = f"{DEFAULT_DATASET.day_mark('BTCUSDT', day(499))}.zip.odd"
    absent = f"{DEFAULT_DATASET.key('BTCUSDT', day(499))}.CHECKSUM"
    bucket = KeyBucket([odd, *(key for key in both_keys(range(1600)) if key != absent)])
    assert sorted(bucket.keys)[999] == odd
    assert found(bucket.list_days(span(0, 1599))) == list(range(1600))


def test_keys_that_are_no_files_are_reported() -> None:
    listing = KeyBucket([*both_keys(range(19)), *ODD]).list_days(span(10, 19))
    assert listing.strays == tuple(sorted(ODD))
    assert found(listing) == list(range(10, 19))


def test_checksums_without_their_zips_are_no_files() -> None:
    bucket = KeyBucket([key for key in both_keys(range(1200)) if key.endswith("CHECKSUM")])
    assert found(bucket.list_days(span(0, 1199))) == []


@given(
    st.sets(st.integers(0, 2600), min_size=1, max_size=60).flatmap(
        lambda cuts: st.tuples(st.just(sorted(cuts)), st.integers(0, 1))
    ),
    st.sets(st.integers(0, 5200), max_size=20),
    st.sets(st.sampled_from(ODD)),
    st.tuples(st.integers(0, 2600), st.integers(0, 2600)).map(sorted),
)
def test_every_file_of_any_folder_is_found_once(
    stretches: tuple[list[int], int], absent: set[int], odd: set[str], ends: list[int]
) -> None:
    cuts, phase = stretches
    held = [number for number in range(cuts[-1] + 1) if (sum(cut < number for cut in cuts) + phase) % 2 == 0]
    names = [key for i, key in enumerate(both_keys(held)) if i not in absent]
    zips = [number for i, number in enumerate(held) if 2 * i not in absent and ends[0] <= number <= ends[1]]
    bucket = KeyBucket([*names, *odd, f"{DEFAULT_DATASET.root}BTCUSDT//stray"])
    if not names and not odd:
        return
    listing = bucket.list_days(span(*ends))
    assert found(listing) == zips
    first = DEFAULT_DATASET.day_mark("BTCUSDT", day(ends[0]))
    last = DEFAULT_DATASET.key("BTCUSDT", day(ends[1]), checksum=True)
    assert {key for key in odd if first < key < last} <= set(listing.strays) <= odd
    checksums = {day(number) for i, number in enumerate(held) if 2 * i + 1 not in absent}
    stated = zip(listing.files["date"].to_pylist(), listing.files["has_checksum"].to_pylist(), strict=True)
    assert dict(stated) == {day(number): day(number) in checksums for number in zips}


@pytest.mark.parametrize("known", [None, 2579, 2400])
def test_a_window_takes_one_request(known: int | None) -> None:
    bucket = KeyBucket(both_keys(range(2600)))
    listing = bucket.list_days(span(2580, 2599), None if known is None else day(known))
    assert found(listing) == list(range(2580, 2600))
    assert len(bucket.asked) == 1


def test_a_window_of_an_ended_contract_takes_one_request_from_its_last_file_on() -> None:
    bucket = KeyBucket(both_keys(range(1000)))
    assert found(bucket.list_days(span(2580, 2599), known_day=day(999))) == []
    assert len(bucket.asked) == 1


def test_days_between_a_known_one_long_ago_and_the_window_are_skipped() -> None:
    bucket = KeyBucket(both_keys(range(2600)))
    assert found(bucket.list_days(span(2580, 2599), known_day=day(3))) == list(range(2580, 2600))
    assert len(bucket.asked) == 2


def test_a_contract_may_have_ended_in_the_days_that_are_skipped() -> None:
    bucket = KeyBucket(both_keys(range(1200)))
    assert found(bucket.list_days(span(2580, 2599), known_day=day(3))) == []
    assert len(bucket.asked) == 2


def test_a_known_day_is_not_in_the_answer() -> None:
    bucket = KeyBucket(both_keys(range(100)))
    assert found(bucket.list_days(span(90, 99), known_day=day(80))) == list(range(90, 100))


def test_a_known_day_that_is_gone_is_believed_when_it_is_asked_for_again() -> None:
    bucket = KeyBucket(both_keys(range(999)))
    assert found(bucket.list_days(span(2580, 2599), known_day=day(999))) == []
    assert len(bucket.asked) == 3


@pytest.mark.parametrize("empty_answers", [1, 2, 3])
def test_empty_answers_are_not_believed_where_a_known_day_then_shows(empty_answers: int) -> None:
    empty = {"IsTruncated": False, "KeyCount": 0, "Contents": None}
    bucket = KeyBucket(both_keys(range(1000)), changed=dict.fromkeys(range(1, empty_answers + 1), empty))
    with pytest.raises(UnexpectedAnswer, match="the listing shows no file in it"):
        bucket.list_days(span(2580, 2599), known_day=day(999))


def test_a_folder_that_has_only_other_intervals_has_no_file() -> None:
    bucket = KeyBucket([f"{DEFAULT_DATASET.root}BTCUSDT/1h/BTCUSDT-1h-2020-01-01.zip"])
    assert found(bucket.list_days(span(0, 20))) == []


def test_an_empty_answer_counts_if_the_folder_has_older_files() -> None:
    bucket = KeyBucket(both_keys(range(1000)))
    assert found(bucket.list_days(span(2580, 2599))) == []
    assert len(bucket.asked) == 3


def test_an_empty_answer_counts_if_the_folder_has_newer_files() -> None:
    assert found(KeyBucket(both_keys(range(50, 60))).list_days(span(0, 20))) == []


def test_an_empty_folder_is_not_believed() -> None:
    with pytest.raises(
        UnexpectedAnswer, match="BTCUSDT: the folder is there, but the listing shows no file in it"
    ):
        KeyBucket([]).list_days(span(0, 20))


@pytest.mark.parametrize("empty_answers", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 5, 2590])
def test_empty_answers_are_not_believed_where_the_folder_then_shows_such_a_file(
    start: int, empty_answers: int
) -> None:
    empty = {"IsTruncated": False, "KeyCount": 0, "Contents": None}
    bucket = KeyBucket(both_keys(range(2600)), changed=dict.fromkeys(range(1, empty_answers + 1), empty))
    with pytest.raises(UnexpectedAnswer, match="the listing shows no file in it"):
        bucket.list_days(span(start, 2599))


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_a_page_that_ends_too_early_is_contradicted_by_the_next(number: int) -> None:
    cut = {"IsTruncated": False, "KeyCount": 0, "Contents": None}
    bucket = KeyBucket(both_keys(range(2600)), changed={number: cut})
    with pytest.raises(UnexpectedAnswer, match=r"BTCUSDT: the pages .* contradict each other"):
        bucket.list_days(span(0, 2599), threads=1)


def test_half_a_page_that_says_it_is_the_last_is_contradicted_by_the_next() -> None:
    half = both_keys(range(500, 750))
    answer = {"IsTruncated": False, "KeyCount": len(half), "Contents": as_entries(half)}
    bucket = KeyBucket(both_keys(range(2600)), changed={2: answer})
    with pytest.raises(UnexpectedAnswer, match="contradict each other"):
        bucket.list_days(span(0, 2599), threads=1)


def test_a_page_that_says_more_follows_is_contradicted_by_nothing_following() -> None:
    lie = {"IsTruncated": True, "NextContinuationToken": "more"}
    bucket = KeyBucket(both_keys(range(500)), changed={1: lie})
    with pytest.raises(UnexpectedAnswer, match="contradict each other"):
        bucket.list_days(span(0, 2599))


@pytest.mark.parametrize(
    ("column", "wrong", "reason"),
    [("sizes", b"-1", "a size is no number"), ("last_modified", b"soon", "not in UTC")],
)
def test_an_unreadable_size_or_time_is_an_error(column: str, wrong: bytes, reason: str) -> None:
    right = as_entries(both_keys(range(3)))
    entries = right._replace(**{column: [wrong, *getattr(right, column)[1:]]})
    bucket = KeyBucket(both_keys(range(3)), changed={1: {"Contents": entries}})
    with pytest.raises(UnexpectedAnswer, match=f"BTCUSDT: .*unreadable size or last-modified: .*{reason}"):
        bucket.list_days(span(0, 2))


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (both_keys([1, 0]), "twice or out of order"),
        (both_keys([0, 0]), "twice or out of order"),
        (both_keys([0], "BTDUSDT"), "outside"),
        (["data/futures/um/daily/klines/BTCUSDT/1m"], "out of order"),
        (both_keys([0, 1]) + both_keys([2], "BTDUSDT"), "outside"),
    ],
)
def test_keys_where_none_can_be_are_not_believed(names: list[str], problem: str) -> None:
    answer = {"Contents": as_entries(names), "KeyCount": len(names)}
    bucket = KeyBucket(both_keys(range(9)), changed={1: answer})
    with pytest.raises(UnexpectedAnswer, match=problem):
        bucket.list_days(span(0, 8))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"KeyCount": 19}, "announces 19 keys and has 18"),
        ({"KeyCount": 0}, "announces 0 keys and has 18"),
        ({"IsTruncated": True}, "cut off without saying where it goes on"),
        ({"IsTruncated": True, "NextContinuationToken": ""}, "cut off without saying"),
        (
            {
                "IsTruncated": True,
                "NextContinuationToken": "x",
                "KeyCount": 0,
                "Contents": Entries([], [], []),
            },
            "first key",
        ),
    ],
)
def test_a_page_that_contradicts_itself_is_not_believed(answer: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=f"BTCUSDT: .*{problem}"):
        KeyBucket(both_keys(range(9)), changed={1: answer}).list_days(span(0, 8))


def test_a_listing_of_a_folder_has_no_folders() -> None:
    folders = {"CommonPrefixes": [{"Prefix": f"{DEFAULT_DATASET.root}ZUSDT/"}], "KeyCount": 19}
    with pytest.raises(UnexpectedAnswer, match="outside"):
        KeyBucket(both_keys(range(9)), changed={1: folders}).list_days(span(0, 8))


def test_a_key_count_is_not_needed() -> None:
    bucket = KeyBucket(both_keys(range(9)))
    page = bucket.list_page(Prefix=DEFAULT_DATASET.folder("BTCUSDT"), MaxKeys=1000)
    del page["KeyCount"]
    bucket.list_page = lambda *_, **__: page  # type: ignore[method-assign]
    assert found(bucket.list_days(span(0, 8))) == list(range(9))


def test_keys_are_decoded_only_if_the_page_says_so() -> None:
    encoded = [key.replace("-", "%2D") for key in both_keys(range(3))]
    answer = {"Contents": as_entries(encoded), "EncodingType": "url"}
    assert found(KeyBucket(both_keys(range(3)), changed={1: answer}).list_days(span(0, 2))) == [0, 1, 2]


def test_failures_of_several_contracts_come_together() -> None:
    bucket = KeyBucket(both_keys(range(9)))
    queries = [FolderQuery(symbol, span(0, 8)) for symbol in ("BTCUSDT", "AUSDT", "BUSDT")]
    with pytest.raises(ArchiveFailures, match="2 of 3 symbols failed") as raised:
        list_files(bucket.as_bucket(), queries, connections=2, progress=Progress())
    assert {failure.symbol for failure in raised.value.failures} == {"AUSDT", "BUSDT"}


@pytest.mark.parametrize("held", [range(2600), range(0, 2600, 3), range(700)])
def test_progress_ends_where_it_said_it_would(held: range) -> None:
    bucket, progress = KeyBucket([*both_keys(held), *ODD]), Count(total=1)
    listing = list_files(
        bucket.as_bucket(), [FolderQuery("BTCUSDT", span(0, 2599))], connections=3, progress=progress
    )
    assert progress.done == progress.total == listing.pages

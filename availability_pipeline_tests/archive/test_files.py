"""Files as Arrow tables: only the contract's zips count, and a size or a time that cannot be read is never guessed."""

from __future__ import annotations

import datetime as dt

import pytest

from availability_pipeline.archive.files import FILES, files_of_page, join_files
from availability_pipeline.archive.names import FileKey
from availability_pipeline.catalogue.datasets import CHECKSUM, DEFAULT_DATASET

STAMP = b"2024-01-16T08:12:33.000Z"
HEAD = f"{DEFAULT_DATASET.folder('BTCUSDT')}BTCUSDT-1m-"


def days_of(*names: str) -> list[str]:
    batch = files_of_page(DEFAULT_DATASET, "BTCUSDT", list(names), [STAMP] * len(names), [b"7"] * len(names))
    return [str(day) for day in batch.column("date").to_pylist()]


def test_a_file_has_day_symbolsize_and_time() -> None:
    batch = files_of_page(
        DEFAULT_DATASET,
        "龙虾USDT",
        [f"{DEFAULT_DATASET.folder('龙虾USDT')}龙虾USDT-1m-2024-01-15.zip"],
        [STAMP],
        [b"65000"],
    )
    assert batch.schema == FILES
    assert batch.to_pylist() == [
        {
            "date": dt.date(2024, 1, 15),
            "symbol": "龙虾USDT",
            "file_size_bytes": 65000,
            "last_modified": dt.datetime(2024, 1, 16, 8, 12, 33),  # noqa: DTZ001 - UTC without a zone, as stored
            "has_checksum": False,
        }
    ]


def test_checksums_and_other_objects_are_left_out() -> None:
    day = f"{HEAD}2024-01-15"
    assert days_of(f"{day}.zip", f"{day}.zip.CHECKSUM", f"{day}.csv", f"{HEAD}x.zip", f"{day[:-1]}.zip") == [
        "2024-01-15"
    ]


@pytest.mark.parametrize("change", range(8))
def test_a_page_of_pairs_is_read_like_any_other(change: int) -> None:
    """With a key that fits nowhere, or one less, the page is no longer one of pairs, and the files are the same."""
    names = [f"{HEAD}2024-01-{day}.zip{end}" for day in range(10, 20) for end in ("", CHECKSUM)]
    stamps = [f"2024-02-{at:02}T08:12:33.000Z".encode() for at in range(1, 21)]
    whole = files_of_page(DEFAULT_DATASET, "BTCUSDT", names, stamps, [b"%d" % at for at in range(20)])
    assert whole.column("has_checksum").to_pylist() == [True] * 10
    assert whole.column("file_size_bytes").to_pylist() == list(range(0, 20, 2))
    assert [moment.day for moment in whole.column("last_modified").to_pylist()] == list(range(1, 21, 2))
    at = 2 * change + 1
    for added in (
        f"{names[at]}x",
        f"{HEAD}2024-01-1x.zip",
        f"{HEAD}2024-01-32.zip",
        f"{HEAD[:-2]}5m-2024-01-15.zip",
    ):
        rows = [*range(at), -1, *range(at, 20)]
        part = files_of_page(
            DEFAULT_DATASET,
            "BTCUSDT",
            [added if row < 0 else names[row] for row in rows],
            [stamps[row] for row in rows],
            [b"%d" % row if row >= 0 else b"7" for row in rows],
        )
        assert part == whole
    del names[at], stamps[at]
    part = files_of_page(DEFAULT_DATASET, "BTCUSDT", names, stamps, [b"7"] * 19)
    assert part.column("date") == whole.column("date")
    assert part.column("has_checksum").to_pylist() == [day != change for day in range(10)]


@pytest.mark.parametrize(
    ("names", "checksums"),
    [
        (["15.zip", "16.zip"], [False, False]),
        (["15.zip", "15.zip.CHECKSUM", "16.zip", "17.zip"], [True, False, False]),
        (["15.zip", "16.zip.CHECKSUM"], [False]),
        (["15.csv", "15.csv.CHECKSUM"], []),
        (["15.zip.zip", "15.zip.zip.CHECKSUM"], []),
    ],
)
def test_keys_in_the_places_of_pairs_need_not_be_pairs(names: list[str], checksums: list[bool]) -> None:
    keys = [f"{HEAD}2024-01-{name}" for name in names]
    batch = files_of_page(DEFAULT_DATASET, "BTCUSDT", keys, [STAMP] * len(keys), [b"7"] * len(keys))
    assert batch.column("has_checksum").to_pylist() == checksums


def test_pairs_of_another_interval_are_none_of_ours() -> None:
    key = f"{HEAD.removesuffix('1m-')}5m-2024-01-15.zip"
    assert days_of(key, key + CHECKSUM) == []


def test_a_checksum_is_that_of_its_own_zip() -> None:
    names = [f"{HEAD}2024-01-15.zip", f"{HEAD}2024-01-15.zip.AAA", f"{HEAD}2024-01-15.zip.CHECKSUM"]
    names += [f"{HEAD}2024-01-16.zip", f"{HEAD}2024-01-17.zip.CHECKSUM"]
    batch = files_of_page(DEFAULT_DATASET, "BTCUSDT", names, [STAMP] * len(names), [b"7"] * len(names))
    assert batch.column("has_checksum").to_pylist() == [True, False]


def test_a_checksum_on_another_page_counts() -> None:
    batches = [
        files_of_page(DEFAULT_DATASET, "BTCUSDT", [f"{HEAD}2024-01-{day}.zip"], [STAMP], [b"7"])
        for day in (15, 16)
    ]
    table = join_files(batches, [FileKey("BTCUSDT", dt.date(2024, 1, 16), checksum=True)])
    assert (table.schema, table["has_checksum"].to_pylist()) == (FILES, [False, True])


def test_another_contracts_file_is_left_out() -> None:
    assert (
        days_of(f"{DEFAULT_DATASET.folder('BTCUSDT')}ETHUSDT-1m-2024-01-15.zip", f"x{HEAD[1:]}2024-01-15.zip")
        == []
    )


@pytest.mark.parametrize(
    "day", ["2024-02-30", "2024-13-01", "0000-00-00", "x024-01-01", "2024-1-015", "２０２４-01-01"]
)
def test_a_day_that_does_not_exist_is_left_out_and_the_others_stay(day: str) -> None:
    assert days_of(f"{HEAD}2024-01-15.zip", f"{HEAD}{day}.zip", f"{HEAD}2024-01-17.zip") == [
        "2024-01-15",
        "2024-01-17",
    ]


def test_the_fraction_of_a_second_is_dropped_as_a_head_does_not_tell_it() -> None:
    batch = files_of_page(
        DEFAULT_DATASET, "BTCUSDT", [f"{HEAD}2024-01-15.zip"], [b"2024-01-16T08:12:33.987Z"], [b"7"]
    )
    assert str(batch.column("last_modified")[0]) == "2024-01-16 08:12:33"


@pytest.mark.parametrize("size", [b"", b"-5", b"1_000", b" 7", b"7.0", b"0x10", "１２".encode()])
def test_a_size_must_be_digits(size: bytes) -> None:
    with pytest.raises(ValueError, match="a size is no number"):
        files_of_page(DEFAULT_DATASET, "BTCUSDT", [f"{HEAD}2024-01-15.zip"], [STAMP], [size])


@pytest.mark.parametrize(
    "stamp",
    [
        b"",
        b"2024-01-16T08:12:33+09:00",
        b"yesterdayZ",
        b"2024-01-16T25:00:00Z",
        b"\xff\xffZ",
        b"Tue, 16 Jan 2024",
    ],
)
def test_a_time_must_be_one_in_utc(stamp: bytes) -> None:
    with pytest.raises(ValueError, match=r"UTC|pars|UTF8|Unicode|utf|zone"):
        files_of_page(DEFAULT_DATASET, "BTCUSDT", [f"{HEAD}2024-01-15.zip"], [stamp], [b"7"])


def test_nothing_joins_to_an_empty_table_of_the_same_columns() -> None:
    assert (join_files([]).schema, join_files([]).num_rows) == (FILES, 0)


def test_batches_join_to_one_table() -> None:
    batch = files_of_page(DEFAULT_DATASET, "BTCUSDT", [f"{HEAD}2024-01-15.zip"], [STAMP], [b"7"])
    assert join_files([batch, batch]).num_rows == 2

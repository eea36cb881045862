"""A Parquet file of the first row groups of one and all of another is the same to any reader as one written at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from availability_pipeline.publishing import row_groups
from availability_pipeline.publishing.row_groups import Head, UnknownForm, head_before, join

GROUP = 2048

ROWS = """
SELECT
    DATE '2024-01-01' + (i // 60)::INTEGER AS date, printf('S%02dUSDT', i % 60) AS symbol, i / 7 AS quote_volume,
    if(i % 5 = 0, NULL, i) AS trades, TIMESTAMP '2024-01-01' + INTERVAL (i) SECOND AS at
FROM range($first, $last) AS rows(i)
"""
ALL = 10_000

OPTIONS = f"FORMAT parquet, ROW_GROUP_SIZE {GROUP}, WRITE_BLOOM_FILTER false"


def write(
    path: Path,
    first: int,
    last: int,
    query: str = ROWS,
    options: str = OPTIONS,
    columns: str = "try(COLUMNS(*))",
) -> Path:
    """Rows by their numbers, in a file."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE held AS {query}", {"first": first, "last": last})
        connection.execute(f"COPY (SELECT {columns} FROM held) TO ? ({options})", [str(path)])
    return path


def joined(folder: Path, first: Path, behind: Path, row_groups: int = 3) -> Path:
    path = folder / "joined.parquet"
    join(first, Head(row_groups, dt.date.max, ""), behind, path)
    return path


@pytest.mark.parametrize("behind", [0, 1, 100, GROUP, ALL])
def test_readers_find_the_rows_of_both(tmp_path: Path, behind: int) -> None:
    first, kept = write(tmp_path / "first.parquet", 0, ALL), 3 * GROUP
    path = joined(tmp_path, first, write(tmp_path / "behind.parquet", kept, kept + behind))
    whole = write(tmp_path / "whole.parquet", 0, kept + behind)
    assert pq.read_table(path) == pq.read_table(whole)
    rows = duckdb.connect().read_parquet(str(path)).fetchall()
    assert rows == duckdb.connect().read_parquet(str(whole)).fetchall()
    assert pq.read_metadata(path).num_row_groups == 3 + -(-behind // GROUP)


def test_a_joined_file_can_be_joined_again(tmp_path: Path) -> None:
    path = write(tmp_path / "0.parquet", 0, 3 * GROUP)
    for number in range(1, 20):  # more row groups than a short list has
        behind = write(tmp_path / "behind.parquet", (2 + number) * GROUP, (3 + number) * GROUP)
        again = tmp_path / f"{number}.parquet"
        join(path, Head(2 + number, dt.date.max, ""), behind, again)
        path = again
    assert pq.read_metadata(path).num_row_groups == 22
    assert pq.read_table(path) == pq.read_table(write(tmp_path / "whole.parquet", 0, 22 * GROUP))


def test_what_is_read_of_a_footer_is_written_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "first.parquet", 0, 20 * GROUP)
    with path.open("rb") as file:
        footer, begin = row_groups._footer(file)
        assert row_groups._footer(file) == (footer, begin)
    assert bytes(row_groups._written(row_groups._STRUCT, footer)) == path.read_bytes()[begin:-8]


@pytest.mark.parametrize(
    ("query", "options", "columns"),
    [
        (ROWS.replace("i / 7", "i"), OPTIONS, "try(COLUMNS(*))"),
        (ROWS.replace("trades", "more"), OPTIONS, "try(COLUMNS(*))"),
        (ROWS, OPTIONS, "*"),
        (ROWS, OPTIONS.replace("false", "true"), "try(COLUMNS(*))"),
    ],
    ids=["type", "name", "without NULL", "filters"],
)
def test_files_of_other_forms_are_not_joined(tmp_path: Path, query: str, options: str, columns: str) -> None:
    first = write(tmp_path / "first.parquet", 0, ALL)
    behind = write(tmp_path / "behind.parquet", 3 * GROUP, ALL, query, options, columns)
    with pytest.raises(UnknownForm):
        joined(tmp_path, first, behind)
    with pytest.raises(UnknownForm):
        joined(tmp_path, behind, first, 1)


def test_a_file_of_another_writer_is_not_joined(tmp_path: Path) -> None:
    first = write(tmp_path / "first.parquet", 0, ALL)
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(first), other, write_page_index=True)
    with pytest.raises(UnknownForm):
        joined(tmp_path, first, other)
    (tmp_path / "no.parquet").write_bytes(b"PAR1, but nothing else")
    with pytest.raises(UnknownForm, match="no Parquet file"):
        joined(tmp_path, first, tmp_path / "no.parquet")


@pytest.mark.parametrize("day", range(0, 180, 7))
def test_the_head_has_no_row_of_the_day_or_later(tmp_path: Path, day: int) -> None:
    path, since = write(tmp_path / "first.parquet", 0, ALL), dt.date(2024, 1, 1) + dt.timedelta(days=day)
    table = pq.read_table(path, columns=["date", "symbol"]).to_pylist()
    head = head_before(duckdb.connect(), path, since)
    if head is None:
        assert table[GROUP - 1]["date"] >= since
        return
    last = min(head.row_groups * GROUP, ALL)
    assert table[last - 1] == {"date": head.last_day, "symbol": head.last_symbol}
    assert head.last_day < since
    assert last == ALL or table[min(last + GROUP, ALL) - 1]["date"] >= since

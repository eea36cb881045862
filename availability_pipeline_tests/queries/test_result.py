"""A result behaves as the list of its rows does, and rows and table are made when they are asked for."""

from __future__ import annotations

import copy
import datetime as dt
import importlib.util
import json
import pickle
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from availability_pipeline import AvailabilityQueries, UsageError
from availability_pipeline.queries.api import COLUMNS, LIFECYCLE_COLUMNS, Result
from availability_pipeline_tests.publishing import sample

ROWS = [{"symbol": "BTCUSDT", "days": 2}, {"symbol": "币安人生USDT", "days": None}]


class Made:
    """A result whose parts count how often they are made."""

    def __init__(self) -> None:
        self.rows = self.tables = 0
        self.result: Result[Any] = Result(["symbol", "days"], self._rows, self._table)

    def _rows(self) -> Iterator[dict[str, Any]]:
        self.rows += 1
        return (dict(row) for row in ROWS)

    def _table(self) -> pa.Table:
        self.tables += 1
        return pa.Table.from_pylist(ROWS)


@pytest.fixture
def made() -> Made:
    return Made()


LIKE_A_LIST = {
    "print": lambda rows: f"{rows} {rows!r}",
    "equal": lambda rows: (rows == ROWS, rows == ROWS, rows != ROWS, rows == [], rows == Made().result),
    "length": lambda rows: (len(rows), bool(rows)),
    "index": lambda rows: (rows[0], rows[-1], rows[:1], rows[::-1]),
    "iterate": lambda rows: ([*rows], tuple(rows), list(reversed(rows))),
    "unpack": lambda rows: [first for first, _ in [rows]],
    "contain": lambda rows: (ROWS[1] in rows, {} in rows, rows.index(ROWS[1]), rows.count(ROWS[0])),
    "add": lambda rows: (rows + [1], [1] + rows, rows * 2, 2 * rows),  # noqa: RUF005 - the point of it
    "sort": lambda rows: sorted(rows, key=lambda row: str(row["days"])),
    "json": json.dumps,
    "indented json": lambda rows: json.dumps(rows, indent=2, default=str),
    "copy": lambda rows: (rows.copy(), copy.copy(rows), copy.deepcopy(rows)),
    "pickle": lambda rows: pickle.loads(pickle.dumps(rows)),  # noqa: S301 - our own
    "pandas": lambda rows: pd.DataFrame(rows).to_dict(),
    "polars": lambda rows: pl.DataFrame(rows).to_dicts(),
    "arrow": pa.Table.from_pylist,
}


@pytest.mark.parametrize("name", LIKE_A_LIST)
def test_a_result_is_like_the_list_of_its_rows(made: Made, name: str) -> None:
    assert str(LIKE_A_LIST[name](made.result)) == str(LIKE_A_LIST[name](copy.deepcopy(ROWS)))
    assert (made.rows, made.tables) == (1, 0)


def test_it_can_be_changed_as_a_list_can(made: Made) -> None:
    made.result.append({"symbol": "X", "days": 1})
    made.result.sort(key=lambda row: row["days"] or 0)
    assert [row["days"] for row in made.result] == [None, 1, 2]
    assert made.result.arrow().num_rows == 2
    assert [1].__iadd__(Made().result)[1:] == ROWS  # type: ignore[arg-type]


def test_the_table_is_made_once_and_without_rows(made: Made) -> None:
    assert (made.rows, made.tables) == (0, 0)
    assert made.result.columns == ("symbol", "days")
    assert made.result.arrow() is made.result.arrow()
    assert made.result.df()["days"].tolist()[0] == 2
    assert made.result.pl().columns == ["symbol", "days"]
    assert (made.rows, made.tables) == (0, 1)


def test_a_stream_keeps_nothing(made: Made) -> None:
    assert list(made.result.stream()) == list(made.result.stream()) == ROWS
    assert (made.rows, list.__len__(made.result)) == (2, 0)
    assert made.result[0] is next(made.result.stream())


def test_a_table_is_a_result_with_whole_numbers() -> None:
    kinds = {"sum": pa.decimal128(38, 0), "price": pa.decimal128(9, 2)}
    table = pa.table({"sum": [7, None], "price": [Decimal("1.50"), None]}, pa.schema(kinds))
    assert Result.of_arrow(table) == [{"sum": 7, "price": Decimal("1.50")}, {"sum": None, "price": None}]
    far = Result.of_arrow(pa.table({"day": pa.array([10_000_000], pa.int32()).cast(pa.date32())}))
    with pytest.raises(UsageError, match=r"has a value that Python cannot hold .*; cast it to VARCHAR"):
        len(far)


@pytest.mark.parametrize(("library", "form"), [("pandas", "df"), ("polars", "pl")])
def test_a_library_that_is_not_there_is_named(
    made: Made, monkeypatch: pytest.MonkeyPatch, library: str, form: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as caught:
        getattr(made.result, form)()
    assert f"{library} is not installed" in str(caught.value)
    assert f"binance-futures-availability[{library}]" in str(caught.value)


def test_results_outlive_their_queries(tmp_path: Path) -> None:
    path = sample.copy_published(tmp_path).path
    day, files = sample.DAYS[25], sample.sample_files()
    expected = [
        sample.expected_row(day, name, files) for name in sorted(sample.SPANS) if (day, name) in files
    ]
    with AvailabilityQueries(path) as queries:
        results = [queries.get_available_symbols_on_date(day) for _ in range(2)]
        lifecycle = queries.get_lifecycle()
        sample.publish_sample(tmp_path, sample.sample_files(seed=2))
        assert queries.reload()
    assert results[0] == expected
    assert results[1].arrow().to_pylist() == expected
    assert lifecycle.columns == LIFECYCLE_COLUMNS == tuple(lifecycle[0])


def test_rows_of_contracts_agree_with_their_table(tmp_path: Path) -> None:
    with AvailabilityQueries(sample.copy_published(tmp_path).path) as queries:
        result = queries.get_availability_range(sample.FIRST_DAY, sample.LAST_DAY, ["ethusdt", "BTCUSDT"])
    assert result.arrow().to_pylist() == result
    assert [*dict.fromkeys(row["symbol"] for row in result)] == ["ETHUSDT", "BTCUSDT"]
    assert result.columns == COLUMNS
    assert result.df()["date"].dt.date.tolist() == [row["date"] for row in result]
    assert isinstance(result[0]["date"], dt.date)

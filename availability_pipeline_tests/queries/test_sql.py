"""Answers of a caller's own SQL: values, columns, bounds of time, memory and rows, interruption, damaged files."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from availability_pipeline.errors import PublishedDatabaseError, UsageError
from availability_pipeline.queries.sql import Bounds, Parameters, run_sql
from availability_pipeline_tests.conftest import run_python
from availability_pipeline_tests.publishing import sample

FILES = sample.sample_files()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.copy_published(tmp_path_factory.mktemp("running")).path


def rows(path: Path, query: str, parameters: Parameters = (), **bounds: Any) -> list[dict[str, Any]]:
    with run_sql(path, query, parameters, Bounds(**bounds)) as result:
        return list(result.rows())


def test_an_answer_is_what_the_database_has(path: Path) -> None:
    query = "SELECT symbol, sum(file_size_bytes) AS size FROM daily_availability WHERE available GROUP BY ALL"
    sizes: dict[str, int] = {}
    for (_, symbol), (size, _) in FILES.items():
        sizes[symbol] = sizes.get(symbol, 0) + size
    found = rows(path, query)
    assert {row["symbol"]: row["size"] for row in found} == sizes
    assert {type(row["size"]) for row in found} == {int}


@pytest.mark.parametrize(
    ("condition", "parameters"),
    [
        ("date = ? AND symbol = ?", (sample.DAYS[25], "币安人生USDT")),
        ("date = $day AND symbol = $name", {"name": "币安人生USDT", "day": sample.DAYS[25]}),
    ],
)
def test_parameters_keep_their_types(path: Path, condition: str, parameters: Parameters) -> None:
    found = rows(path, f"FROM daily_availability WHERE {condition}", parameters)
    assert found == [sample.expected_row(sample.DAYS[25], "币安人生USDT", FILES)]


def test_values_come_as_python_has_them_and_columns_by_different_names(path: Path) -> None:
    query = (
        "SELECT DATE '2024-01-15' AS a, 1.5 AS a, NULL AS a_1, [1] AS b, TIMESTAMP '2024-01-15 01:02:03' AS c"
    )
    with run_sql(path, query) as result:
        assert result.columns == ("a", "a_1", "a_1_1", "b", "c")
        [row] = result.rows()
    moment = dt.datetime(2024, 1, 15, 1, 2, 3)  # noqa: DTZ001 - as the database stores UTC
    assert list(row.values()) == [dt.date(2024, 1, 15), Decimal("1.5"), None, [1], moment]


def test_an_answer_without_rows_has_columns(path: Path) -> None:
    with run_sql(path, "FROM symbols LIMIT 0") as result:
        assert result.to_arrow().num_rows == 0
        assert result.columns[0] == "symbol"


@pytest.mark.parametrize(
    ("query", "bounds", "message"),
    [
        ("SELECT count(*) FROM range(10000000000) a, range(1000) b", {"timeout_seconds": 0.5}, "longer than 0.5 s"),
        ("CREATE TEMP TABLE t AS FROM range(10000000000); FROM t", {"timeout_seconds": 0.001}, "longer than 0.001 s"),
        ("SELECT list(i) FROM range(100000000) t(i)", {"memory_limit_mb": 64}, "more memory than it is allowed"),
        ("FROM range(50001)", {"max_rows": 50_000}, "more than 50,000 rows; add a LIMIT, or raise max_rows"),
        ("SELECT if(i = 60000, error('late'), i) FROM range(60001) t(i)", {}, "Invalid Input Error: late"),
        ("SELECT nosuch FROM symbols", {}, 'Referenced column "nosuch" not found'),
        ("SELECT ?", {}, "Values were not provided"),
    ],
)  # fmt: skip
def test_what_fails_is_wrong_usage_in_one_line(
    path: Path, query: str, bounds: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        rows(path, query, **bounds)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_as_many_rows_as_are_allowed_are_given(path: Path) -> None:
    assert len(rows(path, "FROM range(50000)", max_rows=50_000)) == 50_000


def test_a_parameter_that_sql_does_not_know_is_named(path: Path) -> None:
    with pytest.raises(UsageError, match="a parameter is of a type that SQL does not know"):
        run_sql(path, "SELECT ?", parameters=[object()])


def test_a_damaged_file_is_named(path: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(path, tmp_path / "damaged.duckdb"))
    content = bytearray(damaged.read_bytes())
    middle = len(content) // 4
    content[middle : middle * 3] = bytes(middle * 2)
    damaged.write_bytes(content)
    with pytest.raises(PublishedDatabaseError, match=r"damaged\.duckdb is damaged"):
        rows(damaged, "SELECT sum(hash(COLUMNS(*))) FROM daily_availability")


def test_damage_that_only_the_query_meets_is_damage_of_the_file(path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.duckdb"
    content = bytearray(path.read_bytes())
    with duckdb.connect(str(path), read_only=True) as connection:
        [(block,)] = connection.execute(
            "SELECT min(block_id) FROM pragma_storage_info('availability_by_date') WHERE persistent AND block_id >= 0"
        ).fetchall()
    content[3 * 4096 + block * 256 * 1024 + 100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(PublishedDatabaseError, match=r"damaged\.duckdb is damaged .*publish --rollback"):
        rows(damaged, "SELECT * FROM daily_availability")


@pytest.mark.parametrize(
    ("bound", "value"),
    [("timeout_seconds", 0), ("timeout_seconds", float("nan")), ("timeout_seconds", float("inf")),
     ("memory_limit_mb", -5), ("memory_limit_mb", 1.5), ("max_rows", 0)],
)  # fmt: skip
def test_a_bound_that_bounds_nothing_is_refused(path: Path, bound: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"{bound} \(--\S+\) is {value}, but it must be"):
        rows(path, "SELECT 1", **{bound: value})


@pytest.mark.parametrize("value", ["timestamp 'infinity'", "date '20000-01-01'"])
def test_a_moment_that_python_cannot_hold_is_wrong_usage(path: Path, value: str) -> None:
    with pytest.raises(UsageError, match=r"a value that Python cannot hold \(.+\); cast it to VARCHAR"):
        rows(path, f"SELECT {value} AS moment")
    assert len(rows(path, f"SELECT ({value})::VARCHAR AS moment")) == 1


BEHAVIOUR = """
    import os, resource, signal, sys, threading, time
    from pathlib import Path
    from availability_pipeline.errors import UsageError
    from availability_pipeline.queries.sql import Bounds, run_sql
    path = Path(sys.argv[1])
"""

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(1000) b"


def test_an_answer_larger_than_its_memory_streams(path: Path) -> None:
    code = """
    bounds = Bounds(memory_limit_mb=64, max_rows=10_000_000)
    with run_sql(path, "SELECT i, repeat('x', 200) AS text FROM range(3000000) t(i)", bounds=bounds) as result:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(sum(batch.num_rows for batch in result.batches()))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000)
    """
    assert run_python(BEHAVIOUR + code, path).split() == ["3000000", "True"]


def test_ctrl_c_ends_a_query(path: Path) -> None:
    code = f"""
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        run_sql(path, "{ENDLESS}")
    except KeyboardInterrupt:
        print("interrupted", threading.active_count())
    with run_sql(path, "SELECT 1 AS i") as result:
        print(list(result.rows()))
    """
    assert run_python(BEHAVIOUR + code, path).splitlines() == ["interrupted 1", "[{'i': 1}]"]


def test_a_call_that_duckdb_does_not_interrupt_is_left_behind(path: Path) -> None:
    code = """
    began = time.monotonic()
    try:
        run_sql(path, "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))", bounds=Bounds(0.2))
    except UsageError as error:
        print(error)
    print(time.monotonic() - began < 20)
    """
    told, in_time = run_python(BEHAVIOUR + code, path).splitlines()
    assert told.startswith("the query took longer than 0.2 seconds and was ended; ask for less")
    assert in_time == "True"


def test_an_answer_that_is_not_read_to_its_end_can_be_closed(path: Path) -> None:
    with run_sql(path, "FROM range(1000000)") as result:
        assert next(result.rows()) == {"range": 0}
    with pytest.raises(UsageError):
        list(result.rows())


def test_a_caller_may_take_its_time_between_two_reads(path: Path) -> None:
    with run_sql(path, "FROM range(100000)", bounds=Bounds(timeout_seconds=20)) as result:
        rows = result.rows()
        assert next(rows) == {"range": 0}
        left = result._seconds_left
        threading.Event().wait(0.2)
        assert result._seconds_left == left
        assert sum(1 for _ in rows) == 99_999

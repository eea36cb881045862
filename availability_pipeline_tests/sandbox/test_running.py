"""Queries in the process that is made for them: answers, bounds, and the rights that the process does not have."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from availability_pipeline.errors import PublishedDatabaseError, UsageError
from availability_pipeline.sandbox.running import Parameters, run_sql
from availability_pipeline_tests.conftest import run_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.sandbox.test_grammar import snapshot

FILES = sample.sample_files()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.publish_sample(tmp_path_factory.mktemp("running")).path


def rows(path: Path, query: str, parameters: Parameters = (), **bounds: Any) -> list[dict[str, Any]]:
    with run_sql(path, query, parameters=parameters, **bounds) as result:
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
        ("SELECT count(*) FROM range(10000000000) a, range(1000) b", {"timeout_seconds": 1.5}, "longer than 1.5 s"),
        # One call that DuckDB does not interrupt.
        ("SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))", {"timeout_seconds": 1.5}, "longer than"),
        ("SELECT list(i) FROM range(100000000) t(i)", {"memory_limit_mb": 64}, "more memory than it is allowed"),
        # Memory that DuckDB's own limit does not count.
        ("SELECT length(repeat('x', 3000000000))", {"memory_limit_mb": 64}, "more memory than it is allowed"),
        ("FROM range(50001)", {"max_rows": 50_000}, "more than 50,000 rows; add a LIMIT, or raise max_rows"),
        ("SELECT if(i = 60000, error('late'), i) FROM range(60001) t(i)", {}, "Invalid Input Error: late"),
        ("SELECT nosuch FROM symbols", {}, 'Referenced column "nosuch" not found'),
        ("SELECT ?", {}, "Values were not provided"),
        ("DROP TABLE symbols", {}, "only a SELECT is run here"),
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


def test_an_answer_that_nobody_reads_to_its_end_costs_nothing_more(path: Path) -> None:
    with run_sql(path, "FROM range(1000000)") as result:
        assert next(result.rows()) == {"range": 0}
    assert result._process.returncode is not None


def test_a_damaged_file_is_named(path: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(path, tmp_path / "damaged.duckdb"))
    content = bytearray(damaged.read_bytes())
    middle = len(content) // 4
    content[middle : middle * 3] = bytes(middle * 2)
    damaged.write_bytes(content)
    with pytest.raises(PublishedDatabaseError, match=r"damaged\.duckdb is damaged"):
        rows(damaged, "SELECT sum(hash(COLUMNS(*))) FROM daily_availability")


def test_the_process_can_open_no_file_no_socket_and_write_nothing(path: Path, tmp_path: Path) -> None:
    before = snapshot(path.parent)
    code = """
        import os, socket, sys
        from availability_pipeline.sandbox import worker
        request = {"path": sys.argv[1], "threads": 1, "memory_limit_mb": 64, "timeout_seconds": 5}
        written = open(sys.argv[2], "wb", buffering=0)
        connection = worker._open(request)
        worker._give_up_rights(request)

        def refused(action):
            try:
                action()
            except OSError as error:
                return os.strerror(error.errno)
            except MemoryError:
                return "no memory"

        print(refused(lambda: open(sys.argv[1], "rb")))
        print(refused(lambda: open(sys.argv[2] + ".new", "wb")))
        print(refused(socket.socket))
        print(refused(lambda: written.write(b"x")))
        print(refused(lambda: bytearray(1_000_000_000)))
        print(connection.execute("SELECT count(*) FROM daily_availability").fetchall())
    """
    said = run_python(code, path, tmp_path / "written").splitlines()
    few = "Too many open files"
    assert said == [
        few,
        few,
        few,
        "File too large",
        "no memory",
        f"[({len(sample.DAYS) * len(sample.SPANS)},)]",
    ]
    assert snapshot(path.parent) == before


def test_the_environment_stays_outside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_ALERT_URLS", "https://example.invalid/secret")
    with run_sql(path, "FROM range(1000000)") as result:
        environ = Path(f"/proc/{result._process.pid}/environ").read_bytes()
    assert b"PATH=" in environ
    assert b"WEBHOOK" not in environ


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

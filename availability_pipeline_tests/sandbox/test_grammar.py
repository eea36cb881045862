"""Every attack is refused by what it is made of, and comes to nothing in a locked DuckDB that does not look at that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from availability_pipeline.sandbox import worker
from availability_pipeline.sandbox.grammar import Refused, check
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.sandbox import attacks

RELATIONS = {"symbols", "daily_availability", "publication"}


def parsed(query: str) -> str:
    [(text,)] = duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    return str(text)


@pytest.fixture(scope="module")
def duckdbs() -> list[str]:
    with duckdb.connect() as connection:
        return worker._names(connection, worker._DUCKDBS)


@pytest.mark.parametrize("query", attacks.ALL)
def test_an_attack_is_refused(duckdbs: list[str], query: str) -> None:
    with pytest.raises(Refused):
        check(parsed(query), RELATIONS, duckdbs)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "SELECT 1;",
        "VALUES (1), (2)",
        "FROM SYMBOLS",
        'TABLE "symbols"',
        "FROM published.symbols, published.main.publication",
        "SELECT s.symbol, count(*) FROM symbols s LEFT JOIN daily_availability d USING (symbol) GROUP BY ALL",
        "WITH a AS (FROM symbols), B AS MATERIALIZED (FROM A) FROM b ORDER BY ALL LIMIT 3 OFFSET 1",
        "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
        "SELECT * EXCLUDE (symbol), COLUMNS('s.*') FROM symbols QUALIFY row_number() OVER (ORDER BY symbol) = 1",
        "FROM range(3) t(i), generate_series(1, 2), unnest([1, 2])",
        "SELECT 1 UNION ALL BY NAME SELECT 2 INTERSECT SELECT 3 EXCEPT SELECT 4",
        "FROM (PIVOT symbols ON quote IN ('USDT') USING count(*))",
        "UNPIVOT publication ON row_count, file_count",
        "FROM symbols ASOF JOIN daily_availability USING (symbol, date)",
        "SELECT list_transform([1], lambda x: x + 1), {'a': 1}, MAP {'a': 1}, DATE '2024-01-15', 1.5::DECIMAL(9, 2)",
        "SELECT (SELECT max(date) FROM daily_availability) - INTERVAL 7 DAY",
        "DESCRIBE symbols",
        "DESCRIBE SELECT 1",
        "SUMMARIZE daily_availability",
        "SHOW TABLES",
        "FROM symbols TABLESAMPLE 10 ROWS",
        "SELECT $symbol, $start",
        "SELECT random(), now(), current_date, uuid()",
    ],
)
def test_a_question_is_not(duckdbs: list[str], query: str) -> None:
    check(parsed(query), RELATIONS, duckdbs)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "one SELECT is run at a time, and this is none"),
        ("-- nothing", "one SELECT is run at a time, and this is none"),
        ("SELECT 1; SELECT 2", "one SELECT is run at a time, and this is 2 statements"),
        ("SELEC 1", 'the query is not understood (syntax error at or near "SELEC")'),
        (
            "WITH a AS (COPY symbols TO 'x') FROM a",
            "only reading is allowed here, and the query has COPY in it",
        ),
        ("FROM nosuch", "the published database has no relation nosuch; SHOW TABLES lists what it has"),
        (
            "WITH Duckdb_Views AS (SELECT 1) FROM duckdb_views",
            "duckdb_views is a view of DuckDB's own; use another name in WITH",
        ),
        ("FROM read_text('x')", "read_text() is not allowed in a FROM clause here"),
        ("SELECT " + "+".join("1" * 990), "the query is nested too deeply; take it apart with WITH"),
    ],
)
def test_a_refusal_says_why(duckdbs: list[str], query: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        check(parsed(query), RELATIONS, duckdbs)
    assert str(caught.value) == message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sandbox")
    path = sample.publish_sample(folder).path
    (folder / "secret.csv").write_text("secret\nhunter2\n", encoding="utf-8")
    duckdb.execute(
        "COPY (SELECT 'hunter2' AS secret) TO ? (FORMAT parquet)", [str(folder / "secret.parquet")]
    )
    with duckdb.connect(folder / "other.duckdb") as other:
        other.execute("CREATE TABLE t AS SELECT 'hunter2' AS secret")
    assert path.exists()
    return folder


@pytest.fixture
def locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    monkeypatch.chdir(folder)
    request: dict[str, Any] = {
        "path": str(folder / "availability.duckdb"),
        "threads": 1,
        "memory_limit_mb": 256,
    }
    with worker._open(request) as connection:
        worker._lock(connection)
        yield connection


SETTINGS = "SELECT name, value FROM duckdb_settings() ORDER BY name"

# They read memory at an address, which is why DuckDB must never see them.
LETHAL = ("arrow_scan", "pandas_scan", "python_map_function", "finalize", "__internal")


def test_duckdb_alone_gives_nothing_away_and_leaves_nothing_behind(
    folder: Path, locked: duckdb.DuckDBPyConnection
) -> None:
    a_python_table = duckdb.sql("SELECT 'hunter2' AS secret").to_arrow_table()
    assert a_python_table.num_rows == 1
    before, files = locked.execute(SETTINGS).fetchall(), snapshot(folder)
    stolen = []
    for query in attacks.ALL:
        if any(word in query for word in LETHAL):
            continue
        with suppress(duckdb.Error):
            stolen += [(query, row) for row in locked.execute(query).fetchall() if "hunter2" in str(row)]
        with suppress(duckdb.Error):
            locked.execute("ROLLBACK")
        locked.execute("USE published")
    assert stolen == []
    assert snapshot(folder) == files
    assert locked.execute(SETTINGS).fetchall() == before


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

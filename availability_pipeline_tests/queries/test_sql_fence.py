"""Nothing is written, nothing but the published relations is read, and no query lifts the restrictions.

Every attack runs in the confined connection itself, where no look at statements comes before DuckDB, and through
`run_sql`. DuckDB's version decides on this, so the tests use the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pytest

from availability_pipeline.errors import UsageError
from availability_pipeline.publishing.opening import open_published
from availability_pipeline.queries.sql import Bounds, _confine, run_sql
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.queries import attacks

SECRET = "hunter2"  # noqa: S105 - what the attacks are after

CONFIGURATION = "SELECT name, value FROM duckdb_settings() ORDER BY name"


class Place(NamedTuple):
    """A data directory with secrets in it, which is also the current directory and the home of the user."""

    folder: Path
    path: Path
    working: Path

    def filled(self, attack: str) -> str:
        return attack.replace("{path}", str(self.path)).replace("{working}", str(self.working))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("fence")
    path = sample.copy_published(folder).path
    (folder / "secret.csv").write_text(f"secret\n{SECRET}\n", encoding="utf-8")
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT '{SECRET}' AS secret) TO '{folder}/secret.parquet' (FORMAT parquet)"
        )
    with duckdb.connect(folder / "other.duckdb") as other:
        other.execute("CREATE TABLE t AS SELECT ? AS secret", [SECRET])
    working = folder / "working" / "availability.duckdb"
    assert working.exists()
    assert (folder / "manifest.json").exists()
    return Place(folder, path, working)


@pytest.fixture
def place(made: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("HOME", str(made.folder))
    before = contents(made.folder)
    yield made
    assert contents(made.folder) == before


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("attack", attacks.ALL)
def test_a_locked_connection_refuses_an_attack(place: Place, attack: str) -> None:
    a_python_table = pa.table({"secret": [SECRET]})
    assert a_python_table.num_rows == 1
    connection, _ = open_published(place.path)
    with closing(connection):
        _confine(connection, Bounds())
        settings = connection.execute(CONFIGURATION).fetchall()
        with pytest.raises(duckdb.Error) as refused:
            connection.execute(place.filled(attack)).fetchall()
        assert SECRET not in str(refused.value)
        if "DETACH" not in attack:
            assert connection.execute(CONFIGURATION).fetchall() == settings
            assert connection.execute("SELECT count(*) FROM publication").fetchall() == [(1,)]


def test_a_query_that_attacks_is_an_error_of_one_line(place: Place) -> None:
    a_python_table = pa.table({"secret": [SECRET]})
    assert a_python_table.num_rows == 1
    answered, unclear = [], []
    for attack in attacks.ALL:
        try:
            with run_sql(place.path, place.filled(attack)) as result:
                result.to_arrow()
            answered.append(attack)
        except UsageError as error:
            if SECRET in str(error) or "\n" in str(error):
                unclear.append((attack, str(error)))
    assert (answered, unclear) == ([], [])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("COPY symbols TO 'a.csv'", "a query only reads and makes temporary tables, and COPY does neither; write"),
        ("SELECT 1; SET threads = 8; SELECT 2", "and SET does neither; write a SELECT"),
        ("FROM 'secret.csv'", "a query reads the published relations and no file or extension (Permission Error: "),
        ("WITH a AS (COPY symbols TO 'a.csv') FROM a", "a query reads the published relations and no file"),
        ("DELETE FROM symbols; SELECT 1", "the published database is read-only; CREATE TEMP TABLE makes a table of"),
        ("CREATE TEMP TABLE t (i INTEGER)", "the query ends with CREATE, which gives no rows; end it with a SELECT"),
        ("-- nothing", "the query is empty; write a SELECT"),
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("FROM nosuch", "Catalog Error: Table with name nosuch does not exist!"),
        ("SELECT " + "+".join("1" * 2000), "Max expression depth limit of 1000 exceeded"),
    ],
)  # fmt: skip
def test_a_refusal_says_why(place: Place, query: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        run_sql(place.path, query)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1;",
        "VALUES (1), (2)",
        "FROM SYMBOLS",
        "FROM published.symbols, published.main.publication",
        "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
        "PIVOT symbols ON quote USING count(*)",
        "SELECT json_extract('{\"a\": 1}', '$.a'), now(), uuid()",
        "DESCRIBE symbols",
        "SUMMARIZE daily_availability",
        "SHOW TABLES",
        "EXPLAIN FROM symbols",
        "CREATE TEMP TABLE t AS FROM symbols; DELETE FROM t WHERE tracked; DROP TABLE t; SELECT 1",
    ],
)
def test_a_question_is_answered(place: Place, query: str) -> None:
    with run_sql(place.path, query) as result:
        assert result.to_arrow().num_rows > 0


def test_temporary_objects_live_for_one_query(place: Place) -> None:
    setup = "CREATE TEMP TABLE t AS SELECT 1 AS i; CREATE TEMP VIEW v AS FROM t; INSERT INTO t VALUES (2);"
    with run_sql(place.path, f"{setup} FROM v WHERE i < ?", [2]) as result:
        assert list(result.rows()) == [{"i": 1}]
    with pytest.raises(UsageError, match="Table with name t does not exist"):
        run_sql(place.path, "FROM t")


def test_more_than_the_memory_is_not_spilled_to_disk(place: Place) -> None:
    with pytest.raises(UsageError, match="more memory than it is allowed"):
        run_sql(
            place.path,
            "CREATE TEMP TABLE t AS FROM range(100000000); FROM t",
            bounds=Bounds(memory_limit_mb=64),
        )

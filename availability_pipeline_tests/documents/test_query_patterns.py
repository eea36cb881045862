"""docs/schema/queries.json: every pattern runs as it is written, answers as it says, and agrees with the Python API."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline_tests.demo_data import Demo
from availability_pipeline_tests.documents import query_page, schemas
from availability_pipeline_tests.documents.conftest import COLLECTED_AGAIN_AT
from availability_pipeline_tests.documents.patterns import (
    PATTERNS,
    QUERIES,
    Pattern,
    answer,
    examples_of,
    sql_of,
)
from availability_pipeline_tests.publishing import sample

OF_A_METHOD = [name for name, pattern in PATTERNS.items() if pattern["method"]]
METHODS = {
    name
    for name, _ in inspect.getmembers(AvailabilityQueries, inspect.isfunction)
    if not name.startswith("_")
}
OTHER_VALUES: dict[str, list[dict[str, object]]] = {
    "snapshot": [{"date": "2019-09-25"}, {"date": "2026-11-19"}],
    "timeline": [{"symbol": "LUNAUSDT"}, {"symbol": "币安人生USDT"}],
    "range": [{"start": "2019-12-30", "end": "2020-01-02"}],
    "files_of_contracts": [{"start": "2022-05-10", "end": "2022-05-20", "symbols": ["FTTUSDT", "LUNAUSDT"]}],
    "universe": [
        {"date": date, "min_age_days": age}
        for date in (
            "2019-09-25",
            "2022-05-12",
            "2022-06-12",
            "2022-06-15",
            "2022-09-24",
            "2022-11-18",
            "2026-11-19",
        )
        for age in (0, 400)
    ],
    "universe_history": [{"start": "2022-05-01", "end": "2022-12-31", "step": 3, "min_age_days": 45}],
    "lifecycle": [{"symbol": None}],
    "contract": [{"symbol": "BTCUSDT", "as_of": at} for at in (None, "2026-11-20T11:00", "2026-11-20T13:00")],
    "gaps": [{"symbol": "ICPUSDT"}],
    "volume": [{"symbol": "BTCUSDT"}, {"symbol": "币安人生USDT"}],
    "new_listings": [{"date": "2022-09-27"}],
    "delistings": [{"date": "2022-05-13"}, {"date": "2025-01-31"}],
    "changes": [{"since": "2024-01-15"}],
    "summary": [{"start": "2019-09-25", "end": "2026-11-19"}],
}
"""More parameters for the comparison with the Python API."""


def test_the_file_is_as_its_schema_says() -> None:
    assert schemas.problems("queries.schema.json", QUERIES) == []
    assert len(PATTERNS) == len(QUERIES["patterns"])
    wrong = {**QUERIES["patterns"][0], "note": 1}
    assert schemas.problems("queries.schema.json", {**QUERIES, "patterns": [wrong]})


def test_every_question_of_the_python_api_has_a_pattern_or_a_reason() -> None:
    with_pattern = {pattern["method"] for pattern in PATTERNS.values() if pattern["method"]}
    assert with_pattern | QUERIES["without_a_pattern"].keys() == METHODS
    assert with_pattern & QUERIES["without_a_pattern"].keys() == set()


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_answers_as_it_says(name: str, connection: duckdb.DuckDBPyConnection) -> None:
    pattern = PATTERNS[name]
    rows = answer(connection, pattern, examples_of(pattern))
    assert pattern["example"] == {"rows": len(rows), "first": rows[:2]}


@pytest.mark.parametrize("name", PATTERNS)
def test_its_parameters_and_columns_are_all_that_there_are(
    name: str, connection: duckdb.DuckDBPyConnection
) -> None:
    pattern = PATTERNS[name]
    assert set(re.findall(r"\$(\w+)", sql_of(pattern))) == set(examples_of(pattern))
    for each in pattern["parameters"]:
        cast = f"${each['name']}::{each['type']}"
        assert each["type"] == "VARCHAR" or cast in sql_of(pattern)
    relation = connection.sql(sql_of(pattern), params=examples_of(pattern) or None)
    found = list(zip(relation.columns, map(str, relation.types), strict=True))
    assert found == [(column["name"], column["type"]) for column in pattern["columns"]]


@pytest.mark.parametrize("name", PATTERNS)
def test_its_columns_have_the_units_of_the_tables(name: str) -> None:
    for column in PATTERNS[name]["columns"]:
        known = units_of(column["name"])
        assert column.get("unit") in known or not known, column
        assert "unit" in column or column["type"] not in ("BIGINT", "DATE", "TIMESTAMP"), column


def units_of(column: str) -> set[str | None]:
    """The units that a column has in the tables that have it."""
    forms = schemas.load(schemas.ROWS)["$defs"].values()
    return {
        form["properties"][column].get("x-unit") for form in forms if column in form.get("properties", {})
    }


def tables_of(plan: object) -> set[str]:
    """The tables that a plan scans."""
    if isinstance(plan, list):
        return set().union(*map(tables_of, plan))
    assert isinstance(plan, dict)
    table = plan.get("extra_info", {}).get("Table", "").rpartition(".")[2].strip('"')
    return tables_of(plan.get("children", [])) | ({table} if table else set())


@pytest.mark.parametrize("name", PATTERNS)
def test_it_reads_the_tables_that_it_says(name: str, connection: duckdb.DuckDBPyConnection) -> None:
    pattern = PATTERNS[name]
    # Else tables without rows would be left out.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    [(_, plan)] = connection.execute(
        f"EXPLAIN (FORMAT json) {sql_of(pattern)}", examples_of(pattern)
    ).fetchall()
    connection.execute("RESET disabled_optimizers")
    assert tables_of(json.loads(plan)) == set(pattern["target"]["reads"])


def asked(queries: AvailabilityQueries, method: str, values: Mapping[str, object]) -> list[dict[str, object]]:
    found = getattr(queries, method)(**values)
    return schemas.as_json(found.to_pylist() if hasattr(found, "to_pylist") else list(found))


def check_against_api(
    connection: duckdb.DuckDBPyConnection,
    queries: AvailabilityQueries,
    pattern: Pattern,
    values: Mapping[str, object],
) -> list[dict[str, object]]:
    """The pattern's answer, which must be that of the method as far as it has columns."""
    rows = answer(connection, pattern, values)
    columns = [column["name"] for column in pattern["columns"]]
    expected = asked(queries, pattern["method"], values)
    assert rows == [{column: row[column] for column in columns} for row in expected]
    return rows


@pytest.mark.parametrize("name", OF_A_METHOD)
def test_it_answers_as_the_python_api_does(
    name: str, connection: duckdb.DuckDBPyConnection, queries: AvailabilityQueries
) -> None:
    pattern = PATTERNS[name]
    for values in (examples_of(pattern), *OTHER_VALUES.get(name, [])):
        check_against_api(connection, queries, pattern, values)


def test_what_the_demo_has_none_of_agrees_as_well(changed: Path) -> None:
    path = changed / "availability.duckdb"
    moments = (sample.COLLECTED_AT, COLLECTED_AGAIN_AT)
    asked_of_it = [
        ("gaps", {"symbol": None}), ("changes", {"since": None}), ("changes", {"since": "2024-04-02"}),
        *(("snapshot_as_of", {"date": "2024-02-01", "as_of": str(moment)}) for moment in moments),
    ]  # fmt: skip
    with duckdb.connect(path, read_only=True) as connection, AvailabilityQueries(path) as queries:
        found = [
            check_against_api(connection, queries, PATTERNS[name], values) for name, values in asked_of_it
        ]
    assert all(found)
    assert found[-1] != found[-2]


def test_parameters_are_bound_in_the_shell_as_the_page_says(connection: duckdb.DuckDBPyConnection) -> None:
    [call] = re.findall(r"`(EXECUTE .*?)`", query_page.HEAD)
    connection.execute(f"PREPARE ask AS {sql_of(PATTERNS['snapshot'])}")
    assert len(connection.execute(call).fetchall()) == PATTERNS["snapshot"]["example"]["rows"]


def test_the_page_is_made_of_the_file() -> None:
    assert query_page.PAGE.read_text("utf-8") == query_page.page(), "see query_page for how to write it anew"


def test_duckdb_1_4_gives_the_same_answers(demo: Demo) -> None:
    client = os.environ.get("DUCKDB_1_4_PATH")
    if not client:
        pytest.skip("DUCKDB_1_4_PATH does not name a folder with DuckDB 1.4 in it")
    program = """
import duckdb, json, sys
assert duckdb.__version__.startswith("1.4"), duckdb.__version__
connection = duckdb.connect(sys.argv[1], read_only=True)
for query, values in json.load(sys.stdin):
    result = connection.execute(query, values)
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row)) for row in result.fetchall()]
    print(json.dumps({"rows": len(rows), "first": rows[:2]}, default=lambda value: value.isoformat()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(demo.path)],
        input=json.dumps([(sql_of(pattern), examples_of(pattern)) for pattern in PATTERNS.values()]),
        env={**os.environ, "PYTHONPATH": client}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [pattern["example"] for pattern in PATTERNS.values()]

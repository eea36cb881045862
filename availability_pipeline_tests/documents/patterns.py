"""The query patterns of docs/schema/queries.json, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from availability_pipeline_tests.documents import schemas

Pattern = dict[str, Any]
QUERIES = schemas.load("queries.json")
PATTERNS: dict[str, Pattern] = {pattern["name"]: pattern for pattern in QUERIES["patterns"]}


def sql_of(pattern: Pattern) -> str:
    return "\n".join(pattern["sql"])


def examples_of(pattern: Pattern) -> dict[str, object]:
    return {each["name"]: each["example"] for each in pattern["parameters"]}


def answer(
    connection: duckdb.DuckDBPyConnection, pattern: Pattern, values: Mapping[str, object]
) -> list[dict[str, object]]:
    return schemas.as_json(schemas.rows_of(connection, sql_of(pattern), values))

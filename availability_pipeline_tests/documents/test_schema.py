"""The schemas of docs/schema are schemas, say what everything is, and refuse what is wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from availability_pipeline.queries import columns
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.documents import schemas
from availability_pipeline_tests.documents.schemas import (
    PUBLISHED,
    ROW_FORMS,
    ROWS,
    WORKING,
    Schema,
)

KEYWORDS = {
    "x-arrow-types", "x-compression", "x-defaults", "x-duckdb-type", "x-not-null", "x-primary-key", "x-relation",
    "x-schema-version", "x-sorted-by", "x-storage-version", "x-unit",
}  # fmt: skip
OPTIONAL = {"database", "generations", "nullable", "unit"}
"""Properties that may be left out."""

SAME_COLUMNS = {
    "availability_changes": columns.ChangeRow,
    "published_days": columns.SummaryRow,
    "symbol_lifecycle": columns.LifecycleRow,
}
"""Forms that are those of the Python API's rows as well."""


def objects(schema: Any) -> Iterator[Schema]:
    """Every JSON object in a schema."""
    if isinstance(schema, dict):
        yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from objects(value)


@pytest.mark.parametrize("file", schemas.names())
def test_a_schema_is_one(file: str) -> None:
    schema = schemas.load(file)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    for each in objects(schema):
        assert {name for name in each if name.startswith("x-")} <= KEYWORDS
        if each.get("type") == "object" and "properties" in each:
            assert each["additionalProperties"] is False
            assert each["required"] == [name for name in each["properties"] if name not in OPTIONAL]


WITH_UNITS = ("BIGINT", "DATE", "DOUBLE", "FLOAT", "TIMESTAMP")
"""Types of columns that have a unit."""

FILES = "parquet.schema.json"


@pytest.mark.parametrize("name", ROW_FORMS)
def test_every_column_says_what_it_is(name: str) -> None:
    for column, each in ROW_FORMS[name]["properties"].items():
        assert each["description"].endswith("."), column
        assert ("x-unit" in each) == (each["x-duckdb-type"] in WITH_UNITS), column
        unit, of_type = each.get("x-unit"), {"DATE": "UTC day", "TIMESTAMP": "UTC"}.get(each["x-duckdb-type"])
        assert of_type in (None, unit), column
        assert (unit == "bytes") == column.endswith("bytes"), column


def test_every_form_is_of_a_relation_or_a_file() -> None:
    used = {
        each["items"]["$ref"]
        for file, relations in (
            (WORKING, "properties"),
            (PUBLISHED, "properties"),
            (FILES, "patternProperties"),
        )
        for each in schemas.load(file)[relations].values()
    }
    assert used == {f"{ROWS}#/$defs/{name}" for name in ROW_FORMS}


def explained(row_type: type) -> dict[str, tuple[bool, str]]:
    """By column, whether it can be None, and what is written under it."""
    source = (root() / "availability_pipeline" / "queries" / "columns.py").read_text("utf-8")
    [body] = [node.body for node in ast.parse(source).body if getattr(node, "name", "") == row_type.__name__]
    return {
        ast.unparse(column.target): (
            "None" in ast.unparse(column.annotation),
            " ".join(text.value.value.split()),
        )
        for column, text in pairwise(body)
        if isinstance(column, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


@pytest.mark.parametrize("name", SAME_COLUMNS)
def test_the_python_api_says_the_same_of_its_rows(name: str) -> None:
    said = {
        column: (schemas.is_nullable(each), each["description"].replace("null", "None"))
        for column, each in ROW_FORMS[name]["properties"].items()
    }
    assert said == explained(SAME_COLUMNS[name])


def test_every_word_that_is_documented_is_one_of_the_program() -> None:
    files = (root() / "availability_pipeline").rglob("*")
    source = "".join(path.read_text("utf-8") for path in files if path.suffix in (".py", ".sql"))
    columns_of_all = (each for form in ROW_FORMS.values() for each in form["properties"].values())
    words = {word for each in columns_of_all for word in each.get("enum", ())}
    assert [
        word for word in words if isinstance(word, str) and not re.search(f"['\"]{word}['\"]", source)
    ] == []


GOOD = {
    "daily_availability": {
        "date": "2024-01-15", "symbol": "BTCUSDT", "available": True, "file_size_bytes": 59511,
        "last_modified": "2024-01-16T08:07:16", "url": "https://data.binance.vision/BTCUSDT-1m-2024-01-15.zip",
        "status_code": 200, "probe_timestamp": "2024-01-17 02:00:03.25",
    },
    "symbol_lifecycle": {
        "symbol": "LUNAUSDT", "episode": 1, "first_day": "2021-01-28", "last_day": "2022-05-13",
        "last_trading_day": "2022-05-13", "is_open": False, "end_reason": "purged", "known_from": "2022-05-17",
        "days": 471, "flat_days": 0, "gaps": 0, "successor": None,
    },
}  # fmt: skip
BAD: list[tuple[str, dict[str, object]]] = [
    ("daily_availability", change)
    for change in (
        {"note": "of ours"},
        {"status_code": 404},
        {"available": False},
        {"file_size_bytes": None},
        {"last_modified": None},
        {"file_size_bytes": -1},
        {"file_size_bytes": "59511"},
        {"date": "2024-01-32"},
        {"symbol": ""},
        {"symbol": None},
        {"probe_timestamp": "2024-01-17T02:00:03Z"},
        {"url": "BTCUSDT.zip"},
    )
] + [
    ("symbol_lifecycle", change)
    for change in ({"is_open": True}, {"end_reason": None}, {"end_reason": "bored"})
]


@pytest.mark.parametrize("name", GOOD)
def test_a_row_without_a_column_is_refused(name: str) -> None:
    place = f"{ROWS}#/$defs/{name}"
    assert schemas.problems(place, GOOD[name]) == []
    for column in GOOD[name]:
        assert schemas.problems(place, {key: value for key, value in GOOD[name].items() if key != column})


@pytest.mark.parametrize(("name", "change"), BAD)
def test_a_wrong_row_is_refused(name: str, change: dict[str, object]) -> None:
    assert schemas.problems(f"{ROWS}#/$defs/{name}", {**GOOD[name], **change})


def test_the_readme_has_every_file_and_keyword() -> None:
    text = (schemas.FOLDER / "README.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| \[[\w-]+\]\((.*?)\)", text, re.MULTILINE)) == schemas.names()
    assert set(re.findall(r"`(x-[a-z-]+)`", text)) == KEYWORDS

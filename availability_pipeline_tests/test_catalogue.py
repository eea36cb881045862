"""The columns of `daily_availability` are those of the catalogue wherever they appear.

Databases, Arrow, Parquet, the Python API, JSON Schema, Dagster and the document. The tables, views and writes are made
of the catalogue; here they are looked at as they came out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.archive.files import FILES
from availability_pipeline.catalogue import columns as catalogue
from availability_pipeline.catalogue.columns import DAILY_AVAILABILITY, IN_FILES, STORED, Column, arrow_schema
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.queries.columns import COLUMNS
from availability_pipeline_tests.demo_data import Demo
from availability_pipeline_tests.documents import column_tables, schemas
from availability_pipeline_tests.publishing import sample

NAMES = [column.name for column in DAILY_AVAILABILITY]


def described(path: Path, relation: str) -> list[tuple[str, str]]:
    """The columns of a relation with their types."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ? AS held (READ_ONLY)", [str(path)])
        found = connection.execute(f"DESCRIBE FROM held.{relation}").fetchall()
    return [(name, kind) for name, kind, *_ in found]


@pytest.mark.parametrize(
    ("database", "relation", "columns"),
    [
        ("working", "availability", STORED),
        ("working", "daily_availability", DAILY_AVAILABILITY),
        ("published", "availability_by_date", STORED),
        ("published", "availability_by_symbol", STORED),
        ("published", "daily_availability", DAILY_AVAILABILITY),
        ("published", "symbol_timeline", DAILY_AVAILABILITY),
    ],
)
def test_databases_have_these_columns(
    demo: Demo, database: str, relation: str, columns: tuple[Column, ...]
) -> None:
    path = demo.settings.working_path if database == "working" else demo.path
    assert described(path, relation) == [(column.name, column.sql_type) for column in columns]


ANSWERS: dict[str, Callable[[AvailabilityQueries], object]] = {
    "snapshot": lambda queries: queries.get_available_symbols_on_date(sample.DAYS[25]),
    "past": lambda queries: queries.get_available_symbols_on_date(sample.DAYS[25], as_of="2030-01-01"),
    "timeline": lambda queries: queries.get_symbol_availability_timeline("BTCUSDT"),
    "range": lambda queries: queries.get_availability_range(sample.FIRST_DAY, sample.LAST_DAY),
    "contracts": lambda queries: queries.get_availability_range(
        sample.FIRST_DAY, sample.LAST_DAY, ["BTCUSDT"]
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_results_have_these_columns_as_rows_and_as_arrow(tmp_path: Path, name: str) -> None:
    with AvailabilityQueries(sample.copy_published(tmp_path).path) as queries:
        result = ANSWERS[name](queries)
    assert isinstance(result, list)
    assert [*result[0]] == NAMES == [*COLUMNS]
    assert result.arrow().schema.equals(arrow_schema(DAILY_AVAILABILITY))  # type: ignore[attr-defined]


def test_parquet_files_have_these_columns(tmp_path: Path) -> None:
    folder = sample.copy_published(tmp_path).path.parent
    files = list(folder.rglob("daily_availability/*.parquet"))
    assert files
    for file in files:
        assert pq.read_schema(file).names == NAMES


def test_what_the_archive_tells_is_stored() -> None:
    assert FILES.names == [column.name for column in IN_FILES]
    assert FILES.names[:2] == ["date", "symbol"]
    assert {column.name for column in STORED} >= set(FILES.names)


@pytest.mark.parametrize(
    ("form", "columns"), [("daily_availability", DAILY_AVAILABILITY), ("stored_availability", STORED)]
)
def test_json_schema_says_the_same(form: str, columns: tuple[Column, ...]) -> None:
    said = [
        (name, each["x-duckdb-type"], each.get("x-unit"), schemas.is_nullable(each), each["description"])
        for name, each in schemas.ROW_FORMS[form]["properties"].items()
    ]
    assert said == [
        (each.name, each.sql_type, each.unit, each.nullable, each.meaning.replace("None", "null"))
        for each in columns
    ]


def test_dagster_shows_them() -> None:
    schema = (
        build_defs()
        .resolve_asset_graph()
        .get(dg.AssetKey("daily_availability"))
        .metadata["dagster/column_schema"]
    )
    assert [(column.name, column.type, column.description) for column in schema.columns] == [
        (column.name, column.sql_type, column.meaning) for column in DAILY_AVAILABILITY
    ]


def test_the_document_has_a_table_of_them() -> None:
    shown = column_tables.shown().partition("\n\n### ")[0]
    assert [line.split("`")[1] for line in shown.splitlines() if line.startswith("| `")] == NAMES
    assert all(column.meaning in shown for column in DAILY_AVAILABILITY)


def test_columns_say_what_they_are() -> None:
    for column in (*DAILY_AVAILABILITY, *STORED):
        assert column.meaning.endswith("."), column.name
        assert (column.unit is None) == (column.sql_type not in ("BIGINT", "DATE", "TIMESTAMP")), column.name
        assert ("None" in column.meaning) == column.nullable, column.name
    assert catalogue.table_sql("t").startswith("CREATE TABLE t (date DATE NOT NULL, symbol VARCHAR NOT NULL,")

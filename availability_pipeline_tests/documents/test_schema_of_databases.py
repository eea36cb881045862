"""A working and a published database are what docs/schema says: no more and no less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.publishing.manifest import SCHEMA_VERSION
from availability_pipeline.publishing.rows import STORAGE_VERSION
from availability_pipeline.warehouse.database import SCHEMA_VERSION as WORKING_VERSION
from availability_pipeline_tests.documents import schemas
from availability_pipeline_tests.documents.schemas import (
    FORMS,
    PUBLISHED,
    WORKING,
    is_sorted,
)

RELATIONS = [(file, name) for file in (WORKING, PUBLISHED) for name in schemas.load(file)["properties"]]


def path_of(folder: Path, file: str) -> Path:
    return folder / ("working" if file == WORKING else "") / "availability.duckdb"


@pytest.fixture(scope="module")
def opened(folders: list[Path]) -> Iterator[dict[str, list[duckdb.DuckDBPyConnection]]]:
    """By schema, connections to databases that it describes."""
    found: dict[str, list[duckdb.DuckDBPyConnection]] = {WORKING: [], PUBLISHED: []}
    for file, connections in found.items():
        for folder in folders:
            connection = duckdb.connect()
            connection.execute("ATTACH ? AS held (READ_ONLY)", [str(path_of(folder, file))])
            connection.execute("USE held")
            connections.append(connection)
    yield found
    for connection in (*found[WORKING], *found[PUBLISHED]):
        connection.close()


Opened = dict[str, list[duckdb.DuckDBPyConnection]]


@pytest.mark.parametrize("file", [WORKING, PUBLISHED])
def test_a_database_has_what_is_documented_and_nothing_else(file: str, opened: Opened) -> None:
    described = schemas.documented(schemas.load(file))
    for connection in opened[file]:
        found = schemas.existing(connection)
        assert list(schemas.differences(described, found)) == []


CHANGES = {
    WORKING: {
        "ALTER TABLE availability ADD COLUMN note VARCHAR": "availability: columns",
        "ALTER TABLE collection_runs DROP COLUMN pages": "collection_runs: columns",
        "ALTER TABLE collection_runs RENAME pages TO leaves": "collection_runs: columns",
        "ALTER TABLE symbols ALTER onboard_date TYPE TIMESTAMP": "symbols: columns",
        "CREATE TABLE notes (note VARCHAR)": "notes is not documented",
        "CREATE VIEW days AS SELECT DISTINCT date FROM daily_availability": "days is not documented",
        "DROP TABLE status_spans": "status_spans does not exist",
        "DROP TABLE status_spans; CREATE VIEW status_spans AS SELECT 1": "status_spans: kind",
        "ALTER TABLE availability ALTER probe_timestamp DROP DEFAULT": "availability: defaults",
        "ALTER TABLE collection_runs ALTER changes SET DEFAULT 0": "collection_runs: defaults",
        "ALTER TABLE availability_changes ALTER kind DROP NOT NULL": "availability_changes: not_null",
        "ALTER TABLE status_spans ALTER symbol SET NOT NULL": "status_spans: not_null",
        "CREATE OR REPLACE TABLE symbols AS FROM symbols": "symbols: primary_key",
        "ALTER TABLE status_spans ADD PRIMARY KEY (symbol, first_day)": "status_spans: primary_key",
        "CREATE INDEX by_symbol ON availability (symbol)": "availability: others",
        "CREATE OR REPLACE TABLE status_spans (symbol VARCHAR CHECK (symbol <> ''))": "status_spans: others",
        "CREATE OR REPLACE TABLE status_spans (symbol VARCHAR UNIQUE)": "status_spans: others",
    },
    PUBLISHED: {
        "DROP VIEW symbol_timeline": "symbol_timeline does not exist",
        "CREATE OR REPLACE VIEW availability_status AS SELECT date, symbol FROM availability_by_date":
            "availability_status: columns",
        "ALTER TABLE publication ALTER run_id DROP NOT NULL": "publication: not_null",
    },
}  # fmt: skip
"""What would be a change of a database, and what is to be said of it."""


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [(file, change, said) for file, changes in CHANGES.items() for change, said in changes.items()],
)
def test_a_change_of_a_database_is_seen(file: str, change: str, said: str, folders: list[Path]) -> None:
    with duckdb.connect() as connection:
        connection.execute("ATTACH ? AS held (READ_ONLY)", [str(path_of(folders[0], file))])
        connection.execute("COPY FROM DATABASE held TO memory (SCHEMA)")
        described = schemas.documented(schemas.load(file))
        assert list(schemas.differences(described, schemas.existing(connection))) == []
        connection.execute(change)
        found = list(schemas.differences(described, schemas.existing(connection)))
        assert any(difference.startswith(said) for difference in found), found


def test_there_are_changes_of_every_kind(opened: Opened) -> None:
    words = opened[PUBLISHED][1].execute("SELECT DISTINCT kind FROM availability_changes").fetchall()
    assert {word for (word,) in words} == set(FORMS["availability_changes"]["properties"]["kind"]["enum"])


@pytest.mark.parametrize(("file", "name"), RELATIONS)
def test_rows_are_as_documented(file: str, name: str, opened: Opened) -> None:
    reference = schemas.load(file)["properties"][name]["items"]["$ref"]
    for connection in opened[file]:
        query = f"FROM {name} USING SAMPLE reservoir({schemas.SAMPLE} ROWS) REPEATABLE (1)"
        rows = schemas.as_json(schemas.rows_of(connection, query))
        assert [problem for row in rows for problem in schemas.problems(reference, row)] == []


@pytest.mark.parametrize(("file", "name"), RELATIONS)
def test_no_row_is_null_or_a_word_where_that_is_not_documented(file: str, name: str, opened: Opened) -> None:
    documented = schemas.row_form(schemas.load(file)["properties"][name])["properties"]
    for connection in opened[file]:
        for column, each in documented.items():
            query = f'SELECT count(*) FILTER ("{column}" IS NULL) AS nulls FROM {name}'
            assert schemas.is_nullable(each) or schemas.rows_of(connection, query) == [{"nulls": 0}], column
            if "enum" in each:
                words = connection.execute(f'SELECT DISTINCT "{column}" FROM {name}').fetchall()
                assert {word for (word,) in words} <= set(each["enum"]), column


@pytest.mark.parametrize(("file", "name"), RELATIONS)
def test_every_number_of_a_list_occurs(file: str, name: str, opened: Opened) -> None:
    documented = schemas.row_form(schemas.load(file)["properties"][name])["properties"]
    for column, each in documented.items():
        numbers = {value for value in each.get("enum", ()) if isinstance(value, int)}
        if numbers:
            query = f'SELECT DISTINCT "{column}" FROM {name}'
            found = {value for held in opened[file] for (value,) in held.execute(query).fetchall()}
            assert numbers <= found, column


@pytest.mark.parametrize(("file", "name"), RELATIONS)
def test_tables_are_stored_in_the_order_that_is_documented(file: str, name: str, opened: Opened) -> None:
    order = schemas.load(file)["properties"][name].get("x-sorted-by", ())
    for connection in opened[file] if order else ():
        assert is_sorted(connection.execute(f"SELECT {', '.join(order)} FROM {name}").fetchall())


def test_the_versions_are_those_of_the_program(opened: Opened) -> None:
    assert schemas.load(WORKING)["x-schema-version"] == WORKING_VERSION
    assert schemas.load(PUBLISHED)["x-schema-version"] == SCHEMA_VERSION
    assert FORMS["publication"]["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    storage = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'held'"
    documented = schemas.load(PUBLISHED)["x-storage-version"]
    assert opened[PUBLISHED][0].execute(storage).fetchall() == [(f"{documented}+",)]
    assert documented == STORAGE_VERSION

"""docs/schema says what databases, Parquet files, manifests and answers are, and they are that: no more and no less."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from availability_pipeline.cli import cli
from availability_pipeline.export import export
from availability_pipeline.publishing import publish
from availability_pipeline.publishing.content import SCHEMA_VERSION, STORAGE_VERSION
from availability_pipeline.publishing.manifest import FileEntry, Manifest
from availability_pipeline.queries import columns
from availability_pipeline.service_levels import FILE_NAME, ServiceLevels, UpdateRecords, compute, write
from availability_pipeline.store.connection import SCHEMA_VERSION as WORKING_VERSION
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.demo_data import NOW, Demo, clock_at
from availability_pipeline_tests.documents import schemas
from availability_pipeline_tests.documents.schemas import ROWS, Schema
from availability_pipeline_tests.publishing import sample

WORKING, PUBLISHED = "working-database.schema.json", "published-database.schema.json"
FORMS: Schema = schemas.load(ROWS)["$defs"]
ROW_FORMS = {name: form for name, form in FORMS.items() if "properties" in form}
RELATIONS = [(file, name) for file in (WORKING, PUBLISHED) for name in schemas.load(file)["properties"]]
PATTERNS: Schema = schemas.load("parquet.schema.json")["patternProperties"]
KEYWORDS = {
    "x-arrow-types", "x-compression", "x-defaults", "x-duckdb-type", "x-not-null", "x-primary-key", "x-relation",
    "x-schema-version", "x-sorted-by", "x-storage-version", "x-unit",
}  # fmt: skip
SAME_COLUMNS = {
    "daily_availability": columns.AvailabilityRow,
    "availability_changes": columns.ChangeRow,
    "published_days": columns.SummaryRow,
    "symbol_lifecycle": columns.LifecycleRow,
}
"""Forms that are those of the Python API's rows as well."""


@pytest.fixture(scope="module")
def folders(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Data directories: the demo's, and one with changes of every kind."""
    folder = tmp_path_factory.mktemp("changed")
    late = (sample.DAYS[69], "BTCUSDT")
    before, after = sample.sample_files(), {**sample.sample_files(seed=2), late: (7_000, sample.COLLECTED_AT)}
    del after[sample.DAYS[1], "BTCUSDT"]
    for files in (before, after):
        with sample.working_database(folder, files) as connection:
            publish(connection, folder / "availability.duckdb", "run-1")
    return [demo.settings.data_dir, folder]


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


# The files themselves


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
            optional = each.get("dependentRequired", {})
            assert each["required"] == [name for name in each["properties"] if name not in optional]


@pytest.mark.parametrize("name", ROW_FORMS)
def test_every_column_says_what_it_is(name: str) -> None:
    for column, each in ROW_FORMS[name]["properties"].items():
        assert each["description"].endswith("."), column
        assert ("x-unit" in each) == (each["x-duckdb-type"] in ("BIGINT", "DATE", "TIMESTAMP")), column


def test_every_form_is_of_a_relation() -> None:
    used = {
        each["items"]["$ref"]
        for file in (WORKING, PUBLISHED)
        for each in schemas.load(file)["properties"].values()
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


# Databases


@pytest.mark.parametrize("file", [WORKING, PUBLISHED])
def test_a_database_has_what_is_documented_and_nothing_else(file: str, opened: Opened) -> None:
    described = schemas.documented(schemas.load(file))
    for connection in opened[file]:
        found = schemas.existing(connection)
        assert list(schemas.differences(described, found)) == []


CHANGES = {
    WORKING: {
        "ALTER TABLE daily_availability ADD COLUMN note VARCHAR": "daily_availability: columns",
        "ALTER TABLE collection_runs DROP COLUMN pages": "collection_runs: columns",
        "ALTER TABLE collection_runs RENAME pages TO leaves": "collection_runs: columns",
        "ALTER TABLE symbols ALTER onboard_date TYPE TIMESTAMP": "symbols: columns",
        "CREATE TABLE notes (note VARCHAR)": "notes is not documented",
        "CREATE VIEW days AS SELECT DISTINCT date FROM daily_availability": "days is not documented",
        "DROP TABLE status_spans": "status_spans does not exist",
        "DROP TABLE status_spans; CREATE VIEW status_spans AS SELECT 1": "status_spans: kind",
        "ALTER TABLE daily_availability ALTER probe_timestamp DROP DEFAULT": "daily_availability: defaults",
        "ALTER TABLE collection_runs ALTER changes SET DEFAULT 0": "collection_runs: defaults",
        "ALTER TABLE availability_changes ALTER kind DROP NOT NULL": "availability_changes: not_null",
        "ALTER TABLE status_spans ALTER symbol SET NOT NULL": "status_spans: not_null",
        "CREATE OR REPLACE TABLE symbols AS FROM symbols": "symbols: primary_key",
        "ALTER TABLE status_spans ADD PRIMARY KEY (symbol, first_day)": "status_spans: primary_key",
        "CREATE INDEX by_symbol ON daily_availability (symbol)": "daily_availability: others",
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


def test_every_word_that_is_documented_is_one_of_the_program() -> None:
    files = (root() / "availability_pipeline").rglob("*")
    source = "".join(path.read_text("utf-8") for path in files if path.suffix in (".py", ".sql"))
    words = {
        word
        for form in ROW_FORMS.values()
        for each in form["properties"].values()
        for word in each.get("enum", ())
    }
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
        "days": 471, "flat_days": 0, "holes": 0, "successor": None,
    },
}  # fmt: skip
BAD: list[tuple[str, dict[str, object]]] = [
    ("daily_availability", change)
    for change in (
        {"note": "of ours"}, {"status_code": 404}, {"available": False}, {"file_size_bytes": None},
        {"last_modified": None}, {"file_size_bytes": -1}, {"file_size_bytes": "59511"}, {"date": "2024-01-32"},
        {"symbol": ""}, {"symbol": None}, {"probe_timestamp": "2024-01-17T02:00:03Z"}, {"url": "BTCUSDT.zip"},
    )
] + [("symbol_lifecycle", change) for change in ({"is_open": True}, {"end_reason": None}, {"end_reason": "bored"})]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_row_without_a_column_is_refused(name: str) -> None:
    place = f"{ROWS}#/$defs/{name}"
    assert schemas.problems(place, GOOD[name]) == []
    for column in GOOD[name]:
        assert schemas.problems(place, {key: value for key, value in GOOD[name].items() if key != column})


@pytest.mark.parametrize(("name", "change"), BAD)
def test_a_wrong_row_is_refused(name: str, change: dict[str, object]) -> None:
    assert schemas.problems(f"{ROWS}#/$defs/{name}", {**GOOD[name], **change})


def is_sorted(keys: list[tuple[object, ...]]) -> bool:
    return all(one < other for one, other in pairwise(keys))


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


# Files


def parquet_files(folder: Path) -> dict[str, Path]:
    """The Parquet files of a folder by their paths in it."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}


def patterns_of(path: str) -> list[str]:
    return [pattern for pattern in PATTERNS if re.search(pattern, path)]


def fields_of(path: Path) -> list[str]:
    return [f"{field.name} {field.type}" for field in pq.read_schema(path)]


def documented_fields(row_form: Schema) -> list[str]:
    types = schemas.load("parquet.schema.json")["x-arrow-types"]
    return [f"{column} {types[each['x-duckdb-type']]}" for column, each in row_form["properties"].items()]


def test_a_generation_has_the_parquet_files_that_are_documented(folders: list[Path]) -> None:
    for folder in folders:
        [*_, newest] = sorted((folder / "generations").glob("2*"))
        files = parquet_files(newest)
        assert {pattern for path in files for pattern in patterns_of(path)} == PATTERNS.keys()
        for path, file in files.items():
            [pattern] = patterns_of(path)
            check_parquet(file, PATTERNS[pattern])


def check_parquet(file: Path, relation: Schema) -> None:
    assert fields_of(file) == documented_fields(schemas.row_form(relation)), file
    compressions = {
        pq.ParquetFile(file).metadata.row_group(0).column(at).compression
        for at in range(len(pq.read_schema(file)))
    }
    assert compressions == {schemas.load("parquet.schema.json")["x-compression"]}
    rows = pq.read_table(file).to_pylist()
    assert is_sorted([tuple(row[key] for key in relation["x-sorted-by"]) for row in rows])
    chosen = schemas.as_json(rows[:: max(1, len(rows) // 50)])
    assert [each for row in chosen for each in schemas.problems(relation["items"]["$ref"], row)] == []


def test_another_file_or_column_in_a_generation_is_seen(tmp_path: Path) -> None:
    assert patterns_of("notes.parquet") == patterns_of("daily_availability/all.parquet") == []
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 1::BIGINT AS note) TO '{tmp_path / 'notes.parquet'}' (FORMAT parquet)"
        )
    assert fields_of(tmp_path / "notes.parquet") == ["note int64"]


def test_manifests_are_as_documented(folders: list[Path]) -> None:
    for folder in folders:
        found = [folder / "manifest.json", *folder.glob("generations/*/manifest.json")]
        above, *within = [json.loads(path.read_bytes()) for path in found]
        assert ("database" in above, "database" in within[0]) == (True, False)
        assert [
            each for facts in (above, *within) for each in schemas.problems("manifest.schema.json", facts)
        ] == []


def test_a_manifest_has_the_fields_of_the_program() -> None:
    documented = schemas.load("manifest.schema.json")["properties"]
    assert list(documented) == [field.name for field in dataclasses.fields(Manifest)]
    assert list(documented["files"]["items"]["properties"]) == [
        field.name for field in dataclasses.fields(FileEntry)
    ]
    assert documented["schema_version"]["const"] == SCHEMA_VERSION


@pytest.fixture(scope="module")
def exported(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(demo.path, tmp_path_factory.mktemp("exports") / "export", "parquet", force=False).folder


def test_an_export_is_as_documented(exported: Path) -> None:
    facts = json.loads((exported / "manifest.json").read_bytes())
    assert schemas.problems("export-manifest.schema.json", facts) == []
    relations = schemas.load(PUBLISHED)["properties"]
    for file in facts["files"]:
        described = documented_fields(schemas.row_form(relations[file["relation"]]))
        assert fields_of(exported / file["path"]) == described, file["path"]


@pytest.mark.parametrize(
    "change", [{"note": 1}, {"files": []}, {"kind": "other"}, {"published_at": "2026-11-20T12:00:00"}]
)
def test_a_wrong_manifest_of_an_export_is_refused(change: dict[str, object], exported: Path) -> None:
    facts = json.loads((exported / "manifest.json").read_bytes())
    assert schemas.problems("export-manifest.schema.json", {**facts, **change})


def test_status_and_service_levels_are_as_documented(demo: Demo, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / demo.path.name).hardlink_to(demo.path)
    updated = dt.datetime(2026, 11, 19, 2)  # noqa: DTZ001 - as the database stores UTC
    records = UpdateRecords(updated, {dt.date(2026, 11, 18): updated}, [0.99])
    found = {}
    for levels in (None, compute(records, demo.path, NOW.replace(tzinfo=None))):
        if levels:
            write(levels, data)
        with clock_at(NOW):
            environ = {"AVAILABILITY_DATA_DIR": str(data)}
            answer = CliRunner(env=environ).invoke(
                cli, ["status", "--format", "json"], catch_exceptions=False
            )
        found = json.loads(answer.stdout)
        assert schemas.problems("status.schema.json", found) == []
    assert schemas.problems("service-levels.schema.json", json.loads((data / FILE_NAME).read_bytes())) == []
    assert found["service_levels"].keys() == {field.name for field in dataclasses.fields(ServiceLevels)}
    assert schemas.problems("status.schema.json", {**found, "note": 1})


# The guide


def shown_python() -> list[str]:
    text = (schemas.FOLDER / "README.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_what_the_readme_shows_runs(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").symlink_to(root() / "docs")
    (tmp_path / "export").symlink_to(exported)
    monkeypatch.chdir(tmp_path)
    check, make = shown_python()
    exec(compile(check, "check", "exec"), {})  # noqa: S102 - our own document
    exec(compile(make, "make", "exec"), {})  # noqa: S102
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(capsys.readouterr().out)
        made = database.execute(
            "SELECT name, \"notnull\", pk FROM pragma_table_info('daily_availability')"
        ).fetchall()
    table = schemas.load(WORKING)["properties"]["daily_availability"]
    assert [name for name, _, _ in made] == list(FORMS["daily_availability"]["properties"])
    assert {name for name, not_null, _ in made if not_null} == set(table["x-not-null"])
    assert [name for name, _, key in made if key] == table["x-primary-key"]


def test_the_readme_has_every_file_and_keyword() -> None:
    text = (schemas.FOLDER / "README.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| \[[\w-]+\]\((.*?)\)", text, re.MULTILINE)) == schemas.names()
    assert set(re.findall(r"`(x-[a-z-]+)`", text)) == KEYWORDS

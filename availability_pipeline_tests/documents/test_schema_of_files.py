"""Parquet files, manifests, exports and the answer of `status` are what docs/schema says: no more and no less."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from availability_pipeline.cli.main import cli
from availability_pipeline.publishing.export import export
from availability_pipeline.publishing.manifest import SCHEMA_VERSION, FileEntry, Manifest
from availability_pipeline.queries.service_levels import (
    FILE_NAME,
    ServiceLevels,
    UpdateRecords,
    compute,
    write,
)
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.demo_data import NOW, Demo, clock_at
from availability_pipeline_tests.documents import schemas
from availability_pipeline_tests.documents.schemas import (
    FORMS,
    PUBLISHED,
    WORKING,
    Schema,
    is_sorted,
)

PATTERNS: Schema = schemas.load("parquet.schema.json")["patternProperties"]


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
    table = schemas.load(WORKING)["properties"]["availability"]
    assert [name for name, _, _ in made] == list(FORMS["daily_availability"]["properties"])
    assert {name for name, not_null, _ in made if not_null} == {*table["x-not-null"], "url"}
    assert [name for name, _, key in made if key] == ["date", "symbol"]

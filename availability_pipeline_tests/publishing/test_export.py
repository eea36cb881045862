"""Exports: the same rows and types as what is published, in whole or not at all, and nobody's folder is lost."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from availability_pipeline.cli.main import cli
from availability_pipeline.errors import AvailabilityError, PublishedDatabaseError, UsageError
from availability_pipeline.publishing.export import FORMATS, export
from availability_pipeline_tests.publishing import sample

RELATIONS = {
    "availability_changes", "availability_status", "collection_runs", "contract_history", "daily_availability",
    "daily_volume", "file_contents", "publication", "published_days", "published_symbols", "status_spans",
    "symbol_lifecycle", "symbols",
}  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:

    return sample.copy_published(tmp_path_factory.mktemp("export")).path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


READERS = {"parquet": "read_parquet(?)", "csv": "read_csv(?, header = true, all_varchar = true)"}


@pytest.mark.parametrize("form", FORMATS)
def test_every_relation_is_read_back_with_its_rows_and_types(
    published: Path, tmp_path: Path, form: str
) -> None:
    done = export(published, tmp_path / "out", form, force=False)
    assert {file.relation for file in done.files} == RELATIONS
    with duckdb.connect() as connection:
        connection.execute("ATTACH ? AS published (READ_ONLY)", [str(published)])
        for name in RELATIONS:
            paths = [str(done.folder / file.path) for file in done.files if file.relation == name]
            order = "ORDER BY date, symbol" if name in ("daily_availability", "availability_status") else ""
            expected = connection.sql(f"FROM published.{name} {order}")
            found = connection.sql(f"FROM {READERS[form]} {order}", params=[paths])
            if form == "csv":
                expected = connection.sql(f"SELECT COLUMNS(*)::VARCHAR FROM published.{name} {order}")
            assert (found.columns, found.types) == (expected.columns, expected.types)
            assert found.fetchall() == expected.fetchall()


def test_a_relation_that_is_published_later_is_exported_as_well(published: Path, tmp_path: Path) -> None:
    path = tmp_path / "newer.duckdb"
    path.write_bytes(published.read_bytes())
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE rankings AS SELECT 'BTCUSDT' AS symbol, 1 AS rank")
    done = export(path, tmp_path / "out", "parquet", force=False)
    assert duckdb.connect().read_parquet(f"{done.folder}/rankings.parquet").fetchall() == [("BTCUSDT", 1)]


def test_daily_availability_has_a_file_per_year(tmp_path: Path) -> None:
    path = sample.writable(sample.copy_published(tmp_path / "data").path)
    with duckdb.connect(path) as connection:
        connection.execute(
            "UPDATE availability_by_date SET date = date - 365; UPDATE published_days SET date = date - 365 "
            "WHERE date < '2024-02-01'; UPDATE availability_by_date SET date = date + 365 WHERE date >= '2023-02-01'"
        )
    done = export(path, tmp_path / "out", "parquet", force=False)
    years = {file.path: file.rows for file in done.files if file.relation == "daily_availability"}
    contracts, january = len(sample.SPANS), 22
    assert years == {
        "daily_availability/2023.parquet": january * contracts,
        "daily_availability/2024.parquet": (len(sample.DAYS) - january) * contracts,
    }


def test_the_manifest_says_what_is_there(published: Path, tmp_path: Path) -> None:
    done = export(published, tmp_path / "out", "csv", force=False)
    facts = json.loads((done.folder / "manifest.json").read_bytes())
    assert (facts["format"], facts["run_id"], facts["data_through"]) == ("csv", "run-1", str(sample.LAST_DAY))
    files = content(done.folder)
    del files["manifest.json"]
    assert {file["path"]: file["sha256"] for file in facts["files"]} == {
        path: hashlib.sha256(data).hexdigest() for path, data in files.items()
    }
    rows = {file["path"]: file["rows"] for file in facts["files"]}
    assert rows["daily_availability/2024.csv"] == len(sample.DAYS) * len(sample.SPANS)


def test_an_export_is_replaced_as_a_whole_and_only_by_force(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    export(published, folder, "csv", force=False)
    before = content(folder)
    with pytest.raises(UsageError, match="has an export already; pass --force to replace it"):
        export(published, folder, "parquet", force=False)
    assert content(folder) == before
    export(published, folder, "parquet", force=True)
    assert {Path(name).suffix for name in content(folder)} == {".parquet", ".json"}
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": "mine"}, "was not made by an export and is left alone"),
        ({"manifest.json": "{}"}, "was not made by an export"),
        ({"manifest.json": '{"kind": "binance-futures-availability export"}'}, "was not made by an export"),
        ({"manifest.json": "not json"}, "was not made by an export"),
    ],
)
def test_a_folder_of_something_else_is_left_alone(
    published: Path, tmp_path: Path, files: dict[str, str], message: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    before = content(tmp_path)
    with pytest.raises(UsageError, match=message):
        export(published, folder, "parquet", force=True)
    assert content(tmp_path) == before


def test_a_file_that_somebody_put_into_an_export_is_not_lost(published: Path, tmp_path: Path) -> None:
    folder = export(published, tmp_path / "out", "parquet", force=False).folder
    (folder / "daily_availability" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"has daily_availability/notes\.txt in it, which is not of the export"
    ):
        export(published, folder, "parquet", force=True)
    assert (folder / "daily_availability" / "notes.txt").exists()


def test_the_folder_of_the_published_database_is_no_place(published: Path) -> None:
    before = content(published.parent)
    with pytest.raises(UsageError, match="was not made by an export"):
        export(published, published.parent, "parquet", force=True)
    assert content(published.parent) == before


def test_places_that_cannot_be_made_are_named(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for place, message in {
        "file": "file is not a folder",
        "a/b": "cannot be made, because .*a is no folder; make that first",
        ".": "is the current folder",
    }.items():
        with pytest.raises(UsageError, match=message):
            export(published, Path(place), "parquet", force=True)


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_leaves_what_was_there(published: Path, small_disk: Path, form: str) -> None:
    folder = export(published, small_disk / "out", form, force=False).folder
    before = content(folder)
    with (small_disk / "filler").open("wb") as filler:
        filler.write(bytes(free_bytes(small_disk) - 8192))
    with pytest.raises(
        AvailabilityError,
        match=r"could not be written to .*No space left on device\); .*; make room on the disk",
    ):
        export(published, folder, form, force=True)
    assert content(folder) == before
    assert names(small_disk) == ["filler", "out"]


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_rename_that_fails_brings_the_old_export_back(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(published, tmp_path / "out", "csv", force=False).folder
    before, rename = content(folder), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == folder and (self / "symbols.parquet").exists():
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(AvailabilityError, match="Input/output error"):
        export(published, folder, "parquet", force=True)
    assert content(folder) == before
    assert names(tmp_path) == ["out"]


def test_a_damaged_database_is_named_and_leaves_nothing(published: Path, tmp_path: Path) -> None:
    damaged = bytearray(published.read_bytes())
    damaged[len(damaged) // 4 : len(damaged) // 4 * 3] = bytes(len(damaged) // 4 * 2)
    (tmp_path / "damaged.duckdb").write_bytes(damaged)
    with pytest.raises(PublishedDatabaseError, match=r"damaged\.duckdb is damaged"):
        export(tmp_path / "damaged.duckdb", tmp_path / "out", "parquet", force=False)
    assert names(tmp_path) == ["damaged.duckdb"]


def test_a_path_that_is_no_text_is_not_blamed_on_the_database(published: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(AvailabilityError, match=r"could not be written to .* choose a path in UTF-8"):
        export(published, folder, "csv", force=False)
    assert names(tmp_path) == []


def test_the_command_says_what_it_wrote_on_stderr(published: Path, tmp_path: Path) -> None:
    runner = CliRunner(env={"AVAILABILITY_DB_PATH": str(published)})
    done = runner.invoke(cli, ["export", str(tmp_path / "out"), "--format", "csv"], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{tmp_path / 'out'}: 13 files, ")
    again = runner.invoke(cli, ["export", str(tmp_path / "out")], catch_exceptions=False)
    assert again.exit_code == 2

"""Which generation is read: three are kept, the one before can be brought back, and a swap cut in two is finished."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import manifest as place
from availability_pipeline.publishing import release
from availability_pipeline.publishing.manifest import damaged_files, read_manifest
from availability_pipeline.publishing.opening import check_target, open_published
from availability_pipeline.publishing.release import rollback
from availability_pipeline.publishing.write import publish
from availability_pipeline_tests.publishing import sample


def run_read(folder: Path) -> str:
    """The run whose generation readers of both kinds have, which is whole."""
    connection, publication = open_published(folder / "availability.duckdb")
    connection.close()
    manifest = read_manifest(folder / "manifest.json")
    assert manifest is not None
    assert list(damaged_files(folder, manifest)) == []
    assert manifest.run_id == publication.run_id
    assert (manifest.rows, manifest.available) == (publication.row_count, publication.file_count)
    return publication.run_id


def publish_runs(folder: Path, *runs: str) -> list[str]:
    """Publish so often; the ids of the generations. The first ones of a folder are copied where links can be."""
    if (folder / "working").exists() or (folder / "generations").is_symlink():
        return [sample.publish_run(folder, run).generation for run in runs]
    made, generations = _published(runs)
    sample.copy(made, folder)
    return list(generations)


@functools.cache
def _published(runs: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """A folder of this process in which these runs have published, and the ids of their generations."""
    folder = sample.folder_of_process()
    before: tuple[str, ...] = ()
    if len(runs) > 1:
        made, before = _published(runs[:-1])
        sample.copy(made, folder)
    return folder, (*before, sample.publish_run(folder, runs[-1]).generation)


def test_the_manifest_says_what_is_read(tmp_path: Path) -> None:
    report = sample.publish_run(tmp_path, "run-1")
    facts = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    files = {entry["path"]: entry["rows"] for entry in facts.pop("files")}
    rows, base = len(sample.DAYS) * len(sample.SPANS), f"generations/{report.generation}"
    assert files == {
        f"{base}/availability.duckdb": rows,
        f"{base}/daily_availability/2024.parquet": rows,
        f"{base}/latest.parquet": 1,
        f"{base}/volume_rankings.parquet": 0,
        f"{base}/contract_history.parquet": len(sample.SAID),
        f"{base}/status_spans.parquet": files[f"{base}/status_spans.parquet"],
        f"{base}/symbol_lifecycle.parquet": len(sample.SPANS) - 1,  # one never had a file
    }
    assert files[f"{base}/status_spans.parquet"] > len(sample.SPANS)
    published_at = dt.datetime.fromisoformat(facts.pop("published_at"))
    assert dt.timedelta(0) <= dt.datetime.now(dt.UTC) - published_at < dt.timedelta(minutes=10)
    assert facts == {
        "schema_version": 6,
        "generation": report.generation,
        "run_id": "run-1",
        "first_day": str(sample.FIRST_DAY),
        "data_through": str(sample.LAST_DAY),
        "last_file_day": str(sample.LAST_DAY),
        "rows": rows,
        "available": len(sample.sample_files()),
        "symbols": len(sample.SPANS),
        "database": "availability.duckdb",
        "generations": [report.generation],
    }


def test_the_manifest_of_a_generation_stands_for_itself(tmp_path: Path) -> None:
    folder = sample.publish_run(tmp_path, "run-1").folder
    moved = folder.rename(tmp_path / "elsewhere")
    manifest = read_manifest(moved / "manifest.json")
    assert manifest is not None
    assert manifest.database is None
    assert list(damaged_files(moved, manifest)) == []


def test_readers_have_the_file_of_the_generation_and_no_copy(tmp_path: Path) -> None:
    report = sample.publish_run(tmp_path, "run-1")
    assert report.path.samefile(report.folder / "availability.duckdb")


def test_an_id_sorts_by_time_and_tells_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = dt.datetime(2024, 5, 2, 2, tzinfo=dt.UTC)
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: now)
    runs = ("0f3c9a1e-0000-1111", "manual-20240502T020000Z", "0f3c9a1e-2222", "../.")
    assert publish_runs(tmp_path, *runs) == [
        "20240502T020000Z-0f3c9a1e", "20240502T020000Z-manual-2", "20240502T020000Z-0f3c9a1e-3",
        "20240502T020000Z-run-4",
    ]  # fmt: skip
    assert run_read(tmp_path) == "../."


def test_three_generations_are_kept(tmp_path: Path) -> None:
    made = publish_runs(tmp_path, "run-1", "run-2", "run-3", "run-4", "run-5")
    assert sample.generations(tmp_path) == sorted(made[-3:])
    assert run_read(tmp_path) == "run-5"


def test_a_rollback_brings_the_one_before_back(tmp_path: Path) -> None:
    made = [sample.publish_run(tmp_path, f"run-{seed}", seed).generation for seed in (1, 2, 3)]
    done = rollback(tmp_path / "availability.duckdb")
    assert (done.path, done.left, done.now.generation) == (
        tmp_path / "availability.duckdb",
        made[2],
        made[1],
    )
    assert run_read(tmp_path) == "run-2"
    with sample.duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        [(total,)] = published.execute("SELECT sum(file_size_bytes) FROM daily_availability").fetchall()
    assert total == sample.total_bytes(2)


def test_two_rollbacks_go_back_two_and_a_third_has_nothing_to_go_to(tmp_path: Path) -> None:
    publish_runs(tmp_path, "run-1", "run-2", "run-3")
    rollback(tmp_path / "availability.duckdb")
    rollback(tmp_path / "availability.duckdb")
    assert run_read(tmp_path) == "run-1"
    with pytest.raises(PublicationError, match="there is no generation before the one that"):
        rollback(tmp_path / "availability.duckdb")
    assert run_read(tmp_path) == "run-1"


def test_what_was_rolled_back_is_never_brought_back(tmp_path: Path) -> None:
    made = publish_runs(tmp_path, "run-1", "run-2", "bad")
    rollback(tmp_path / "availability.duckdb")
    assert made[2] in sample.generations(tmp_path)
    made += publish_runs(tmp_path, "run-4")
    assert sample.generations(tmp_path) == sorted([made[0], made[1], made[3]])
    rollback(tmp_path / "availability.duckdb")
    assert run_read(tmp_path) == "run-2"


def test_a_rollback_without_a_publication_says_so(tmp_path: Path) -> None:
    with pytest.raises(PublicationError, match="there is nothing to roll back"):
        rollback(tmp_path / "availability.duckdb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("availability.duckdb", "availability.duckdb does not have its checksum"),
        ("latest.parquet", "latest.parquet does not have its checksum"),
    ],
)
def test_a_damaged_generation_is_not_brought_back(tmp_path: Path, name: str, reason: str) -> None:
    made = publish_runs(tmp_path, "run-1", "run-2")
    with sample.writable(tmp_path / "generations" / made[0] / name).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\x00\xff")
    with pytest.raises(PublicationError, match=reason):
        rollback(tmp_path / "availability.duckdb")
    assert run_read(tmp_path) == "run-2"


def test_a_generation_without_a_file_is_not_brought_back(tmp_path: Path) -> None:
    made = publish_runs(tmp_path, "run-1", "run-2")
    (tmp_path / "generations" / made[0] / "latest.parquet").unlink()
    with pytest.raises(PublicationError, match=r"latest\.parquet is missing"):
        rollback(tmp_path / "availability.duckdb")
    (tmp_path / "generations" / made[0] / "manifest.json").unlink()
    with pytest.raises(PublicationError, match="it has no manifest"):
        rollback(tmp_path / "availability.duckdb")
    shutil.rmtree(tmp_path / "generations" / made[0])
    with pytest.raises(PublicationError, match="there is no generation before"):
        rollback(tmp_path / "availability.duckdb")
    assert run_read(tmp_path) == "run-2"


def test_a_damaged_published_database_can_be_rolled_back(tmp_path: Path) -> None:
    path = publish_runs(tmp_path, "run-1", "run-2") and tmp_path / "availability.duckdb"
    os.truncate(sample.writable(path), 20_000)
    rollback(path)
    assert run_read(tmp_path) == "run-1"


@pytest.fixture(params=["links", "copies"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder for publishing; with copies, the generations are on another file system."""
    if request.param == "links":
        yield tmp_path
        return
    here = tmp_path.stat().st_dev
    places = [place for place in (Path("/dev/shm"), Path("/var/tmp")) if place.is_dir()]  # noqa: S108 - each its own
    others = [place for place in places if place.stat().st_dev != here]
    if not others:
        pytest.skip("there is only one file system")
    with tempfile.TemporaryDirectory(dir=others[0]) as folder:
        (tmp_path / "generations").symlink_to(folder)
        yield tmp_path


def test_publishing_and_rolling_back_needs_no_links(shelf: Path) -> None:
    made = publish_runs(shelf, "run-1", "run-2", "run-3", "run-4")
    assert sample.generations(shelf) == sorted(made[1:])
    rollback(shelf / "availability.duckdb")
    rollback(shelf / "availability.duckdb")
    assert run_read(shelf) == "run-2"
    assert {path.name for path in shelf.iterdir()} == {
        "availability.duckdb", "generations", "manifest.json", "working",
    }  # fmt: skip


def test_a_swap_that_ended_before_the_manifest_is_finished(shelf: Path) -> None:
    publish_runs(shelf, "run-1", "run-2")
    before = (shelf / "manifest.json").read_text(encoding="utf-8")
    made = publish_runs(shelf, "run-3")
    (shelf / "manifest.json").write_text(before, encoding="utf-8")
    release.remove_leftovers(shelf / "availability.duckdb")
    assert run_read(shelf) == "run-3"
    assert made[0] in sample.generations(shelf)
    (shelf / "manifest.json").write_text(before, encoding="utf-8")
    rollback(shelf / "availability.duckdb")
    assert run_read(shelf) == "run-2"


def test_a_rollback_that_ended_before_the_manifest_is_finished(shelf: Path) -> None:
    publish_runs(shelf, "run-1", "run-2", "run-3")
    before = (shelf / "manifest.json").read_text(encoding="utf-8")
    rollback(shelf / "availability.duckdb")
    (shelf / "manifest.json").write_text(before, encoding="utf-8")
    rollback(shelf / "availability.duckdb")
    assert run_read(shelf) == "run-1"


def test_a_manifest_that_was_deleted_comes_back(shelf: Path) -> None:
    publish_runs(shelf, "run-1", "run-2")
    (shelf / "manifest.json").unlink()
    release.remove_leftovers(shelf / "availability.duckdb")
    assert run_read(shelf) == "run-2"


def test_a_published_database_that_was_deleted_comes_back(shelf: Path) -> None:
    publish_runs(shelf, "run-1", "run-2")
    (shelf / "availability.duckdb").unlink()
    publish_runs(shelf, "run-3")
    rollback(shelf / "availability.duckdb")
    assert run_read(shelf) == "run-2"


FOREIGN = {
    "is not a manifest of this program": '{"name": "my web app"}',
    "is not a manifest of this": "dear diary",
    "has schema version 99, and this program knows only 6; upgrade": '{"schema_version": 99, "layers": []}',
}


@pytest.mark.parametrize("message", FOREIGN)
def test_a_manifest_of_something_else_is_not_replaced(tmp_path: Path, message: str) -> None:
    (tmp_path / "manifest.json").write_text(FOREIGN[message], encoding="utf-8")
    with pytest.raises(PublicationError, match=message):
        sample.publish_run(tmp_path, "run-1")
    with pytest.raises(PublicationError, match=message):
        check_target(tmp_path / "availability.duckdb", None)
    assert (tmp_path / "manifest.json").read_text(encoding="utf-8") == FOREIGN[message]
    assert not (tmp_path / "generations").exists()


def test_one_folder_is_for_one_published_database(tmp_path: Path) -> None:
    sample.publish_run(tmp_path, "run-1")
    with (
        sample.working_database(tmp_path) as working,
        pytest.raises(
            PublicationError, match=r"has the generations of availability\.duckdb, not of b\.duckdb"
        ),
    ):
        publish(working, tmp_path / "b.duckdb", "run-2")
    assert run_read(tmp_path) == "run-1"
    assert not (tmp_path / "b.duckdb").exists()


def test_a_publisher_that_never_ends_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_runs(tmp_path, "run-1", "run-2")
    monkeypatch.setattr(place, "LOCK_TIMEOUT_SECONDS", 0.1)
    path = tmp_path / "availability.duckdb"
    with place.locked(place.Place.of(path)):
        with pytest.raises(PublicationError, match="another process is publishing"):
            rollback(path)
        with pytest.raises(PublicationError, match="another process is publishing"):
            sample.publish_run(tmp_path, "run-3")
    assert run_read(tmp_path) == "run-2"
    assert len(sample.generations(tmp_path)) == 2
    assert [name for name in os.listdir(tmp_path / "generations") if name.endswith(".new")] == []  # noqa: PTH208


def test_nobody_can_write_to_what_is_read_nor_to_what_a_rollback_needs(tmp_path: Path) -> None:
    publish_runs(tmp_path, "run-1", "run-2")
    files = [path for path in (tmp_path / "generations").glob("*/**/*") if path.is_file()]
    assert len(files) > 10
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [*files, tmp_path / "availability.duckdb"]}
    assert modes == {0o444 & ~_umask()}
    assert rollback(tmp_path / "availability.duckdb").now.run_id == "run-1"


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value

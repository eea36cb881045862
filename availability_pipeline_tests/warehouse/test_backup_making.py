"""Making backups: whole ones, of one state, with names of their own, or none.

What runs meanwhile are real processes.
"""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.errors import AvailabilityError, BackupError, StoreError, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import backup as making
from availability_pipeline.warehouse import copies
from availability_pipeline.warehouse.backup import backup
from availability_pipeline.warehouse.restore import compact, restore
from availability_pipeline_tests.conftest import run_python, start_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.warehouse.databases import (
    STOPPED,
    TRY,
    foreign,
    mark_simulated,
    names,
    remembers,
)
from availability_pipeline_tests.warehouse.test_crashes import WRITER, written


def test_a_backup_is_a_database_that_duckdb_reads_and_nobody_writes_to(taken: Path) -> None:
    with duckdb.connect() as client:
        client.execute("ATTACH ? AS held (READ_ONLY)", [str(taken)])
        assert client.execute("SELECT count(*) FROM held.daily_availability").fetchall() == [
            (len(sample.DAYS) * len(sample.SPANS),)
        ]
    assert not stat.S_IMODE(taken.stat().st_mode) & 0o222


def restored(path: Path, folder: Path) -> int:
    """How many whole writes a backup has."""
    return written(restore(Settings.load({}, data_dir=str(folder)), path).path)


def test_a_backup_while_collections_run_is_the_state_between_two_of_them(tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path / "data"))
    run_python(WRITER, settings.working_path, 200, 1)
    with start_python(WRITER, settings.working_path, 200, 2) as writer:
        assert writer.stdout
        paths = [backup(settings, tmp_path / "backups").path for _ in writer.stdout]
        _, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors
    counts = [restored(path, tmp_path / f"restored-{number}") for number, path in enumerate(paths)]
    assert len(paths) == 3
    assert counts == sorted(counts)
    assert counts[-1] == written(settings.working_path) == 3


def test_writers_wait_for_the_snapshot_and_not_for_the_copy(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_to = making.copy_to

    def meanwhile(connection: duckdb.DuckDBPyConnection, target: Path) -> object:
        with start_python(STOPPED, settings.working_path, "meanwhile") as writer:
            assert writer.wait(60) == -9
        return copy_to(connection, target)

    monkeypatch.setattr(making, "copy_to", meanwhile)
    path = backup(settings, tmp_path / "backups").path
    assert remembers(settings.working_path, "meanwhile")
    monkeypatch.undo()
    restore(settings, path)
    assert not remembers(settings.working_path, "meanwhile")


def test_the_oldest_backups_are_removed_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    made = [backup(settings, folder).path for _ in range(3)]
    demo = Settings.load({}, data_dir=str(tmp_path / "demo"))
    shutil.copytree(settings.data_dir, demo.data_dir)
    others = [
        folder / "availability-20200101T000000Z.duckdb",
        folder / "availability-20200101T000000Z.duckdb.txt",
    ]
    for path in others:
        path.write_text("mine", encoding="utf-8")
    others.append(backup(mark_simulated(demo), folder).path)
    newest = backup(settings, folder, keep=2)
    assert set(folder.iterdir()) == {*others, made[2], newest.path}
    assert newest.removed == (made[0], made[1])
    newest = backup(settings, folder, keep=1)
    assert set(folder.iterdir()) == {*others, newest.path}


def test_backups_of_one_second_have_names_of_their_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: sample.COLLECTED_AT)
    paths = [backup(settings, tmp_path / "backups").path for _ in range(2)]
    assert [path.name for path in paths] == [
        "availability-20240401T020003Z.duckdb",
        "availability-20240401T020003Z-2.duckdb",
    ]
    assert restore(settings, tmp_path / "backups").backup == paths[1]


def test_what_a_killed_backup_left_is_gone_after_the_next(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for ending in ("", ".taken", ".tmp"):
        (folder / f".backup.0123abcd.new{ending}").write_bytes(b"half")
    assert names(folder)[0].startswith(".")
    assert names(folder)[-1:] != [backup(settings, folder).path.name]
    assert [path for path in names(folder) if path.startswith(".")] == []


def test_without_a_working_database_there_is_nothing_to_do(tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path / "data"))
    for do in (lambda: backup(settings, tmp_path / "b"), lambda: compact(settings)):
        with pytest.raises(StoreError, match=r"there is no working database .*; `backfill` makes one"):
            do()
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_something_else_is_not_backed_up(settings: Settings, tmp_path: Path) -> None:
    settings.working_path.unlink()
    foreign(tmp_path).rename(settings.working_path)
    for do in (lambda: backup(settings, tmp_path / "b"), lambda: compact(settings)):
        with pytest.raises(
            StoreError, match=f"{settings.working_path} is a DuckDB database of something else"
        ):
            do()
    assert names(tmp_path / "b") == []


def test_a_damaged_database_is_not_backed_up(settings: Settings, tmp_path: Path) -> None:
    with settings.working_path.open("r+b") as file:
        file.seek(20_000)
        file.write(b"\xff" * 200)
    before = settings.working_path.read_bytes()
    for do in (lambda: backup(settings, tmp_path / "b"), lambda: compact(settings)):
        with pytest.raises(AvailabilityError, match=r"^the working database .* is damaged"):
            do()
    assert names(tmp_path / "b") == []
    assert settings.working_path.read_bytes() == before


def test_a_place_where_nothing_can_be_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is not a folder"):
        backup(settings, tmp_path / "file")
    with pytest.raises(UsageError, match=r"because .*/none is no folder; make that first"):
        backup(settings, tmp_path / "none" / "backups")
    with pytest.raises(UsageError, match=r"x cannot be made \(File name too long\); name another folder"):
        backup(settings, tmp_path / ("x" * 300))


def test_a_full_disk_leaves_nothing(settings: Settings, taken: Path, small_disk: Path) -> None:
    full = Settings.load({}, data_dir=str(small_disk / "data"))
    full.working_path.parent.mkdir(parents=True)
    for ballast in (7_000_000, 6_000_000, 4_500_000):
        (small_disk / "ballast").write_bytes(b"\0" * ballast)
        with pytest.raises(BackupError, match=r"could not be backed up to .*, no backup was made; make room"):
            backup(settings, small_disk)
        assert names(small_disk) == ["ballast", "data"]
        if ballast > 5_000_000:
            with pytest.raises(
                BackupError, match=r"could not be restored .*, the working database is as it was"
            ):
                restore(full, taken)
            assert names(full.working_path.parent) == []


def test_nobody_writes_while_the_snapshot_is_taken(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    copyfile = shutil.copyfile

    def meanwhile(source: Path, target: Path) -> None:
        said.append(run_python(TRY, settings.working_path))
        copyfile(source, target)

    monkeypatch.setattr(copies.shutil, "copyfile", meanwhile)
    backup(settings, tmp_path / "backups")
    assert said == ["in use\n"]

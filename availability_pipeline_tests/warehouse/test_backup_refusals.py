"""What is not restored: everything that is not, byte for byte, a backup that was made, or is of other data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from availability_pipeline import settings as simulated
from availability_pipeline.errors import AvailabilityError, StoreError, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import database as store
from availability_pipeline.warehouse import restore as restoring
from availability_pipeline.warehouse.backup import backup
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.restore import restore
from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.warehouse.databases import (
    STOPPED,
    foreign,
    mark_simulated,
    remember,
)


def refused(settings: Settings, source: Path) -> str:
    """The message with which a restore is refused, having changed nothing."""
    before = (settings.working_path.read_bytes(), sorted(settings.data_dir.rglob("*")))
    with pytest.raises(AvailabilityError) as refusal:
        restore(settings, source)
    assert (settings.working_path.read_bytes(), sorted(settings.data_dir.rglob("*"))) == before
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_byte_that_is_another_anywhere_is_seen(settings: Settings, taken: Path, tmp_path: Path) -> None:
    whole, broken = taken.read_bytes(), tmp_path / "broken.duckdb"
    edges = [
        0,
        8,
        4096,
        8192,
        12288,
        len(whole) - 1,
        len(whole) - 2,
        len(whole) - 66,
        len(whole) - 67,
        len(whole) - 200,
    ]
    for offset in [*edges, *range(5000, len(whole), len(whole) // 40)]:
        broken.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        message = refused(settings, broken)
        assert "was damaged or changed since it was made" in message or "is not a complete backup" in message


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99, 0.99999])
def test_a_backup_that_was_cut_off_is_refused(
    settings: Settings, taken: Path, tmp_path: Path, share: float
) -> None:
    whole = taken.read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * share)])
    assert "is not a complete backup" in refused(settings, tmp_path / "cut")


def _published(folder: Path) -> Path:
    return sample.copy_published(folder).path


def _text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("dear diary\n" * 9, encoding="utf-8")
    return folder / "notes.txt"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _empty_folder(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_published, "is not a complete backup"),
        (foreign, "is not a complete backup"),
        (_text, "is not a complete backup"),
        (_pipe, "is not a file"),
        (_empty_folder, "has no backup in it"),
        (lambda folder: folder / "none", "cannot be read (No such file or directory)"),
        (
            lambda folder: folder / ("x" * 300),
            "cannot be read (File name too long); correct the path, or name another file",
        ),
    ],
)
def test_what_is_no_backup_is_refused(
    settings: Settings, tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    (tmp_path / "other").mkdir()
    assert message in refused(settings, make(tmp_path / "other"))


def test_a_data_directory_that_cannot_be_looked_into_is_told(taken: Path, tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path / ("x" * 300)))
    with pytest.raises(
        StoreError, match=r"cannot be reached \(File name too long\); set AVAILABILITY_DATA_DIR"
    ):
        restore(settings, taken)
    with pytest.raises(
        UsageError, match=r"cannot be written to \(File name too long\); choose another folder"
    ):
        simulated.mark_simulated(settings)


def test_something_after_the_end_is_seen(settings: Settings, taken: Path, tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(taken.read_bytes() + b"\n")
    assert "is not a complete backup" in refused(settings, tmp_path / "longer")


def test_the_working_database_is_no_backup_of_itself(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(settings.working_path)
    for path in (settings.working_path, tmp_path / "link"):
        assert "is the working database itself" in refused(settings, path)


def test_a_backup_that_somebody_wrote_to_is_refused(settings: Settings, taken: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    shutil.copyfile(taken, copy)
    remember(copy, "key")
    message = refused(settings, copy)
    assert "damaged or changed" in message or "not a complete backup" in message
    shutil.copyfile(taken, copy)
    with start_python(STOPPED, copy, "key") as process:
        process.wait(60)
    assert "copy.duckdb.wal" in refused(settings, copy)


def later_version(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    version = store.SCHEMA_VERSION
    monkeypatch.setattr(store, "MIGRATIONS", {version: step})
    for module in (store, restoring):
        monkeypatch.setattr(module, "SCHEMA_VERSION", version + 1)


def test_in_a_folder_the_newest_of_the_same_kind_of_data_is_meant(
    settings: Settings, taken: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    real = Path(shutil.copy(taken, folder / "availability-20240101T000000Z.duckdb"))
    made_up = backup(mark_simulated(settings), folder).path
    assert restore(settings, folder).backup == made_up
    assert restore(Settings.load({}, data_dir=str(tmp_path / "new")), folder).backup == real
    damaged = folder / "availability-20990101T000000Z.duckdb"
    damaged.write_bytes(taken.read_bytes()[:-1])
    assert f"{damaged} is not a complete backup" in refused(settings, folder)


def test_a_backup_of_an_older_version_is_migrated(
    settings: Settings, taken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later_version(monkeypatch, "CREATE TABLE more AS SELECT 7 AS n")
    restore(settings, taken)
    with connect(settings.working_path, read_only=True) as connection:
        assert connection.execute("FROM more").fetchall() == [(7,)]


def test_a_backup_of_a_newer_version_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        later_version(newer, "SELECT 1")
        with connect(settings.working_path):
            pass
        path = backup(settings, tmp_path / "backups").path
    assert "has schema version 4, and this program knows only 3; upgrade" in refused(settings, path)


def test_real_and_simulated_data_do_not_meet(settings: Settings, taken: Path, tmp_path: Path) -> None:
    assert "and this is real" in refused(mark_simulated(settings), taken)
    made_up = backup(settings, tmp_path / "backups").path
    settings.demo_marker.unlink()
    assert "holds real data, and this is simulated" in refused(settings, made_up)
    assert "holds real data, and this is simulated" in refused(settings, made_up.parent)
    new = Settings.load({}, data_dir=str(tmp_path / "new"))
    restore(new, made_up)
    assert new.is_demo

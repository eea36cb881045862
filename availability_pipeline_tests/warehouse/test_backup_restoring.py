"""Restoring: the database is what was backed up or what it was, whoever writes or dies meanwhile.

Databases are real files; what runs meanwhile are real processes.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.errors import DatabaseInUse
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import copies
from availability_pipeline.warehouse.backup import backup
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.restore import compact, restore
from availability_pipeline_tests.conftest import run_python, start_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.warehouse.databases import (
    STOPPED,
    TRY,
    everything,
    names,
    remember,
    remembers,
)
from availability_pipeline_tests.warehouse.test_connection import HOLD
from availability_pipeline_tests.warehouse.test_crashes import WRITER, written


def test_what_is_restored_is_what_was_backed_up(settings: Settings, tmp_path: Path) -> None:
    before = everything(settings.working_path)
    report = backup(settings, tmp_path / "backups")
    assert names(tmp_path / "backups") == [report.path.name]
    tables = report.facts.tables
    assert tables["availability"] == len(sample.DAYS) * len(sample.SPANS)
    assert (tables["collection_runs"], tables["symbols"]) == (2, len(sample.SPANS) + 1)
    assert tables["availability_changes"] > 100
    assert {"status_spans", "symbol_lifecycle"} < set(tables)
    assert (report.facts.data_through, report.facts.simulated) == (str(sample.LAST_DAY), False)
    with connect(settings.working_path) as connection:
        connection.execute("DELETE FROM availability WHERE symbol = 'BTCUSDT'; DROP TABLE status_spans")
    done = restore(settings, report.path)
    assert everything(settings.working_path) == before
    assert done.former is not None
    assert (done.former.name, done.former.parent) == ("availability.duckdb.before-restore", done.path.parent)
    assert names(done.path.parent) == ["availability.duckdb", done.former.name]
    with pytest.raises(duckdb.CatalogException), connect(done.former, read_only=True) as connection:
        connection.execute("FROM status_spans")


def test_the_next_restore_replaces_the_database_from_before(settings: Settings, taken: Path) -> None:
    for key in ("first", "second"):
        remember(settings.working_path, key)
        former = restore(settings, taken).former
        assert former is not None
        assert remembers(former, key)
        assert not remembers(settings.working_path, key)


def test_a_backup_is_restored_onto_a_new_machine(made: Settings, taken: Path, tmp_path: Path) -> None:
    new = Settings.load({}, data_dir=str(tmp_path / "new" / "data"))
    done = restore(new, taken.parent)
    assert (done.backup, done.former) == (taken, None)
    assert everything(new.working_path) == everything(made.working_path)
    assert names(new.data_dir) == ["working"]
    assert stat.S_IMODE(new.working_path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("broken", [b"", b"hello " * 5000, None])
def test_a_working_database_that_nobody_can_open_is_replaced(
    made: Settings, settings: Settings, taken: Path, broken: bytes | None
) -> None:
    path = settings.working_path
    content = path.read_bytes()[:20_000] if broken is None else broken
    path.write_bytes(content)
    for ending in ("wal", "wal.checkpoint"):
        path.with_name(f"{path.name}.{ending}").write_bytes(b"of something else")
    former = restore(settings, taken).former
    assert everything(path) == everything(made.working_path)
    assert former is not None
    assert former.read_bytes() == content
    assert names(path.parent) == [
        path.name, former.name, f"{former.name}.wal", f"{former.name}.wal.checkpoint"
    ]  # fmt: skip


def test_a_log_without_its_database_is_not_replayed(made: Settings, settings: Settings, taken: Path) -> None:
    with start_python(STOPPED, settings.working_path, "key") as process:
        process.wait(60)
    settings.working_path.unlink()
    restore(settings, taken)
    assert everything(settings.working_path) == everything(made.working_path)


def test_what_a_killed_writer_left_in_the_log_belongs_to_the_database(
    settings: Settings, taken: Path, tmp_path: Path
) -> None:
    path = settings.working_path
    with start_python(STOPPED, path, "killed") as process:
        process.wait(60)
    log = path.with_name(f"{path.name}.wal")
    assert log.exists()
    made = backup(settings, tmp_path / "backups").path
    assert log.exists()  # a backup leaves the database as it is
    former = restore(settings, taken).former
    assert former is not None
    assert remembers(former, "killed")
    assert not remembers(path, "killed")
    restore(settings, made)
    assert remembers(path, "killed")


def test_collections_go_on_while_backups_are_restored(tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path / "data"))
    run_python(WRITER, settings.working_path, 200, 2)
    path = backup(settings, tmp_path / "backups").path
    with start_python(WRITER, settings.working_path, 200, 6) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if line.strip() in ("ready", "3", "4"):
                restore(settings, path)
        _, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors
    assert 2 <= written(settings.working_path) < 8


@pytest.mark.usefixtures("impatient")
def test_a_process_that_does_not_come_to_an_end_is_named(
    settings: Settings, taken: Path, tmp_path: Path
) -> None:
    doings = (
        lambda: backup(settings, tmp_path / "b"),
        lambda: restore(settings, taken),
        lambda: compact(settings),
    )
    with start_python(HOLD, settings.working_path, 60) as holder:
        assert holder.stdout
        holder.stdout.readline()
        for do in doings:
            with pytest.raises(DatabaseInUse, match=f"{holder.pid}.*wait for it or end it"):
                do()
        holder.kill()
    assert names(tmp_path / "b") == []
    assert names(settings.working_path.parent) == ["availability.duckdb"]


@pytest.mark.usefixtures("impatient")
def test_a_process_that_writes_itself_is_told_so(settings: Settings, taken: Path, tmp_path: Path) -> None:
    with connect(settings.working_path) as connection:
        for do in (lambda: backup(settings, tmp_path / "b"), lambda: restore(settings, taken)):
            with pytest.raises(DatabaseInUse):
                do()
        assert connection.execute("SELECT count(*) FROM collection_runs").fetchall() == [(2,)]
    with connect(settings.working_path, read_only=True):
        assert backup(settings, tmp_path / "b").path.exists()


RESTORER = """
    import sys
    from pathlib import Path
    from availability_pipeline.warehouse.restore import restore
    from availability_pipeline.settings import Settings

    settings = Settings.load({}, data_dir=sys.argv[1])
    print("ready", flush=True)
    for number in range(100):
        restore(settings, Path(sys.argv[2 + number % 2]))
"""


def test_a_kill_at_any_moment_leaves_the_one_or_the_other(
    settings: Settings, taken: Path, tmp_path: Path
) -> None:
    remember(settings.working_path, "other")
    other = backup(settings, tmp_path / "backups").path
    both = [everything(settings.working_path), None]
    restore(settings, taken)
    both[1] = everything(settings.working_path)
    for milliseconds in (30, 150, 270, 390, 510):
        with start_python(RESTORER, settings.data_dir, taken, other) as process:
            assert process.stdout
            process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(milliseconds / 1000)
            process.kill()
        assert everything(settings.working_path) in both
        with connect(settings.working_path):
            pass
        assert set(names(settings.working_path.parent)) <= {
            "availability.duckdb",
            "availability.duckdb.before-restore",
        }


@pytest.mark.parametrize("links", [True, False])
def test_nobody_writes_to_the_old_database_while_it_is_replaced(
    settings: Settings, taken: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    with start_python(STOPPED, settings.working_path, "old") as writer:
        writer.wait(60)
    replace, said = copies.replace, []

    def no_links(*_: object) -> None:
        raise PermissionError

    def meanwhile(draft: Path, path: Path) -> None:
        # A kill after the rename would leave the new database beside the log of the old one.
        assert not copies.logs(path)
        said.append(run_python(TRY, settings.working_path))
        replace(draft, path)

    monkeypatch.setattr(copies, "replace", meanwhile)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    former = restore(settings, taken).former
    assert said == ["in use\n"]
    assert former is not None
    assert remembers(former, "old")
    assert not remembers(settings.working_path, "old")

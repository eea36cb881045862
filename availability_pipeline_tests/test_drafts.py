"""Drafts: gone after use, and after a kill as soon as somebody looks; never taken from a process that is alive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from availability_pipeline.drafts import draft_of, remove_dead_drafts
from availability_pipeline.store.connection import connect


def ended_process() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_draft_is_beside_its_target_and_gone_afterwards(tmp_path: Path) -> None:
    with draft_of(tmp_path / "a[1].duckdb") as draft:
        draft.write_text("half")
        Path(f"{draft}.wal").write_text("of it")
        assert draft.parent == tmp_path
        assert draft.name.startswith(f".a[1].duckdb.{os.getpid()}.")
    assert names(tmp_path) == set()


def test_a_draft_that_takes_its_name_stays(tmp_path: Path) -> None:
    with draft_of(tmp_path / "a.duckdb") as draft:
        draft.write_text("whole")
        draft.replace(tmp_path / "a.duckdb")
    assert names(tmp_path) == {"a.duckdb"}


def test_a_folder_can_be_a_draft(tmp_path: Path) -> None:
    with draft_of(tmp_path / "a") as draft:
        (draft / "deep").mkdir(parents=True)
        (draft / "deep" / "file").write_text("half")
    dead = tmp_path / f".a.{ended_process()}.0123abcd.new"
    (dead / "deep").mkdir(parents=True)
    remove_dead_drafts(tmp_path / "a")
    assert names(tmp_path) == set()


def test_an_exception_leaves_no_draft(tmp_path: Path) -> None:
    def interrupted() -> None:
        with draft_of(tmp_path / "a.duckdb") as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == set()


def test_two_drafts_of_one_process_do_not_meet(tmp_path: Path) -> None:
    with draft_of(tmp_path / "a.duckdb") as first:
        first.write_text("first")
        with draft_of(tmp_path / "a.duckdb") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert names(tmp_path) == set()


def test_only_drafts_of_the_target_whose_process_is_gone_are_removed(tmp_path: Path) -> None:
    dead = ended_process()
    kept = {
        f".a.duckdb.{os.getppid()}.0123abcd.new",
        ".a.duckdb.1.0123abcd.new.wal",
        f".b.duckdb.{dead}.0123abcd.new",
        ".a.duckdb.notes.new",
        "a.duckdb",
    }
    removed = {
        f".a.duckdb.{dead}.0123abcd.new",
        f".a.duckdb.{dead}.0123abcd.new.wal",
        f".a.duckdb.{os.getpid()}.0123abcd.new",  # of an earlier process with the number of this one
        f".a.duckdb.{2**70}.0123abcd.new",
    }
    for name in kept | removed:
        (tmp_path / name).write_text(name)
    remove_dead_drafts(tmp_path / "a.duckdb")
    assert names(tmp_path) == kept


def test_a_missing_folder_has_no_drafts(tmp_path: Path) -> None:
    remove_dead_drafts(tmp_path / "none" / "a.duckdb")


@pytest.mark.parametrize("exists", [True, False])
def test_opening_the_working_database_removes_what_a_kill_left(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "availability.duckdb"
    if exists:
        with connect(path):
            pass
    (tmp_path / f".availability.duckdb.{ended_process()}.0123abcd.new").write_text("half")
    with connect(path):
        assert {name for name in names(tmp_path) if name.endswith(".new")} == set()

"""Drafts: gone after use, and after a kill as soon as somebody looks; never taken from a process that is alive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from availability_pipeline.warehouse.atomic import draft_of, remove_dead_drafts
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.conftest import ROOT, start_python


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_draft_is_beside_its_target_and_gone_afterwards(tmp_path: Path) -> None:
    with draft_of(tmp_path / "a[1].duckdb") as draft:
        draft.write_text("half")
        Path(f"{draft}.wal").write_text("of it")
        assert draft.parent == tmp_path
        assert draft.name.startswith(".a[1].duckdb.")
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
    dead = tmp_path / ".a.0123abcd.new"
    (dead / "deep").mkdir(parents=True)
    remove_dead_drafts(tmp_path / "a")
    assert names(tmp_path) == set()


def test_files_that_others_remove_keep_no_folder(tmp_path: Path) -> None:
    begun = Event()

    def remove(files: list[Path]) -> None:
        begun.set()
        for file in files:
            file.unlink(missing_ok=True)

    with draft_of(tmp_path / "a") as draft:
        draft.mkdir()
        for number in range(2_000):
            (draft / str(number)).touch()
        other = Thread(target=remove, args=([*draft.iterdir()][::-1],))
        other.start()
        begun.wait()
    other.join()
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


WRITER = """
import sys
from pathlib import Path
from threading import Event, Thread
from availability_pipeline.warehouse.atomic import draft_of

with draft_of(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    print(draft, flush=True)
    sys.stdin.read()
"""


def test_only_drafts_of_the_target_whose_process_is_gone_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "a.duckdb"
    kept = {".b.duckdb.0123abcd.new", ".a.duckdb.notes.new", "a.duckdb"}
    for name in kept | {".a.duckdb.0123abcd.new", ".a.duckdb.0123abcd.new.wal"}:
        (tmp_path / name).write_text(name)
    with start_python(WRITER, target, stdin=subprocess.PIPE) as writer, draft_of(target) as own:
        own.write_text("half")
        assert writer.stdout
        live = Path(writer.stdout.readline().strip())
        remove_dead_drafts(target)
        assert names(tmp_path) == kept | {live.name, f"{live.name}.lock", own.name, f"{own.name}.lock"}
        writer.kill()
        writer.wait()
    remove_dead_drafts(target)
    assert names(tmp_path) == kept


def test_a_draft_of_another_pid_namespace_is_left_alone(tmp_path: Path) -> None:
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("making namespaces takes rights that this process does not have")
    target = tmp_path / "a.duckdb"
    with draft_of(target) as draft:
        draft.write_text("half")
        code = "import sys; from pathlib import Path; "
        code += "from availability_pipeline.warehouse.atomic import remove_dead_drafts; "
        code += "remove_dead_drafts(Path(sys.argv[1]))"
        command = [*alone, sys.executable, "-c", code, str(target)]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
        assert draft.read_text() == "half"


def test_a_missing_folder_has_no_drafts(tmp_path: Path) -> None:
    remove_dead_drafts(tmp_path / "none" / "a.duckdb")


@pytest.mark.parametrize("exists", [True, False])
def test_opening_the_working_database_removes_what_a_kill_left(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "availability.duckdb"
    if exists:
        with connect(path):
            pass
    (tmp_path / ".availability.duckdb.0123abcd.new").write_text("half")
    with connect(path):
        assert {name for name in names(tmp_path) if name.endswith(".new")} == set()

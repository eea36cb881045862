"""The lock of a data directory, held by real processes: one at a time, free when its process dies, and no spinning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from availability_pipeline.errors import DatabaseInUse, StoreError
from availability_pipeline.warehouse import lock
from availability_pipeline.warehouse.lock import Holder, hold
from availability_pipeline_tests.conftest import ROOT

HOLDER = """
import sys
from pathlib import Path
from availability_pipeline.warehouse.lock import hold

with hold(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), lambda line: print(line, flush=True)) as died:
    print("held", died.run_id if died else "", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, run_id: str = "run-1", *, seconds: float = 60, before: tuple[str, ...] = ()) -> Iterator[
    subprocess.Popen[str]
]:  # fmt: skip
    """A process that asks for the lock, says what it hears, and holds it until its stdin closes."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(folder), run_id, str(seconds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def namespaces(*kinds: str) -> tuple[str, ...]:
    """A command in namespaces of its own; skips where this process may not make them."""
    command = ("unshare", *kinds)
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("making namespaces takes rights that this process does not have")
    return command


def test_a_process_waits_for_another_one_and_says_for_whom(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert line(first) == "held"
        with holder(tmp_path, "run-2") as second:
            waiting = line(second)
            assert waiting.startswith(f"Waiting for the run run-1 (process {first.pid} on ")
            assert " UTC), which is writing to the same database." in waiting
            first.communicate("")
            assert line(second) == "held"
    assert first.returncode == 0


def test_it_ends_with_one_sentence_after_its_time(tmp_path: Path) -> None:
    told: list[str] = []
    with holder(tmp_path) as first:
        assert line(first) == "held"
        with (
            pytest.raises(
                DatabaseInUse, match=rf"process {first.pid} on .* after 0.2 s; wait for that run or end"
            ),
            hold(tmp_path, "run-2", 0.2, told.append),
        ):
            pass
    assert len(told) == 1


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_waiting_takes_no_processor(tmp_path: Path) -> None:
    with holder(tmp_path) as first, holder(tmp_path, "run-2") as second:
        processes = {line(process).split()[0]: process for process in (first, second)}
        before = cpu_seconds(processes["Waiting"])
        time.sleep(4 * lock.POLL_SECONDS)
        assert cpu_seconds(processes["Waiting"]) - before < lock.POLL_SECONDS


@pytest.mark.parametrize(
    "before", [(), ("--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"), ("--pid", "--fork", "--kill-child")],
    ids=["here", "under another host name", "in another PID namespace"],
)  # fmt: skip
def test_the_lock_of_a_killed_process_is_free_and_says_whose_it_was(
    tmp_path: Path, before: tuple[str, ...]
) -> None:
    command = namespaces(before[0]) and ("unshare", *before) if before else ()
    with holder(tmp_path, before=command) as first:
        assert line(first) == "held"
        noted = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
        assert (noted["host"] == "elsewhere") is ("--uts" in before)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with hold(tmp_path, "run-2", 60) as died:
        assert died == Holder(**noted)
    with hold(tmp_path, "run-3", 0) as died:
        assert died is None


def test_a_live_process_of_another_pid_namespace_is_waited_for(tmp_path: Path) -> None:
    command = (*namespaces("--pid", "--fork", "--mount-proc"), "--kill-child")
    with holder(tmp_path, before=command) as first:
        assert line(first) == "held"
        with pytest.raises(DatabaseInUse), hold(tmp_path, "run-2", 0):
            pass
        first.communicate("")
    with hold(tmp_path, "run-2", 60) as died:
        assert died is None


def test_a_run_within_the_process_that_holds_it_goes_on(tmp_path: Path) -> None:
    with hold(tmp_path, "run-1", 0), hold(tmp_path, "run-2", 0) as died:
        assert died is None
        assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["run_id"] == "run-1"
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"run_id": "x"}'])
def test_a_note_that_was_cut_off_says_nothing(tmp_path: Path, note: str) -> None:
    (tmp_path / "run.json").write_text(note, encoding="utf-8")
    with hold(tmp_path, "run-1", 0) as died:
        assert died is None


def test_a_lock_that_cannot_be_had_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run.lock").mkdir()
    with (
        pytest.raises(
            StoreError, match=r"run\.lock cannot be locked \(Is a directory\); set AVAILABILITY_DATA_DIR"
        ),
        hold(tmp_path, "run-1", 0),
    ):
        pass


def test_an_error_while_it_is_held_is_no_death(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path, "run-1", 0):
        raise ZeroDivisionError
    with hold(tmp_path, "run-2", 0) as died:
        assert died is None

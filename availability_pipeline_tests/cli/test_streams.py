"""`-` for standard output, and readers of it that leave early."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from availability_pipeline_tests.cli.conftest import Run, Shell
from availability_pipeline_tests.cli.test_terminal import LONG, PROGRAM, SNAPSHOT, SQL, on_a_terminal


@pytest.mark.parametrize("chosen", [(), ("--format", "json"), ("--format", "csv"), ("--format", "table")])
@pytest.mark.parametrize("command", [SNAPSHOT, SQL, ("query", "lifecycle")], ids=lambda command: command[1])
def test_a_dash_is_standard_output(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    chosen: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    dashed = run(*command, *chosen, "--output", "-")
    assert (dashed.exit_code, dashed.stderr, dashed.stdout) == (0, "", run(*command, *chosen).stdout)
    assert list(tmp_path.iterdir()) == []


def test_a_dash_is_standard_output_for_a_list_of_urls(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dashed, plain = run("urls", "--aria2", "--output", "-"), run("urls", "--aria2")
    assert (dashed.exit_code, dashed.stdout, dashed.stderr) == (0, plain.stdout, plain.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_called_dash_can_be_written_and_is_never_meant_by_a_dash(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*SNAPSHOT, "--output", "./-").exit_code == 0
    assert len(json.loads((tmp_path / "-").read_text("utf-8"))) == 3
    (tmp_path / "-").unlink()
    (tmp_path / "-").mkdir()
    assert run(*SNAPSHOT, "--output", "-").exit_code == 0


def test_parquet_goes_into_a_pipe(shell: Shell, run: Run, tmp_path: Path) -> None:
    for command in (LONG, SQL):
        piped = shell(*command, "--format", "parquet", "--output", "-")
        run(*command, "--output", str(tmp_path / "a.parquet"), "--force")
        assert (piped.returncode, piped.stderr) == (0, b"")
        assert pq.read_table(io.BytesIO(piped.stdout)).equals(pq.read_table(tmp_path / "a.parquet"))


@pytest.mark.parametrize("where", [(), ("--output", "-")])
def test_parquet_does_not_go_to_a_terminal(environment: dict[str, str], where: tuple[str, ...]) -> None:
    assert on_a_terminal(environment, 80, *SNAPSHOT, "--format", "parquet", *where) == (
        2,
        "Error: parquet is binary and does not go to a terminal; name a file with --output FILE\n",
    )


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["export", "-"], "DIR"),
        (["export", "-", "--format", "csv", "--force"], "DIR"),
        (["backup", "-"], "DIR"),
        (["restore", "-"], "FILE"),
        (["demo", "--data-dir", "-"], "data_dir"),
    ],
    ids=" ".join,
)
def test_a_dash_is_no_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run(*command)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert (
        refused.stderr == f"Error: {name} is -, which stands for a stream; it must be a path, such as ./-\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["AVAILABILITY_DATA_DIR", "AVAILABILITY_DB_PATH"])
def test_a_dash_is_no_setting(run: Run, variable: str) -> None:
    refused = run("status", **{variable: "-"})
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{variable} is -, which stands for a stream" in refused.stderr


@pytest.mark.parametrize("command", [("export",), ("backup",)])
def test_an_empty_folder_is_not_this_one(run: Run, command: tuple[str, ...]) -> None:
    refused = run(*command, "")
    assert (refused.exit_code, refused.stderr) == (2, "Error: DIR is empty; it must be a path\n")


def test_an_empty_output_is_refused(run: Run) -> None:
    refused = run(*SNAPSHOT, "--output", "")
    assert (refused.exit_code, refused.stderr) == (2, "Error: --output is empty; it must be a path\n")


ANSWERING = [
    *((*LONG, "--format", chosen) for chosen in ("json", "csv", "parquet")),
    (*LONG, "--format", "table", "--all"),
    SQL, ("urls",), ("urls", "--output", "-"), (*LONG, "--output", "/dev/stdout", "--force"),
    ("status",), ("status", "--format", "table"), ("--help",), ("query", "--help"), ("--version",),
]  # fmt: skip


@pytest.mark.parametrize("command", ANSWERING, ids=" ".join)
def test_a_reader_that_left_before_the_first_byte_ends_a_command_quietly(
    environment: dict[str, str], command: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, *command], env={**os.environ, **environment}, stdout=writing, stderr=subprocess.PIPE, check=False,
        timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


# The others have said all before a reader can leave.
@pytest.mark.parametrize("command", [*ANSWERING[:4], ("urls",)], ids=" ".join)
def test_a_reader_that_leaves_early_ends_a_command_quietly(
    environment: dict[str, str], command: tuple[str, ...]
) -> None:
    with subprocess.Popen(["head", "-c", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as head:
        done = subprocess.run(
            [*PROGRAM, *command], env={**os.environ, **environment}, stdout=head.stdin, stderr=subprocess.PIPE,
            check=False, timeout=60,
        )  # fmt: skip
        assert head.stdin is not None
        head.stdin.close()
    # What fits into the pipe is not noticed to be unread, as with every program.
    said = b"180 files, 6.8 MB\n" if done.returncode == 0 and command[0] == "urls" else b""
    assert (done.returncode in (0, 1), done.stderr) == (True, said)


@pytest.mark.parametrize("chosen", ["json", "csv", "table", "parquet"])
def test_a_named_pipe_whose_reader_leaves_ends_a_command_quietly(
    environment: dict[str, str], tmp_path: Path, chosen: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    query = "SELECT uuid() AS name FROM range(10_000)"  # more than a pipe holds, in every format
    command = ["query", "sql", query, "--format", chosen, "--output", str(tmp_path / "pipe"), "--force"]
    with subprocess.Popen(
        [*PROGRAM, *command], env={**os.environ, **environment}, stderr=subprocess.PIPE
    ) as child:
        with (tmp_path / "pipe").open("rb") as reader:
            reader.read(1)
        _, said = child.communicate(timeout=120)
    assert (child.returncode in (0, 1), said) == (True, b"")


@pytest.mark.parametrize("words", ["nosuch", "query timeline BTCUST", "export", "query snapshot soon"])
def test_a_message_that_nobody_reads_is_no_traceback(environment: dict[str, str], words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, *words.split()], env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=writing,
        check=False, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert done.stdout == b""
    assert done.returncode in (1, 2)

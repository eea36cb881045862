"""Terminals that do not know their size, and colours where they belong only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from availability_pipeline_tests.cli.conftest import Run, Shell
from availability_pipeline_tests.publishing import sample

SNAPSHOT = ("query", "snapshot", str(sample.DAYS[50]))
LONG = ("query", "range", str(sample.FIRST_DAY), str(sample.LAST_DAY))
SQL = ("query", "sql", "FROM symbols")
PROGRAM = [sys.executable, "-W", "error", "-m", "availability_pipeline"]


def on_a_terminal(
    environment: dict[str, str], columns: int, *arguments: str, **variables: str
) -> tuple[int, str]:
    """Exit code and output of a command on a terminal of so many columns."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
    said = b""
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TERM")}
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdin=side, stdout=side, stderr=side,
        env={**own, **environment, "TERM": "xterm", "PAGER": "cat", **variables},
    ) as child:  # fmt: skip
        os.close(side)
        with contextlib.suppress(OSError):  # the child has closed its end
            while part := os.read(main, 4096):
                said += part
    os.close(main)
    return child.returncode, said.decode().replace("\r\n", "\n")


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


IMPOSSIBLE = ["0", "1", "00", "19", "", "-1", "-80", "80.5", "wide", "²", "٨٠", "9" * 5000]


@pytest.mark.parametrize("command", [SNAPSHOT, ("status",)], ids=lambda command: command[-1])
def test_a_size_that_no_terminal_has_counts_as_unknown(run: Run, command: tuple[str, ...]) -> None:
    usual = run(*command, "--format", "table", COLUMNS="80").stdout
    for variable in ("COLUMNS", "LINES"):
        for text in IMPOSSIBLE:
            result = run(*command, "--format", "table", **{variable: text})
            assert (result.exit_code, result.stdout) == (0, usual), (variable, text[:5])


@pytest.mark.parametrize("columns", [0, 1, 19])
@pytest.mark.parametrize("more", [{}, {"COLUMNS": "0", "LINES": "0"}])
def test_a_terminal_without_a_size_gets_the_whole_table(
    run: Run, environment: dict[str, str], columns: int, more: dict[str, str]
) -> None:
    usual = run(*SNAPSHOT, "--format", "table", COLUMNS="80").stdout
    code, said = on_a_terminal(environment, columns, *SNAPSHOT, **more)
    assert (code, uncoloured(said)) == (0, usual)


def test_a_terminal_is_asked_where_the_environment_says_nothing_usable(environment: dict[str, str]) -> None:
    _, said = on_a_terminal(environment, 30, *SNAPSHOT, COLUMNS="0")
    assert max(len(line) for line in uncoloured(said).splitlines()[1:]) <= 30


def test_progress_on_a_terminal_without_a_size_is_readable() -> None:
    code = (
        "from availability_pipeline.collecting.progress import shown_progress\n"
        "with shown_progress() as shown: shown.stage('listing', 10, 'pages')"
    )
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 3, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=side, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    assert "listing (pages)" in os.read(main, 65536).decode()
    os.close(main)


COLOURFUL = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "PY_COLORS": "1", "TTY_COMPATIBLE": "1",
             "COLORTERM": "truecolor", "TERM": "xterm-256color", "TTY_INTERACTIVE": "1"}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        *((command, COLOURFUL) for command in (SNAPSHOT, SQL, (*LONG, "--all"))),
        (SNAPSHOT, {"FORCE_COLOR": "3"}),
        (SNAPSHOT, {"TTY_COMPATIBLE": "1"}),
    ],
)
def test_a_table_in_a_file_has_no_escape_codes(
    run: Run, shell: Shell, tmp_path: Path, command: tuple[str, ...], variables: dict[str, str]
) -> None:
    usual = run(*command, "--format", "table").stdout
    for path in (tmp_path / "new", Path("/dev/stdout")):
        done = shell(*command, "--format", "table", "--output", str(path), "--force", **variables)
        assert (done.returncode, done.stderr) == (0, b"")
        assert (done.stdout or path.read_bytes()).decode() == usual


def test_a_terminal_still_gets_colours(environment: dict[str, str]) -> None:
    assert "\x1b[" in on_a_terminal(environment, 80, *SNAPSHOT)[1]

"""The command line as a whole: its help, its lazy commands, its exit codes and what goes to which stream."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from availability_pipeline import __version__
from availability_pipeline.cli import main as package
from availability_pipeline.cli.main import COMMANDS, cli
from availability_pipeline.errors import PublishedDatabaseError, UsageError
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline_tests.cli.conftest import Run, Shell


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


@pytest.mark.parametrize("path", [(), *_commands(cli)], ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_help_shows_an_example_of_the_command(run: Run, path: tuple[str, ...], option: str) -> None:
    result = run(*path, option)
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Example")
    assert " ".join(["  binance-futures-availability", *path]) in examples


@pytest.mark.parametrize("path", [(), *_commands(cli)], ids=" ".join)
def test_every_example_can_be_parsed(run: Run, path: tuple[str, ...]) -> None:
    lines = run(*path, "--help").stdout.splitlines()
    examples = [
        shlex.split(line)[1:] for line in lines if line.startswith("    binance-futures-availability ")
    ]
    examples += [
        shlex.split(line)[1:] for line in lines if line.startswith("  binance-futures-availability ")
    ]
    for example in examples:
        command: click.Command = cli
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), example.pop(0))
            assert found is not None
            command = found
        command.make_context("example", list(example), parent=click.Context(cli, **cli.context_settings))


def test_the_list_of_commands_loads_none_of_them(shell: Shell) -> None:
    program = (
        "import sys; from availability_pipeline.cli.main import cli; cli(['--help'], standalone_mode=False); "
        "print([name for name in sys.modules if name in ('dagster', 'boto3', 'duckdb', 'rich', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert all(f"  {name}" in done.stdout for name in COMMANDS)
    assert done.stdout.encode().startswith(shell("--help").stdout.split(b"\n\n")[0].split(b" ")[0])


def test_a_query_loads_neither_dagster_nor_the_network(published_path: Path) -> None:
    program = (
        "import sys; from availability_pipeline.cli.main import cli\n"
        "cli(['query', 'snapshot', '2024-02-01', '--format', 'csv'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name in ('dagster', 'boto3', 'rich', 'requests', 'pyarrow')])"
    )
    environment = {**os.environ, "AVAILABILITY_DB_PATH": str(published_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")


def test_the_version_and_the_name_are_the_same_either_way(run: Run, shell: Shell) -> None:
    assert run("--version").stdout == f"binance-futures-availability, version {__version__}\n"
    assert shell("--version").stdout.decode() == f"binance-futures-availability, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [("bogus",), ("query", "bogus"), ("query", "snapshot"), ("status", "--bogus")]
)
def test_wrong_usage_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("Wrong."), 2), (PublishedDatabaseError("Broken."), 1)]
)
def test_an_error_is_one_sentence_on_stderr(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    monkeypatch.setattr(AvailabilityQueries, "get_status", _raising(error))
    result = run("status")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"Error: {error}\n")


def _raising(error: BaseException) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_an_unexpected_error_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvailabilityQueries, "get_status", _raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run("status")


def test_ctrl_c_says_so_and_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvailabilityQueries, "get_status", _raising(KeyboardInterrupt()))
    result = run("status")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "Interrupted; what was not complete was not written.\n"


def test_ctrl_c_is_a_json_line_where_logs_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvailabilityQueries, "get_status", _raising(KeyboardInterrupt()))
    result = run("status", AVAILABILITY_LOG_FORMAT="json")
    assert result.exit_code == 130
    assert json.loads(result.stderr)["message"].startswith("Interrupted")


def test_ctrl_c_ends_a_process_without_traceback(environment: dict[str, str]) -> None:
    program = (
        "import sys, time\n"
        "from availability_pipeline.cli import main as cli; from availability_pipeline.queries.api import *\n"
        "def wait(queries): print('ready', flush=True); [time.sleep(0.1) for _ in range(600)]\n"
        "AvailabilityQueries.get_status = wait; sys.argv = ['x', 'status']; cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
    assert child.returncode == 130
    assert said.startswith("Interrupted")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "days", [("snapshot", "2024-01-10"), ("range", "2024-01-10", "2024-03-19")], ids=" ".join
)
@pytest.mark.parametrize("chosen", ["json", "csv", "table"])
def test_a_reader_that_leaves_early_causes_no_traceback(
    environment: dict[str, str], chosen: str, days: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "availability_pipeline", "query", *days]
    with subprocess.Popen(
        [*command, "--format", chosen], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 1


def test_without_a_published_database_it_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    for arguments in (("status",), ("query", "snapshot", "2024-01-15"), ("query", "timeline", "BTCUSDT")):
        result = run(*arguments, AVAILABILITY_DB_PATH=str(tmp_path / "none.duckdb"))
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(
            f"Error: there is no published database {tmp_path}/none.duckdb; run `"
        )
        assert result.stderr.count("\n") == 1


def test_a_wrong_setting_is_wrong_usage(run: Run) -> None:
    result = run("status", AVAILABILITY_CONNECTIONS="many")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: AVAILABILITY_CONNECTIONS is 'many'")


def test_a_broken_table_of_commands_is_a_bug_and_not_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(package.COMMANDS, "odd", ("options:PROGRAM", ""))
    with pytest.raises(TypeError, match=r"options\.PROGRAM is no command"):
        cli.get_command(click.Context(cli), "odd")

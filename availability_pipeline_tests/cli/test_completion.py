"""Completion by click's own scripts: commands and contracts, quickly and without a word more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from availability_pipeline.cli.main import cli
from availability_pipeline.cli.options import PROGRAM
from availability_pipeline_tests.cli.conftest import Run
from availability_pipeline_tests.conftest import ROOT, run_python

VARIABLE = "_BINANCE_FUTURES_AVAILABILITY_COMPLETE"


def completed(run: Run, *words: str, **variables: str) -> list[str]:
    """What click answers to bash, in this process."""
    line = {
        "COMP_WORDS": " ".join(("program", *words)),
        "COMP_CWORD": str(len(words)),
        VARIABLE: "bash_complete",
    }
    done = run(**line, **variables)
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run a command by the program's own name, from which click takes the name of the variable."""

    def invoke(*arguments: str, **variables: str) -> Result:
        runner = CliRunner(env={**environment, **variables})
        return runner.invoke(cli, list(arguments), prog_name=PROGRAM)

    return invoke


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("qu",), ["query"]),
        (("query", "time"), ["timeline"]),
        (("query", "timeline", "eth"), ["ETHUSDT"]),
        (("query", "timeline", "币"), ["币安人生USDT"]),
        (("query", "timeline", "nosuch"), []),
        (("urls", "--symbols", "btcusdt,L"), ["btcusdt,LUNAUSDT"]),
        (("backfill", "--symbols", "lu"), ["LUNAUSDT"]),
        (("urls", "--che"), ["--checksums"]),
        (("query", "snapshot", "2024"), []),
        (("export", "--format", ""), ["parquet", "csv"]),
    ],
)
def test_what_is_completed(run: Run, words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(run, *words) == expected


def test_without_a_database_there_is_silence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no database", encoding="utf-8")
    for path in ("missing", "broken"):
        place = {"AVAILABILITY_DB_PATH": str(tmp_path / path)}
        assert completed(run, "query", "timeline", "BTC", **place) == []


def test_completing_loads_neither_dagster_nor_the_archive(environment: dict[str, str]) -> None:
    line = {"COMP_WORDS": "program query timeline BT", "COMP_CWORD": "3", VARIABLE: "bash_complete"}
    code = """
        import sys
        from availability_pipeline.cli.main import cli
        try:
            cli.main(prog_name="binance-futures-availability")
        except SystemExit:
            print([name for name in ("dagster", "boto3", "rich", "requests", "pyarrow") if name in sys.modules])
    """
    assert run_python(code, **environment, **line).splitlines() == ["plain,BTCUSDT", "[]"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_documented_line_prints_the_script_of_each_shell(run: Run, name: str) -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    assert f"{VARIABLE}={name}_source {PROGRAM}" in page
    assert f"{VARIABLE}={name}_complete" in run(**{VARIABLE: f"{name}_source"}).stdout


def test_bash_completes_with_it(environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / PROGRAM
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.argv[0] = \'{program.name}\'; '
        'from availability_pipeline.cli.main import main; main()" "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    code = f"""
        eval "$({VARIABLE}=bash_source {PROGRAM})"
        COMP_WORDS=(binance-futures-availability query timeline btc); COMP_CWORD=3
        $(complete -p binance-futures-availability | sed 's/.*-F \\([^ ]*\\) .*/\\1/') binance-futures-availability
        echo "${{COMPREPLY[@]}}"
    """
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", code], env={**os.environ, **environment, **path},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("BTCUSDT\n", "")

"""Every command and all Python that README and docs show is run, and what is shown of its output is compared.

Questions are put to the demo data, as on a terminal of 80 columns. What writes is run in the order of the documents, on
a simulated archive of its own.
"""

from __future__ import annotations

import doctest
import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.cli.main import cli
from availability_pipeline.settings import Settings
from availability_pipeline_tests import document_check, pipeline
from availability_pipeline_tests.cli.commands import invoked
from availability_pipeline_tests.demo_data import LAST_DAY, NOW, Demo, clock_at
from availability_pipeline_tests.simulator import ScriptedArchive, serve

DOCUMENTS = document_check.documents()
PROGRAM = "binance-futures-availability"
WRITING = ("backfill", "update", "validate", "publish", "backup", "restore", "compact", "report")
ELSEWHERE = {
    f"{PROGRAM} demo --symbols 20": ".ci/newcomer.py runs it, with the UI",
    "make demo-ui 'ARGS=--symbols 20'": ".ci/newcomer.py runs it",
    "make demo-ui": ".ci/newcomer.py runs it",
    "make audit": "CI runs it; test_audit tests it",
    "make run": "it is `backfill --missing` and `make ui`",
    "make test": "this is it",
    "make test-fast": "a part of it",
    "make lint": "CI runs it",
    f"{PROGRAM} backfill": "cli/test_collect runs it over a shorter history",
    "make bench": "test_benchmarks runs the tasks",
    "make charts": "queries/test_report compares what it writes",
    "dagster schedule wipe": "it asks for a confirmation, and is Dagster's own",
    "sudo timedatectl set-ntp true": "it sets the clock of the machine",
    ".venv/bin/dg list defs": "test_definitions runs dg",
    "pip install .": "the installation is not tested from within",
}
"""What is not run here, and why."""

DOCUMENTS_ELSEWHERE = {
    "deployment.md": "root, Docker or a cluster are needed; deploy/test_guide looks at each command"
}
"""Whose commands, other than ours, are not run here, and why."""


@dataclass(frozen=True)
class Shown:
    """A command of a document, and the output that the document shows of it."""

    document: Path
    command: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command, comments=True)

    @property
    def program(self) -> str:
        """The command without its comment."""
        return shlex.join(self.words)


def commands_of(document: Path) -> Iterator[Shown]:
    blocks = re.findall(r"^```console\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip().splitlines()
            yield Shown(document, command, tuple(line.rstrip() for line in output))


def label(shown: Shown) -> str:
    return f"{shown.document.name}: {shown.program}"


COMMANDS = [shown for document in DOCUMENTS for shown in commands_of(document)]
OURS = [shown for shown in COMMANDS if shown.words[0] == PROGRAM and shown.program not in ELSEWHERE]
READING = [shown for shown in OURS if shown.words[1] not in WRITING]


def test_there_are_commands_with_output() -> None:
    assert len(READING) > 20
    assert sum(bool(shown.output) for shown in READING) > 10


def test_nothing_is_shown_that_is_not_run() -> None:
    others = [
        shown for shown in COMMANDS if shown not in OURS and shown.document.name not in DOCUMENTS_ELSEWHERE
    ]
    assert {shown.program for shown in others} - set(ELSEWHERE) == set()


def fits(output: list[str], expected: tuple[str, ...]) -> bool:
    """Whether lines are as shown, where `…` stands for anything, and by itself for any lines."""
    pattern = "\n".join(
        "(.*\n)*.*" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…")))
        for line in expected
    )
    return re.fullmatch(pattern, "\n".join(output)) is not None


@pytest.mark.parametrize("shown", READING, ids=label)
def test_a_question_is_answered_as_shown(
    shown: Shown, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    environ = {
        "AVAILABILITY_DATA_DIR": str(demo.settings.data_dir),
        "COLUMNS": "80", "LINES": "100000", "TERM": "dumb", "SHELL": "/bin/bash",
    }  # fmt: skip
    with clock_at(NOW):
        result = CliRunner(env=environ).invoke(cli, shown.words[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    lines = [line.rstrip() for line in result.output.rstrip().splitlines()]
    assert lines or list(tmp_path.iterdir())
    if shown.output:
        assert fits(lines, shown.output), "\n" + "\n".join(lines)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a data directory that has the history of two contracts, as after `backfill`."""
    archive = ScriptedArchive.recorded(symbols=["BTCUSDT", "ETHUSDT"], now=NOW)
    with serve(archive) as server, clock_at(NOW, server):
        settings = Settings.load(server.environment(), data_dir=str(tmp_path / "data"))
        pipeline.run_and_publish(settings, DEFAULT_DATASET.first_day, LAST_DAY)
        yield {**settings.environment(), "DAGSTER_HOME": str(tmp_path / "dagster")}


@pytest.mark.no_cover  # as in the scenarios
def test_what_writes_does_so_in_the_order_of_the_documents(
    place: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = dict.fromkeys(shown.program for shown in OURS if shown.words[1] in WRITING)
    assert len(lines) > 8
    for line in lines:
        done = invoked(place, *shlex.split(line)[1:])
        assert (line, done.exit_code) == (line, 0), done.stderr
        assert done.stdout, line


PYTHON_ELSEWHERE = {"object-storage.md"}
"""Documents whose Python needs more than the demo's data; publishing/remote/test_guide runs it."""


def python_of(document: Path, language: str) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "availability_pipeline" in block or ">>>" in block]


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if python_of(d, "python") and d.name not in PYTHON_ELSEWHERE],
    ids=lambda path: path.name,
)
def test_python_runs(document: Path, demo: Demo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(demo.settings.data_dir))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in python_of(document, "python"):
        with clock_at(NOW):
            exec(compile(block, document.name, "exec"), names)  # noqa: S102 - our own document
    assert names


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if python_of(d, "pycon")], ids=lambda path: path.name
)
def test_python_answers_as_shown(
    document: Path, demo: Demo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(demo.settings.data_dir))
    monkeypatch.chdir(tmp_path)
    text = "\n".join(python_of(document, "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, document.name, None, 0)
    said: list[str] = []
    with clock_at(NOW), warnings.catch_warnings():
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert "".join(said) == ""

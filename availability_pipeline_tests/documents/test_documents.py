"""What documents show exists: commands, options, make targets, settings, links; reference tables are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from availability_pipeline.cli.main import cli
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.settings import VARIABLES
from availability_pipeline_tests import document_check
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.documents import column_tables

REFERENCE = root() / "docs" / "reference"


@pytest.mark.parametrize("document", document_check.documents(), ids=lambda path: path.name)
def test_what_a_document_names_exists(document: Path) -> None:
    assert list(document_check.problems(document)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```console\n$ binance-futures-availability query snapshoot 2024-01-15\n```", "snapshoot"),
        (
            "```console\n$ A=b binance-futures-availability query snapshot today --format xml | head\n```",
            "xml",
        ),
        ("```console\n$ .venv/bin/binance-futures-availability urls --foo\n```", "--foo"),
        ("run `backfill --mising`", "--mising"),
        ("run `query univers DATE`", "univers"),
        ("run `AVAILABILITY_DATA_DIR=/tmp/x binance-futures-availability\nrestor backups`", "restor"),
        ("```\n30 9 * * *  binance-futures-availability backfill --mising\n```", "--mising"),
        (
            '```\n0 3 * * *  said=$(binance-futures-availability backups x 2>&1) || echo "$said"\n```',
            "backups",
        ),
        ("```console\n$ make demonstration\n```", "demonstration"),
        ("run `make tets`", "tets"),
        ("```console\n$ binance-futures-availability query sql 'SELECT\n```", "cannot be read"),
        ("set `AVAILABILITY_DATADIR`", "AVAILABILITY_DATADIR"),
        ("see [there](docs/nothing.md)", "docs/nothing.md leads nowhere"),
        ("see [there](README.md#quick-strat)", "to no heading of README.md"),
        ("see [here](#nowhere)", "to no heading"),
        ("it is in `availability_pipeline/nothing.py`", "no file availability_pipeline/nothing.py"),
    ],
)
def test_what_does_not_exist_is_found(text: str, problem: str, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(text, encoding="utf-8")
    (tmp_path / "README.md").write_text("# Title\n\n## Quick start\n", encoding="utf-8")
    found = list(document_check.problems(document))
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ binance-futures-availability urls --checksums > files.txt  # a comment\n```",
        "`backfill --symbols` and `query universe DATE [--min-age-days N]`; `update` and `update DATE`",
        "`make PORT=3001 ui`, see [there](README.md#quick-start) and [that](https://example.com/x)",
        "```python\nmake = nothing\n```",
    ],
)
def test_what_exists_is_no_problem(text: str, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(text, encoding="utf-8")
    (tmp_path / "README.md").write_text("# Title\n\n## Quick start\n", encoding="utf-8")
    assert list(document_check.problems(document)) == []


def test_the_check_of_documents_fails_where_one_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert document_check.main() == 0
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "compose.yaml").write_text("AVAILABILITY_URL: x\n", encoding="utf-8")
    monkeypatch.setattr(
        document_check, "files_with_variables", lambda: [tmp_path / "deploy" / "compose.yaml"]
    )
    monkeypatch.setattr(document_check, "ROOT", tmp_path)
    monkeypatch.setattr(document_check, "documents", list)
    assert document_check.main() == 1
    assert "deploy/compose.yaml: there is no setting AVAILABILITY_URL" in capsys.readouterr().out


def test_every_document_is_in_the_index() -> None:
    index = (root() / "docs" / "README.md").read_text("utf-8")
    linked = {
        (root() / "docs" / target.partition("#")[0]).resolve()
        for target in document_check.LINK.findall(index)
    }
    expected = {path for path in root().glob("docs/**/*.md") if path.parent.name != "decisions"}
    assert expected - linked == {root() / "docs" / "README.md"}


def test_the_table_of_settings_is_complete() -> None:
    text = (REFERENCE / "settings.md").read_text("utf-8")
    shown = set(re.findall(r"^\| `(AVAILABILITY_\w+)`", text, re.MULTILINE))
    assert shown == {variable for variable, _ in VARIABLES.values()}


def test_the_table_of_checks_is_complete() -> None:
    lines = re.findall(
        r"^\| `(\w+)` \| [A-Z, ]+ \| (yes|no) \|",
        (REFERENCE / "checks.md").read_text("utf-8"),
        re.MULTILINE,
    )
    nodes = build_defs().resolve_asset_graph().asset_check_nodes
    assert dict(lines) == {node.key.name: "yes" if node.blocking else "no" for node in nodes}


def test_the_tables_of_columns_are_those_of_the_rows() -> None:
    """`python -m availability_pipeline_tests.documents.column_tables` writes them anew."""
    assert column_tables.shown() == column_tables.tables()


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, with its words; groups load theirs when asked."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command, words = group.get_command(context, name), f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, words)
        elif command is not None and not command.hidden:
            yield words, command


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", COMMANDS)
def test_the_reference_has_every_command_and_option(words: str) -> None:
    text = (REFERENCE / "command-line.md").read_text("utf-8")
    assert re.search(rf"^\| `{words}[` ]", text, re.MULTILINE), f"there is no line for {words}"
    options = {
        name
        for parameter in COMMANDS[words].params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }
    assert {name for name in options if f"{name}`" not in text and f"{name} " not in text} == set()


def test_the_reference_is_compared_with_commands() -> None:
    assert {"backfill", "query snapshot", "query analytics summary"} <= COMMANDS.keys()

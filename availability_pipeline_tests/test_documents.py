"""What the documents show exists: commands and options of the command line, make targets, settings, links, Python."""

from __future__ import annotations

import ast
import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import dagster as dg
import pytest

from availability_pipeline.cli import cli
from availability_pipeline.definitions import build_defs
from availability_pipeline.settings import VARIABLES
from availability_pipeline_tests.dagster_side import root

DOCUMENTS = sorted([root() / "README.md", *root().glob("docs/**/*.md")])
README = (root() / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^\$ binance-futures-availability (.*?)(?:\s+#.*)?$", README, re.MULTILINE)
TARGETS = re.findall(r"^\$ make ([a-z]+)", README, re.MULTILINE)


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_that_is_shown_is_understood(line: str) -> None:
    context = click.Context(cli, **cli.context_settings)
    command: click.Command = cli
    arguments = shlex.split(line)
    while isinstance(command, click.Group):
        name, command, arguments = command.resolve_command(context, arguments)
        assert command is not None, name
    assert command.make_context(line, list(arguments), parent=context)


def test_something_is_shown() -> None:
    assert len(SHOWN) > 10
    assert {"run", "demo", "test", "lint", "bench"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_that_is_shown_exists(target: str) -> None:
    makefile = (root() / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_table_of_settings_is_complete() -> None:
    shown = set(re.findall(r"^\| `(AVAILABILITY_\w+)`", README, re.MULTILINE))
    assert shown == {variable for variable, _ in VARIABLES.values()}


def test_the_code_location_that_sends_mail_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (root() / "docs" / "operations.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    names: dict[str, dg.Definitions] = {}
    exec(compile(code, "email_alerts.py", "exec"), names)  # noqa: S102 - our own document
    [sensor] = names["defs"].sensors
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert names["defs"].resolve_sensor_def("failure_mail") is sensor


def test_the_table_of_checks_is_complete() -> None:
    lines = re.findall(
        r"^\| `(\w+)` \| [A-Z, ]+ \| (yes|no) \|",
        (root() / "docs" / "checks.md").read_text("utf-8"),
        re.MULTILINE,
    )
    nodes = build_defs().resolve_asset_graph().asset_check_nodes
    assert dict(lines) == {node.key.name: "yes" if node.blocking else "no" for node in nodes}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def documented_columns() -> str:
    """The tables of columns, from the types of the rows and what is written under their fields."""
    tree = ast.parse((root() / "availability_pipeline" / "queries" / "columns.py").read_text("utf-8"))
    tables = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            sentence = (ast.get_docstring(node) or "").split("\n")[0]
            lines = [f"### {sentence.rstrip('.')}", "", "| column | type | |", "|---|---|---|"]
            for field, text in pairwise(node.body):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(text, ast.Expr)
                    assert isinstance(text.value, ast.Constant), f"{ast.unparse(field)} is not documented"
                    kind = ast.unparse(field.annotation).replace("dt.", "").replace(" | ", " or ")
                    meaning = " ".join(str(text.value.value).split()).replace("|", "\\|")
                    lines.append(f"| `{ast.unparse(field.target)}` | {kind} | {meaning} |")
            tables.append("\n".join(lines))
    return "\n\n".join(tables)


def test_the_columns_are_documented_as_they_are() -> None:
    text = (root() / "docs" / "guides" / "queries.md").read_text("utf-8")
    found = text.partition("<!-- columns: begin -->\n")[2].partition("\n<!-- columns: end -->")[0]
    assert found == documented_columns()

"""What import-linter's contracts in pyproject.toml cannot say of the package's source."""

from __future__ import annotations

import ast
import re

from availability_pipeline_tests.conftest import ROOT

PACKAGE = ROOT / "availability_pipeline"
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))
WITHOUT_SQL = ("archive/", "cli/", "defs/", "publishing/remote/", "simulator/")
ON_PRIVATE_MODULES = "defs/event_log.py"
"""The storage of Dagster's records: on private modules of Dagster, which test_event_log.py watches, and one PRAGMA."""
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|CREATE|WITH|DELETE|FROM|COPY|ATTACH|PRAGMA)\s")


def statements(source: str) -> list[str]:
    """The texts in a module that begin as SQL does, without docstrings and examples of commands."""
    nodes = ast.walk(ast.parse(source))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in texts if SQL.match(text) and "\n\n" not in text]


def test_no_private_module_of_dagster_is_imported() -> None:
    private = re.compile(r"^\s*(?:from|import) (dagster\S*\._\S*)", re.MULTILINE)
    found = {module: private.findall((PACKAGE / module).read_text("utf-8")) for module in MODULES}
    assert {module for module, names in found.items() if names} == {ON_PRIVATE_MODULES}


def test_there_is_no_sql_outside_the_database_layers() -> None:
    without = [name for name in MODULES if name.startswith(WITHOUT_SQL)]
    found = {module: statements((PACKAGE / module).read_text("utf-8")) for module in without}
    assert {module: texts for module, texts in found.items() if texts} == {
        ON_PRIVATE_MODULES: ["PRAGMA synchronous=NORMAL"]
    }


def test_sql_would_be_seen() -> None:
    assert statements('X = "SELECT 1"') == ["SELECT 1"]
    assert statements("X = '''\n  INSERT INTO t VALUES (1)'''") != []
    assert statements('X = "WITHOUT"') == []


def test_nothing_is_called_utils() -> None:
    assert [name for name in MODULES if re.search(r"(^|[/_])(utils?|helpers?|common|misc)\b", name)] == []

"""What import-linter's contracts in pyproject.toml cannot say of the package's source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_contracts_of_imports_are_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", [name for name in MODULES if name != ON_PRIVATE_MODULES])
def test_no_private_module_of_dagster_is_imported(module: str) -> None:
    source = (PACKAGE / module).read_text("utf-8")
    assert re.findall(r"^\s*(?:from|import) (dagster\S*\._\S*)", source, re.MULTILINE) == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(WITHOUT_SQL)])
def test_there_is_no_sql_outside_the_database_layers(module: str) -> None:
    allowed = ["PRAGMA synchronous=NORMAL"] if module == ON_PRIVATE_MODULES else []
    assert statements((PACKAGE / module).read_text("utf-8")) == allowed


def test_sql_would_be_seen() -> None:
    assert statements('X = "SELECT 1"') == ["SELECT 1"]
    assert statements("X = '''\n  INSERT INTO t VALUES (1)'''") != []
    assert statements('X = "WITHOUT"') == []


def test_nothing_is_called_utils() -> None:
    assert [name for name in MODULES if re.search(r"(^|[/_])(utils?|helpers?|common|misc)\b", name)] == []

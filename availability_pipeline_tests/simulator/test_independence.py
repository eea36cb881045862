"""The simulator shares no code with what reads the archive: an error in both at once would hide itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import availability_pipeline.simulator

OURS = tuple(f"availability_pipeline.{name}" for name in ("simulator", "catalogue", "dates", "errors"))
SERVER = ("starlette", "uvicorn")
MODULES = sorted(Path(availability_pipeline.simulator.__path__[0]).glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would not be seen here"
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_the_standard_library_days_errors_and_a_web_server_are_imported(path: Path) -> None:
    foreign = [
        name
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith(OURS + SERVER)
    ]
    assert foreign == []

"""The layers of the package: dependencies point one way, and what each layer may know is read from its source.

Nothing is imported here. A rule that is only written down lasts until the first hurry.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "availability_pipeline"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE
MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))
DAGSTER_SIDE = (
    "resources.py", "partitions.py", "jobs.py", "schedules.py", "sensors/", "failures.py", "orphaned_runs.py",
    "launch.py", "definitions.py", "assets/", "checks.py", "ended_runs.py", "old_runs.py", "run_console.py",
    "update_records.py",
)  # fmt: skip
DAGSTER_MODULES = [f"{PACKAGE}.{name.rstrip('/').removesuffix('.py')}" for name in DAGSTER_SIDE]
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|CREATE|WITH|DELETE|FROM|COPY|ATTACH|PRAGMA)\s")

BELOW = {
    "network/": (
        "archive",
        "store",
        "publishing",
        "queries",
        "cli",
        "collection",
        "simulator",
        "object_storage",
        "alerts",
    ),
    "archive/": (
        "store",
        "publishing",
        "queries",
        "cli",
        "collection",
        "simulator",
        "analysis",
        "validation",
    ),
    "store/": ("publishing", "queries", "cli", "collection", "simulator", "analysis", "validation"),
    "analysis/": ("archive", "publishing", "queries", "cli", "collection", "simulator", "validation"),
    "publishing/": ("queries", "cli", "collection", "simulator", "object_storage"),
    "object_storage/": (
        "archive",
        "store",
        "analysis",
        "validation",
        "queries",
        "cli",
        "collection",
        "simulator",
        "parquet_locations",
    ),
    "parquet_locations.py": ("store", "queries", "cli", "collection", "simulator"),
    "paths.py": ("archive", "store", "publishing", "queries", "cli", "settings", "object_storage"),
    "locations.py": ("archive", "store", "publishing", "queries", "cli", "settings", "object_storage"),
    "export.py": ("queries", "cli", "collection", "simulator", "store"),
    "backups/": (
        "archive",
        "analysis",
        "publishing",
        "validation",
        "queries",
        "cli",
        "collection",
        "simulator",
    ),
    "simulated.py": ("archive", "store", "publishing", "queries", "cli", "collection", "simulator"),
    "download_list.py": ("cli", "collection", "simulator", "store", "publishing"),
    "validation/": ("queries", "cli", "collection", "simulator"),
    "queries/": ("cli", "collection", "simulator", "confirmation", "database", "worker_process"),
    "confirmation.py": ("cli", "collection", "simulator", "store", "publishing"),
    "database.py": ("cli", "collection", "simulator", "store", "publishing"),
    "worker_process.py": ("cli", "collection", "simulator", "queries"),
    "symbol_names.py": ("",),
    "words.py": ("",),
    "collection.py": ("publishing", "queries", "cli", "simulator"),
    "daily_window.py": ("publishing", "queries", "cli", "simulator"),
    "publication_watch.py": ("store", "queries", "cli", "collection", "simulator"),
    "simulator/": (
        "archive",
        "store",
        "publishing",
        "queries",
        "cli",
        "collection",
        "settings",
        "analysis",
        "validation",
    ),
    "errors.py": ("",),
    "drafts.py": ("",),
    "causes.py": ("",),
    "logs.py": ("archive", "store", "publishing", "queries", "cli", "collection", "simulator", "settings"),
    "alerts.py": ("archive", "store", "publishing", "queries", "cli", "collection", "simulator"),
    "service_levels.py": ("queries", "cli", "collection", "simulator", "settings"),
    "days.py": ("archive", "store", "publishing", "queries", "cli", "collection", "simulator", "settings"),
    "settings.py": ("archive", "store", "publishing", "queries", "cli", "collection", "simulator"),
}
"""What a layer must not import of ours."""


class Import(NamedTuple):
    """One imported module, and whether it is imported only when a function runs."""

    name: str
    within_function: bool


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imports(module: str) -> list[Import]:
    return list(_imports(tree(module), within_function=False))


def _imports(node: ast.AST, *, within_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = within_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, within_function) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "imports are written in full"
            yield from (Import(f"{child.module}.{alias.name}", within_function) for alias in child.names)
        yield from _imports(child, within_function=inside)


def imports_any(module: str, *names: str) -> list[str]:
    """Those imports that are one of these packages or in them."""
    return [found.name for found in imports(module) if any(is_in(found.name, name) for name in names)]


def is_in(name: str, package: str) -> bool:
    return (
        name == package
        or name.startswith(f"{package}.")
        or (package.endswith(".") and name.startswith(package))
    )


def statements(module: str) -> list[str]:
    """Texts that look like SQL; documentation is no statement."""
    documented = {
        id(node.value)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
        if SQL.match(node.value)
    ]


def of(*prefixes: str) -> list[str]:
    return [module for module in MODULES if module.startswith(prefixes)]


def but(*prefixes: str) -> list[str]:
    return [module for module in MODULES if not module.startswith(prefixes)]


def test_there_are_modules_to_read() -> None:
    assert {"archive/listing.py", "store/connection.py", "definitions.py", "cli/__init__.py"} <= set(MODULES)
    assert "boto3" in imports_any("archive/client.py", "boto3")
    assert len(statements("store/availability.py")) >= 5


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert len(ast.get_docstring(tree(module)) or "") > 20


def test_nothing_is_called_utils() -> None:
    assert [
        module for module in MODULES if re.search(r"(^|[/_])(utils?|helpers?|common|misc)\b", module)
    ] == []


@pytest.mark.parametrize("module", but(*DAGSTER_SIDE))
def test_dagster_is_known_to_its_own_modules_only(module: str) -> None:
    assert imports_any(module, "dagster", "dagster_duckdb", "dagster_webserver") == []


@pytest.mark.parametrize("module", MODULES)
def test_no_private_module_of_dagster_is_imported(module: str) -> None:
    assert [found.name for found in imports(module) if found.name.startswith("dagster._")] == []


@pytest.mark.parametrize("module", but(*DAGSTER_SIDE, "cli/", "worker.py"))
def test_what_is_below_dagster_does_not_reach_up_to_it(module: str) -> None:
    assert imports_any(module, *DAGSTER_MODULES) == []


@pytest.mark.parametrize("module", of("cli/"))
def test_the_command_line_loads_dagster_only_when_it_runs_something(module: str) -> None:
    dagster = ["dagster", *DAGSTER_MODULES]
    early = [found.name for found in imports(module) if not found.within_function]
    assert [name for name in early if any(is_in(name, package) for package in dagster)] == []


@pytest.mark.parametrize("module", but("network/", "archive/", "object_storage/", "alerts.py"))
def test_servers_are_asked_in_few_places_only(module: str) -> None:
    assert imports_any(module, "boto3", "botocore", "requests", "urllib3", "httpx", "urllib.request") == []


@pytest.mark.parametrize(
    "module",
    of(
        "archive/",
        "object_storage/",
        "simulator/",
        "cli/",
        "errors.py",
        "days.py",
        "settings.py",
        "alerts.py",
        "logs.py",
        "locations.py",
        "paths.py",
    ),
)
def test_databases_are_unknown_where_they_do_not_belong(module: str) -> None:
    assert imports_any(module, "duckdb") == []


@pytest.mark.parametrize(
    "module",
    of(
        *DAGSTER_SIDE, "cli/", "archive/", "object_storage/", "simulator/", "collection.py", "daily_window.py"
    ),
)
def test_there_is_no_sql_outside_the_database_layers(module: str) -> None:
    assert statements(module) == []


@pytest.mark.parametrize("layer", BELOW)
def test_dependencies_point_one_way(layer: str) -> None:
    forbidden = [f"{PACKAGE}.{name}" for name in BELOW[layer]]
    assert {module: found for module in of(layer) if (found := imports_any(module, *forbidden))} == {}


def test_a_forbidden_import_would_be_seen() -> None:
    assert is_in("availability_pipeline.store.symbols", "availability_pipeline.store")
    assert is_in("availability_pipeline.days", "availability_pipeline.")
    assert not is_in("availability_pipeline.storehouse", "availability_pipeline.store")
    assert SQL.match("\n  SELECT 1")
    assert not SQL.match("WITHOUT")

"""The diagram of docs/architecture.md is the one that the imports give."""

from __future__ import annotations

from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.test_layers import MODULES, PACKAGE, imports

GROUPS = {
    "base": (
        "errors", "days", "words", "symbol_names", "locations", "paths", "settings", "progress", "drafts",
        "causes", "logs", "simulated", "version",
    ),
    "network": ("network",),
    "simulator": ("simulator",),
    "archive": ("archive",),
    "store": ("store",),
    "analysis": ("analysis",),
    "publishing": ("publishing",),
    "object_storage": ("object_storage",),
    "validation": ("validation",),
    "backups": ("backups",),
    "collection": ("collection",),
    "sandbox": ("sandbox",),
    "queries": ("queries",),
    "answers": ("download_list", "export", "confirmation", "parquet_locations"),
    "watching": ("daily_window", "publication_watch", "service_levels", "alerts", "alert_channels"),
    "orchestration": (
        "resources", "partitions", "failures", "orphaned_runs", "ended_runs", "old_runs", "update_records",
        "run_console", "assets", "checks", "jobs", "schedules", "sensors", "definitions",
    ),
    "worker_process": ("worker_process",),
    "database": ("database",),
    "cli": ("cli",),
    "worker": ("worker", "launch"),
}  # fmt: skip
"""The parts that the diagram shows, from the bottom up, and the modules that each is made of."""

OUTSIDE = {"__init__", "__main__"}
"""What only hands on what others have."""

GROUP = {module: group for group, modules in GROUPS.items() for module in modules}


def edges() -> dict[str, set[str]]:
    """Which part imports which."""
    found: dict[str, set[str]] = {group: set() for group in GROUPS}
    for module in MODULES:
        importer = GROUP.get(part_of(module))
        for name in imports(module):
            package, _, rest = name.name.partition(".")
            imported = GROUP.get(rest.split(".")[0]) if package == PACKAGE else None
            if importer and imported and imported != importer:
                found[importer].add(imported)
    return found


def part_of(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    return {start}.union(*(reachable(graph, below) for below in graph[start]))


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that others imply."""
    return {
        group: {
            below
            for below in direct
            if not any(below in reachable(graph, other) for other in direct - {below})
        }
        for group, direct in graph.items()
    }


def diagram() -> str:
    """The diagram as Mermaid, from the top down."""
    graph = edges()
    order = list(reversed(GROUPS))
    lines = ["```mermaid", "graph TD"]
    for group in order:
        modules = ", ".join(GROUPS[group])
        lines.append(
            f'    {group}["{group}<br><small>{modules}</small>"]' if modules != group else f"    {group}"
        )
    arrows = reduced(graph)
    lines += [
        f"    {group} --> {below}" for group in order for below in sorted(arrows[group], key=order.index)
    ]
    return "\n".join([*lines, "```"])


def test_every_module_is_in_one_part() -> None:
    modules = [module for modules in GROUPS.values() for module in modules]
    assert sorted(modules) == sorted({part_of(module) for module in MODULES} - OUTSIDE)


def test_no_part_imports_one_above_it() -> None:
    order = list(GROUPS)
    upwards = {
        (group, below)
        for group, direct in edges().items()
        for below in direct
        if below not in order[: order.index(group)]
    }
    assert upwards == set()


def test_an_arrow_that_others_imply_is_left_out() -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_the_diagram_is_that_of_the_imports() -> None:
    text = (root() / "docs" / "architecture.md").read_text("utf-8")
    shown = text.partition("<!-- imports: begin -->\n")[2].partition("\n<!-- imports: end -->")[0]
    assert shown == diagram(), f"put this between the marks:\n{diagram()}"

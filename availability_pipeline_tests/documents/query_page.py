"""docs/schema/queries.md, made of queries.json.

`python -m availability_pipeline_tests.documents.query_page` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from availability_pipeline_tests.documents.schemas import FOLDER, load

PAGE = FOLDER / "queries.md"
HEAD = """# Query patterns

Questions to the published database in SQL, for any program with DuckDB 1.4 or later that opens `availability.duckdb`.
Parameters are bound by name, in DuckDB's shell with `PREPARE ask AS …` and `EXECUTE ask(date := '2024-01-15')`.
Examples are the answers of the demo with twenty contracts; times are medians on an open connection, for 918 contracts
and 2,614 days.

This page is made of [queries.json](queries.json), which programs can read;
[tables](../reference/tables.md) explains relations and columns."""


def page() -> str:
    """The page as it should be."""
    return "\n\n".join([HEAD, *map(_section, load("queries.json")["patterns"])]) + "\n"


def _section(pattern: Mapping[str, Any]) -> str:
    sql = "\n".join(pattern["sql"])
    parts = [f"## {pattern['name']}", pattern["question"], f"```sql\n{sql}\n```", "\n".join(_facts(pattern))]
    return "\n\n".join([*parts, *_example(pattern)])


def _facts(pattern: Mapping[str, Any]) -> Iterator[str]:
    for each in pattern["parameters"]:
        unit = f", {each['unit']}" if "unit" in each else ""
        example = json.dumps(each["example"], ensure_ascii=False)
        yield f"- `${each['name']}` ({each['type']}{unit}): {each['description']} Here {example}."
    columns = (f"`{each['name']}` {_type(each)}" for each in pattern["columns"])
    yield f"- Columns: {', '.join(columns)}."
    reads = ", ".join(f"`{name}`" for name in pattern["target"]["reads"])
    yield f"- Reads {reads}; at most {pattern['target']['median_ms']} ms."
    if pattern["method"]:
        yield f"- In Python: `{pattern['method']}`."


def _type(column: Mapping[str, str]) -> str:
    return f"{column['type']} ({column['unit']})" if "unit" in column else column["type"]


def _example(pattern: Mapping[str, Any]) -> Iterator[str]:
    total, first = pattern["example"]["rows"], pattern["example"]["first"]
    rows = "1 row" if total == 1 else f"{total} rows"
    yield (
        f"{rows}, of which the first:"
        if total > len(first)
        else f"{rows}:"
        if total
        else "No rows in the demo."
    )
    if first:
        yield "```json\n" + "\n".join(json.dumps(row, ensure_ascii=False) for row in first) + "\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""The query patterns of docs/schema/queries.json on the filled and published database, each beside its target."""

from __future__ import annotations

import json
import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline.settings import Settings

Figures = dict[str, Any]

QUERIES = Path(__file__).resolve().parent.parent / "docs" / "schema" / "queries.json"

REPEATS = 100


def ask(settings: Settings) -> Figures:
    """Every pattern with its example parameters, on an open connection; milliseconds, of CPU the mean."""
    patterns = json.loads(QUERIES.read_text("utf-8"))["patterns"]
    with closing(duckdb.connect(settings.db_path, read_only=True)) as connection:
        return {"patterns": {pattern["name"]: _asked(connection, pattern) for pattern in patterns}}


def _asked(connection: duckdb.DuckDBPyConnection, pattern: Figures) -> Figures:
    query = "\n".join(pattern["sql"])
    values = {each["name"]: each["example"] for each in pattern["parameters"]}
    times, cpu, rows = [], time.process_time(), 0
    for _ in range(REPEATS):
        began = time.perf_counter()
        rows = len(connection.execute(query, values).fetchall())
        times.append((time.perf_counter() - began) * 1000)
    return {
        "rows": rows,
        "target": pattern["target"]["median_ms"],
        "cpu": (time.process_time() - cpu) / REPEATS * 1000,
        "p50": statistics.median(times),
        "p99": statistics.quantiles(times, n=100)[98],
    }

"""Working databases as backups meet them, and what they hold."""

from __future__ import annotations

from pathlib import Path

import duckdb

from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect, write_info

CONSTRAINTS = """
    SELECT table_name, constraint_type, constraint_text FROM duckdb_constraints()
    WHERE database_name = current_database() ORDER BY ALL
"""

COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM duckdb_columns()
    WHERE database_name = current_database() AND NOT internal ORDER BY table_name, column_index
"""

TABLES = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY ALL"

STOPPED = """
    import os, signal, sys
    from pathlib import Path
    from availability_pipeline.warehouse.database import connect, write_info

    with connect(Path(sys.argv[1])) as connection:
        write_info(connection, sys.argv[2], "committed")
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""A writer that is killed after it has committed: what it wrote is in the log beside the file only."""

TRY = """
    import sys
    from pathlib import Path
    from availability_pipeline.errors import DatabaseInUse
    from availability_pipeline.warehouse.database import connect

    try:
        with connect(Path(sys.argv[1]), wait_seconds=0):
            print("written to")
    except DatabaseInUse:
        print("in use")
"""
"""A writer that does not wait; it says whether it got the database."""


def everything(path: Path) -> list[object]:
    """All that a database holds, rows in the order in which they lie there."""
    with connect(path, read_only=True) as connection:
        names = [name for (name,) in connection.execute(TABLES).fetchall()]
        rows = {name: connection.execute(f"FROM {name}").fetchall() for name in names}
        return [rows, *(connection.execute(query).fetchall() for query in (CONSTRAINTS, COLUMNS))]


def remember(path: Path, key: str) -> None:
    """Change something by which a state of the database is known."""
    with connect(path) as connection:
        write_info(connection, key, "here")


def remembers(path: Path, key: str) -> bool:
    with connect(path, read_only=True) as connection:
        return bool(connection.execute("FROM database_info WHERE key = ?", [key]).fetchall())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def foreign(folder: Path) -> Path:
    """A database of somebody else."""
    with duckdb.connect(folder / "foreign.duckdb") as connection:
        connection.execute("CREATE TABLE daily_availability (n INTEGER)")
    return folder / "foreign.duckdb"


def mark_simulated(settings: Settings) -> Settings:
    settings.demo_marker.write_text("", encoding="utf-8")
    return settings


def grow(path: Path) -> None:
    """Write rows anew above something that is removed afterwards."""
    for statement in (
        "CREATE TABLE ballast AS SELECT range, md5(range::VARCHAR) FROM range(200000)",
        "UPDATE database_info SET value = value || ' ' WHERE key = 'archive_url'",
        "UPDATE database_info SET value = rtrim(value) WHERE key = 'archive_url'",
        "DROP TABLE ballast",
    ):
        with connect(path) as connection:
            connection.execute(statement)

"""Running the .sql files of this package, statement by statement, with bound values."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import duckdb


def run_script(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, object]) -> None:
    """Execute a .sql file of this package.

    Args:
        connection: The working database.
        name: The file, without its ending.
        values: Values of parameters, by name; each statement takes those that it has.
    """
    script = files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
    for statement in duckdb.extract_statements(script):
        connection.execute(statement, {name: values[name] for name in statement.named_parameters})

"""Days without a file that says something: is one expected, is it late, missing, or has the contract ended?"""

from __future__ import annotations

import duckdb

from availability_pipeline.analysis.rules import Rules
from availability_pipeline.analysis.script import run_script


def find_rowless_files(connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the temporary table `rowless_files`, with date, symbol and file_size_bytes: files too small to have a row.

    Args:
        connection: The working database.
        rules: What it is judged by.
    """
    run_script(connection, "rowless", rules.values())


def find_absences(connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the temporary table `absent_days`: every collected day without a file after a contract's first one.

    Its columns are date, symbol, last_file_day (before it), next_day (with a file after it, or NULL), gap (hole,
    stopped, long, relisted), rowless (there is a file, which is too small to say anything), status (pending, missing,
    ended) and known_from. The temporary tables of `files.sql` and `rowless.sql` are made as well.

    Args:
        connection: The working database.
        rules: What it is judged by.
    """
    find_rowless_files(connection, rules)
    run_script(connection, "files", rules.values())
    run_script(connection, "absence", rules.values())

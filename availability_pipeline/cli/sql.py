"""`query sql`: one SELECT of the user's own, in the sandbox."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from availability_pipeline.cli.help import example
from availability_pipeline.cli.output import Answer, Output, Row, output_options
from availability_pipeline.settings import Settings
from availability_pipeline.words import counted

if TYPE_CHECKING:
    from availability_pipeline.sandbox.result import SqlResult


@click.command(
    epilog=example(
        "query sql 'SELECT count(*) FROM symbols'",
        "query sql 'FROM symbols' --output symbols.csv",
        "query sql 'SHOW TABLES'",
    )
)
@click.argument("query")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long DuckDB may work on it.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(min=16),
    default=1024,
    show_default=True,
    metavar="MB",
    help="The memory that it may need.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    metavar="N",
    help="The rows that the answer may have.",
)
@output_options
def sql(query: str, timeout: float, memory_limit: int, max_rows: int, output: Output) -> None:
    """Run one SELECT in DuckDB's SQL.

    It can read the relations of the published database and nothing else: no other tables, no files, no network, and it
    can change nothing. QUERY is the SELECT, or - to read it from standard input. SHOW TABLES lists the relations,
    DESCRIBE and a relation's name its columns. Of two columns with one name the second gets a number.
    """
    from availability_pipeline.object_storage.cache import published_file  # noqa: PLC0415 - likewise
    from availability_pipeline.sandbox.running import run_sql  # noqa: PLC0415 - the database libraries are slow to load

    text = sys.stdin.read() if query == "-" else query
    with run_sql(
        published_file(Settings.load().db_path),
        text,
        timeout_seconds=timeout,
        memory_limit_mb=memory_limit,
        max_rows=max_rows,
    ) as result:
        output.write(_answer(result))


def _answer(result: SqlResult) -> Answer:
    shown: list[Row] = []

    def summary() -> list[Row]:
        shown.extend(result.rows())
        return shown

    return Answer(
        rows=result.rows,
        arrow=result.reader,
        columns=result.columns,
        summary=summary,
        title=lambda: counted(len(shown), "row"),
    )

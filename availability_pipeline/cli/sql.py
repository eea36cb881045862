"""`query sql`: the user's own SQL over the published database."""

from __future__ import annotations

import atexit
import os
import sys
import threading

import click

from availability_pipeline.cli.options import chosen_settings, example
from availability_pipeline.cli.output import Answer, Output, output_options
from availability_pipeline.queries.result import Result
from availability_pipeline.symbols import counted


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
    help="The memory that DuckDB may allocate.",
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
    """Run a query in DuckDB's SQL.

    It reads the relations of the published database, no files and no network, and changes nothing. QUERY is a SELECT
    or - to read it from standard input; statements before the SELECT can make temporary tables. SHOW TABLES lists the
    relations, DESCRIBE and a relation's name its columns; those of other datasets are in schemas such as
    "spot/klines/1m". Of two columns with one name the second gets a number.
    """
    from availability_pipeline.publishing.remote.cache import published_file  # noqa: PLC0415 - the database libraries are slow to load
    from availability_pipeline.queries.coverage import other_files  # noqa: PLC0415 - likewise
    from availability_pipeline.queries.sql import Bounds, run_sql  # noqa: PLC0415 - likewise

    atexit.register(_silence)
    text = sys.stdin.read() if query == "-" else query
    settings = chosen_settings()
    path = published_file(settings.db_path)
    others = other_files(settings.dataset, path, settings)
    with run_sql(path, text, bounds=Bounds(timeout, memory_limit, max_rows), others=others) as found:
        result = Result(found.columns, found.rows, found.to_arrow)
        output.write(Answer(result, table=lambda: result, title=lambda: counted(len(result), "row")))


def _silence() -> None:
    """Discard DuckDB's messages at exit if a query was left behind."""
    from availability_pipeline.queries.sql import THREAD_NAME  # noqa: PLC0415 - likewise

    if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

"""`datasets`: the catalogue, and what is collected of it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from availability_pipeline.cli.options import example
from availability_pipeline.cli.output import Answer, Output, Row, only, output_options
from availability_pipeline.queries.coverage import get_datasets
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import counted

_COLUMNS = ("dataset", "first_day", "last_day", "scheduled", "data_through", "symbols", "files")


@click.command(epilog=example("datasets", "datasets --format csv"))
@output_options
def datasets(output: Output) -> None:
    """List the datasets of the archive, and what is collected of them.

    A dataset is collected by Dagster if AVAILABILITY_DATASETS names it (scheduled), and by `backfill --dataset NAME`.
    last_day is that of the last file of a dataset that has ended. The other formats have more columns than a table.
    """
    found = get_datasets(Settings.load())

    def table() -> Iterator[Row]:
        return only(found, _COLUMNS)

    output.write(Answer(found, table=table, title=lambda: counted(len(found), "dataset")))

"""`export`: the published data as files."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline.cli.arguments import path_named
from availability_pipeline.cli.help import example
from availability_pipeline.settings import Settings


@click.command(epilog=example("export data", "export data --format csv --force"))
@click.argument("folder", metavar="DIR", type=click.Path(), callback=path_named)
@click.option(
    "--format",
    "chosen",
    type=click.Choice(("parquet", "csv")),
    default="parquet",
    show_default=True,
    help="The format of the files.",
)
@click.option("--force", is_flag=True, help="Replace DIR if it is an export already.")
def export(folder: Path, chosen: str, *, force: bool) -> None:
    """Write the published data into files in DIR.

    daily_availability has a file for each year; every other relation has one. manifest.json names them with rows, bytes
    and SHA-256. DIR is there in whole or not at all.
    """
    from availability_pipeline import export as exports  # noqa: PLC0415 - needs the database libraries
    from availability_pipeline.object_storage.cache import published_file  # noqa: PLC0415

    published = published_file(Settings.load().db_path)
    click.echo(str(exports.export(published, folder, chosen, force=force)), err=True)

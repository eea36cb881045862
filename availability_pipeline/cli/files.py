"""The commands `urls` and `export`."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline.cli.options import complete_symbols, example, path_named, symbol_names
from availability_pipeline.cli.output import file_options, text_output
from availability_pipeline.collecting.download import Totals, lines
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.settings import Settings


@click.command(
    epilog=example(
        "urls --symbols btcusdt --start 2024-01-01",
        "urls --checksums --aria2 --output all.txt",
    )
    + "\n\n\b\nThen:\n  aria2c --input-file=all.txt --continue"
)
@click.option(
    "--symbols", metavar="A,B", shell_complete=complete_symbols, help="Only these contracts.  [default: all]"
)
@click.option("--start", metavar="DATE", help="First day, UTC.  [default: the first collected day]")
@click.option("--end", metavar="DATE", help="Last day, UTC.  [default: the last collected day]")
@click.option("--checksums", is_flag=True, help="After each file, its checksum file if there is one.")
@click.option("--aria2", is_flag=True, help="An input file for aria2, which keeps the archive's folders.")
@file_options
def urls(
    *,
    symbols: str | None,
    start: str | None,
    end: str | None,
    checksums: bool,
    aria2: bool,
    path: Path | None,
) -> None:
    """List the URLs of the files that exist, one per line.

    A summary with the number of files and their size, without checksum files, goes to standard error.
    """
    names = symbol_names(symbols)
    with AvailabilityQueries() as queries:
        first, last = queries.publication.first_day, queries.publication.data_through
        days = DayRange(
            first if start is None else parse_day(start, "--start"),
            last if end is None else parse_day(end, "--end"),
        )
        rows, totals = queries.get_availability_range(days.start, days.end, names), Totals()
        without = queries.files_without_checksum(days.start, days.end) if checksums else None
        with text_output(path) as file:
            file.writelines(
                lines(rows.stream(), totals, queries.dataset, without_checksum=without, aria2=aria2)
            )
    click.echo(str(totals), err=True)


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
    and SHA-256. DIR is written atomically.
    """
    from availability_pipeline.publishing import export as exports  # noqa: PLC0415 - needs the database libraries
    from availability_pipeline.publishing.remote.cache import published_file  # noqa: PLC0415

    published = published_file(Settings.load().db_path)
    click.echo(str(exports.export(published, folder, chosen, force=force)), err=True)

"""`urls`: which files to download."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline.cli.arguments import symbol_names
from availability_pipeline.cli.completion import complete_symbols
from availability_pipeline.cli.help import example
from availability_pipeline.cli.output import file_options, text_output
from availability_pipeline.days import DayRange, parse_day
from availability_pipeline.download_list import Totals, lines
from availability_pipeline.queries import AvailabilityQueries


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

    The number of files and their size are told on standard error. Checksum files are not counted in the size.
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
            file.writelines(lines(rows.stream(), totals, without_checksum=without, aria2=aria2))
    click.echo(str(totals), err=True)

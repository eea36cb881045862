"""The commands `urls`, `download` and `export`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from availability_pipeline.catalogue.columns import AvailabilityRow
from availability_pipeline.cli.options import (
    chosen_settings,
    complete_symbols,
    example,
    path_named,
    symbol_names,
)
from availability_pipeline.cli.output import file_options, text_output
from availability_pipeline.collecting.urls import LeftOut, Totals, lines, only_complete
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.settings import Settings

_only_complete = click.option(
    "--only-complete", "whole", is_flag=True, help="Only files that were inspected and are whole."
)


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
@_only_complete
@file_options
def urls(  # noqa: PLR0913 - an option each
    *,
    symbols: str | None,
    start: str | None,
    end: str | None,
    checksums: bool,
    aria2: bool,
    whole: bool,
    path: Path | None,
) -> None:
    """List the URLs of the files that exist, one per line.

    A summary with the number of files and their size, without checksum files, goes to standard error, and so does how
    many files --only-complete left out.
    """
    names = symbol_names(symbols)
    with AvailabilityQueries(settings=chosen_settings()) as queries:
        days = _days(queries, start, end)
        rows, left_out = _rows(queries, days, names, whole=whole)
        totals = Totals()
        without = queries.files_without_checksum(days.start, days.end) if checksums else None
        with text_output(path) as file:
            file.writelines(lines(rows, totals, queries.dataset, without_checksum=without, aria2=aria2))
    click.echo(str(totals), err=True)
    _tell(left_out)


def _rows(
    queries: AvailabilityQueries, days: DayRange, names: Sequence[str], *, whole: bool
) -> tuple[Iterable[AvailabilityRow], LeftOut | None]:
    """The files of some days, and with `--only-complete` what will be left out of them."""
    rows = queries.get_availability_range(days.start, days.end, names).stream()
    if not whole:
        return rows, None
    left_out = LeftOut()
    return only_complete(rows, queries.files_not_complete(days.start, days.end), left_out), left_out


def _tell(left_out: LeftOut | None) -> None:
    if left_out is not None:
        click.echo(str(left_out), err=True)


def _days(queries: AvailabilityQueries, start: str | None, end: str | None) -> DayRange:
    """The days of `--start` and `--end`, by default all that are published."""
    return DayRange(
        queries.publication.first_day if start is None else parse_day(start, "--start"),
        queries.publication.data_through if end is None else parse_day(end, "--end"),
    )


@click.command(
    epilog=example(
        "download klines --symbols BTCUSDT,ETHUSDT --start 2024-01-01 --end 2024-03-31",
        "download klines --universe 2024-01-15 --start 2024-01-01 --end 2024-01-31 --dry-run",
    )
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(), callback=path_named)
@click.option("--symbols", metavar="A,B", shell_complete=complete_symbols, help="These contracts.")
@click.option("--universe", metavar="DATE", help="The contracts of the universe of a UTC day instead.")
@click.option("--start", metavar="DATE", help="First day, UTC.  [default: the first collected day]")
@click.option("--end", metavar="DATE", help="Last day, UTC.  [default: the last collected day]")
@_only_complete
@click.option("--dry-run", is_flag=True, help="Only say how many files and bytes would be fetched.")
def download(  # noqa: PLR0913 - an option each
    folder: Path | None,
    symbols: str | None,
    universe: str | None,
    start: str | None,
    end: str | None,
    *,
    whole: bool,
    dry_run: bool,
) -> None:
    """Fetch files into DIR, in the archive's folders, verified against their checksums.

    Run again, it fetches what is missing there or was replaced since, and nothing else. manifest.parquet in DIR says
    what was fetched. DIR is AVAILABILITY_MIRROR_DIR if left out.
    """
    from availability_pipeline.collecting.download import Report, compare, fetch  # noqa: PLC0415 - needs the network
    from availability_pipeline.collecting.mirror import Mirror  # noqa: PLC0415
    from availability_pipeline.collecting.progress import shown_progress  # noqa: PLC0415

    settings = chosen_settings()
    mirror = Mirror(_mirror_dir(folder, settings))
    names = _chosen(symbols, universe, start, end)
    with AvailabilityQueries(settings=settings) as queries:
        if universe is not None:
            names = [row["symbol"] for row in queries.get_universe(parse_day(universe, "--universe"))]
        days, report = _days(queries, start, end), Report(mirror.folder, dry_run)
        rows, left_out = _rows(queries, days, names, whole=whole)
        # A universe without contracts is no wish for all of them.
        compare(rows if names or universe is None else (), mirror, queries.dataset, report)
        archive_url = queries.publication.archive_url
    _tell(left_out)
    if dry_run:
        click.echo(str(report))
        return
    try:
        if report.missing:
            with shown_progress(sys.stderr, settings.log_format) as progress:
                fetch(mirror, report, settings, archive_url, progress)
    finally:
        click.echo(str(report), err=True)


def _mirror_dir(folder: Path | None, settings: Settings) -> Path:
    if folder is None and settings.mirror_dir is None:
        raise UsageError("there is no folder to download to; name one, or set AVAILABILITY_MIRROR_DIR")
    return folder or settings.mirror_dir or Path()


def _chosen(symbols: str | None, universe: str | None, start: str | None, end: str | None) -> list[str]:
    """The contracts of `--symbols`; raises UsageError unless something limits the download."""
    if symbols is not None and universe is not None:
        raise UsageError("--symbols and --universe both choose the contracts; leave one of them out")
    if (symbols, universe, start, end) == (None, None, None, None):
        raise UsageError(
            "this would be the whole archive; say what to download with --symbols, --universe, --start or --end"
        )
    return symbol_names(symbols)


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

    published = published_file(chosen_settings().db_path)
    click.echo(str(exports.export(published, folder, chosen, force=force)), err=True)

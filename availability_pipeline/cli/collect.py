"""The commands `backfill` and `update`, each one Dagster run in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.cli.options import chosen_settings, complete_symbols, example, symbol_names
from availability_pipeline.collecting.process import Outcome, instance_folder, run_in_worker
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings


@click.command(
    epilog=example(
        "backfill", "backfill --start 2024-01-01 --end 2024-01-31", "backfill --symbols BTCUSDT,ETHUSDT"
    )
)
@click.option("--start", metavar="DATE", help="First day, UTC.  [default: the dataset's first day]")
@click.option("--end", metavar="DATE", help="Last day, UTC.  [default: yesterday, or the dataset's last day]")
@click.option(
    "--symbols",
    metavar="A,B",
    shell_complete=complete_symbols,
    help="Only these contracts.  [default: all that are tracked]",
)
@click.option(
    "--missing", is_flag=True, help="From the first missing day or the look-back window to yesterday."
)
def backfill(start: str | None, end: str | None, symbols: str | None, *, missing: bool) -> None:
    """Collect a range of days by listing the archive, and publish it."""
    settings = chosen_settings()
    if missing and (start, end, symbols) != (None, None, None):
        raise UsageError("--missing chooses the days itself; leave out --start, --end and --symbols")
    instance = instance_folder(settings)
    days = _missing(settings) if missing else _range(settings.dataset, start, end)
    collect(settings, days, symbol_names(symbols), instance)


@click.command(epilog=example("update", "update 2024-01-15"))
@click.argument("date", default="yesterday")
def update(date: str) -> None:
    """Collect one day with a HEAD per contract, and publish it.

    DATE is a UTC day, yesterday if left out.
    """
    day, settings = parse_day(date, "DATE"), chosen_settings()
    collect(settings, settings.dataset.collectable(day, day), ())


def collect(
    settings: Settings, days: DayRange, symbols: Sequence[str], folder: Path | None = None
) -> Outcome:
    """Run the job in a worker process and print a summary."""
    outcome = run_in_worker(settings, days, symbols, folder)
    click.echo(_summary(outcome, days))
    return outcome


def _missing(settings: Settings) -> DayRange:
    from availability_pipeline.collecting.collect import missing_days  # noqa: PLC0415 - needs the database libraries
    from availability_pipeline.warehouse.database import check_usable, connect  # noqa: PLC0415

    check_usable(settings.working_path)
    if not settings.working_path.exists():
        return DayRange(settings.dataset.first_day, settings.dataset.last_day)
    with connect(settings.working_path) as connection:
        return missing_days(connection, settings)


def _range(dataset: Dataset, start: str | None, end: str | None) -> DayRange:
    return dataset.collectable(
        parse_day(start, "--start") if start is not None else dataset.first_day,
        parse_day(end, "--end") if end is not None else dataset.last_day,
    )


def _summary(outcome: Outcome, days: DayRange) -> str:
    collected, published = outcome.metadata["daily_availability"], outcome.metadata["published_database"]
    uploaded = f" and {published['uploaded_to']}" if "uploaded_to" in published else ""
    return (
        f"{days}: {collected['dagster/row_count']:,} rows, {collected['available']:,} files, "
        f"{collected['changed']:,} changed, {collected['requests']:,} requests; published "
        f"{published['path']}{uploaded} in {outcome.seconds:.0f} s (run {outcome.run_id[:8]})"
    )

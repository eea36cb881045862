"""The commands that look after the working database: `backup`, `restore`, `compact`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from availability_pipeline.cli.arguments import database_named
from availability_pipeline.cli.help import PROGRAM, example
from availability_pipeline.days import FIRST_DAY, parse_day
from availability_pipeline.settings import Settings


@click.command(epilog=example("backup /srv/backups", "backup /srv/backups --keep 14"))
@click.argument("folder", metavar="DIR", type=click.Path(), callback=database_named)
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(1),
    help="Afterwards remove the oldest backups in DIR beyond N.  [default: none]",
)
def backup(folder: Path, keep: int | None) -> None:
    """Write the working database, as it is between two writes, into a file in DIR.

    The pipeline may run meanwhile. The file is named after the moment (UTC) and proves itself to `restore`. Its path is
    printed on standard output.
    """
    from availability_pipeline import backups  # noqa: PLC0415 - needs the database libraries

    made = backups.backup(Settings.load(), folder, keep)
    click.echo(made.path, color=True)  # or what looks like a colour in it would be left out
    removed = f", removed {len(made.removed)} older" if made.removed else ""
    click.echo(
        f"{made.facts.rows:,} rows, data through {made.facts.data_through or 'no day'}, {made.bytes / 1e6:,.1f} MB, in "
        f"{made.seconds:.1f} s{removed}",
        err=True,
    )


@click.command(
    epilog=example("restore /srv/backups/availability-20261121T120000Z.duckdb", "restore /srv/backups")
)
@click.argument("source", metavar="FILE", type=click.Path(), callback=database_named)
def restore(source: Path) -> None:
    """Replace the working database by the one in a backup, after all of FILE was verified.

    If FILE is a folder, the newest backup in it is meant, of real or of simulated data as the data directory has. What
    readers have is not touched, and the database from before stays beside the restored one until the next restore.
    """
    from availability_pipeline import backups  # noqa: PLC0415 - as above

    settings = Settings.load()
    done = backups.restore(settings, source)
    through = done.facts.data_through
    click.echo(
        f"Restored {done.path} from {done.backup}: {done.facts.rows:,} rows, data through {through or 'no day'}, "
        f"backed up {done.facts.made_at}, in {done.seconds:.1f} s."
    )
    if done.former:
        click.echo(f"The database from before is {done.former} until the next restore.")
    start = first_day_to_collect(through, settings.lookback_days)
    click.echo(
        f"Next: `{PROGRAM} backfill --start {start}` collects what may have changed since, and publishes; "
        f"`{PROGRAM} publish` publishes the restored state as it is."
    )


def first_day_to_collect(through: str | None, lookback_days: int) -> dt.date:
    """The first day that a run after the backup may have changed: the look-back window began there."""
    if through is None:
        return FIRST_DAY
    return max(FIRST_DAY, parse_day(through) - dt.timedelta(days=lookback_days - 1))


@click.command(epilog=example("compact"))
def compact() -> None:
    """Write the working database anew without the space that nothing uses, if that gains a tenth or more.

    The copy is compared with the database before it takes its place. Runs wait meanwhile, for some seconds.
    """
    from availability_pipeline import backups  # noqa: PLC0415 - as above

    done = backups.compact(Settings.load())
    sizes = f"{done.before:,} bytes before, {done.after:,} bytes after"
    if done.replaced:
        click.echo(f"Made {done.path} compact: {sizes}, in {done.seconds:.1f} s.")
    else:
        click.echo(f"{done.path} is left as it is, a compact copy gains too little: {sizes}.")

"""The commands of maintenance: `backup`, `restore`, `compact`, `publish`, `validate`."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from pathlib import Path
from typing import Any

import click

from availability_pipeline.cli.options import PROGRAM, chosen_settings, database_named, example
from availability_pipeline.cli.output import printed_as_json, report_format
from availability_pipeline.dates import parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings

_logger = logging.getLogger(__name__)


@click.command(epilog=example("backup /srv/backups", "backup /srv/backups --keep 14"))
@click.argument("folder", metavar="DIR", type=click.Path(), callback=database_named)
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(1),
    help="Afterwards remove the oldest backups in DIR beyond N.  [default: none]",
)
def backup(folder: Path, keep: int | None) -> None:
    """Back up the working database into a file in DIR, also while the pipeline runs.

    The file is named after the moment (UTC) and verified by `restore`. Its path is printed on standard output.
    """
    from availability_pipeline.warehouse.backup import backup as make_backup  # noqa: PLC0415 - needs the database libraries

    made = make_backup(chosen_settings(), folder, keep)
    click.echo(made.path, color=True)  # otherwise click strips escape codes from the path
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
    """Replace the working database by the one in a backup, after verifying all of FILE.

    If FILE is a folder, its newest backup is used, of real or simulated data like the data directory. The published
    database does not change, and the former working database stays beside the restored one until the next restore.
    """
    from availability_pipeline.warehouse.restore import restore as restore_backup  # noqa: PLC0415 - as above

    settings = chosen_settings()
    done = restore_backup(settings, source)
    through = done.facts.data_through
    click.echo(
        f"Restored {done.path} from {done.backup}: {done.facts.rows:,} rows, data through {through or 'no day'}, "
        f"backed up {done.facts.made_at}, in {done.seconds:.1f} s."
    )
    if done.former:
        click.echo(f"The database from before is {done.former} until the next restore.")
    start = first_day_to_collect(settings, through)
    click.echo(
        f"Next: `{PROGRAM} backfill --start {start}` collects what may have changed since, and publishes; "
        f"`{PROGRAM} publish` publishes the restored state as it is."
    )


def first_day_to_collect(settings: Settings, through: str | None) -> dt.date:
    """The first day that a run after the backup may have changed: the start of its look-back window."""
    first = settings.dataset.first_day
    if through is None:
        return first
    return max(first, parse_day(through) - dt.timedelta(days=settings.lookback_days - 1))


@click.command(epilog=example("compact"))
def compact() -> None:
    """Rewrite the working database without unused space, if that saves a tenth or more.

    The copy is compared with the database before it replaces it. Runs wait meanwhile, for some seconds.
    """
    from availability_pipeline.warehouse.restore import compact as compact_database  # noqa: PLC0415 - as above

    done = compact_database(chosen_settings())
    sizes = f"{done.before:,} bytes before, {done.after:,} bytes after"
    if done.replaced:
        click.echo(f"Compacted {done.path}: {sizes}, in {done.seconds:.1f} s.")
    else:
        click.echo(f"{done.path} is unchanged, because a compact copy saves too little: {sizes}.")


@click.command(
    epilog=example("publish", "publish --full", "publish --rollback", "publish --accept-fewer-files")
)
@click.option("--rollback", "back", is_flag=True, help="Make the generation before this one current again.")
@click.option(
    "--accept-fewer-files",
    is_flag=True,
    help="Publish even if complete days have lost files.",
)
@click.option("--full", is_flag=True, help="Write all rows anew, and not only the days that have changed.")
def publish(*, back: bool, accept_fewer_files: bool, full: bool) -> None:
    """Publish the working database as it is, without collecting, if it passes the blocking checks.

    The current generation and the two before it are kept. With AVAILABILITY_PUBLISH_URL=s3://bucket/prefix, the
    generation, or the rollback, is replicated to object storage.
    """
    settings = chosen_settings()
    if back and (accept_fewer_files or full):
        option = "--accept-fewer-files" if accept_fewer_files else "--full"
        raise UsageError(f"--rollback publishes nothing new; leave out {option}")
    click.echo(
        _rolled_back(settings)
        if back
        else _published(settings, accept_fewer_files=accept_fewer_files, full=full)
    )


def _published(settings: Settings, *, accept_fewer_files: bool, full: bool) -> str:
    from availability_pipeline.publishing.remote.replicate import mirror  # noqa: PLC0415 - needs the database libraries
    from availability_pipeline.quality.guard import publish_now  # noqa: PLC0415 - needs the database libraries

    report = publish_now(settings, accept_fewer_files=accept_fewer_files, full=full)
    uploaded = mirror(settings)
    _draw(settings)
    return (
        f"Published {report.path}: {report.rows:,} rows, {report.files:,} files, {report.symbols:,} contracts, in "
        f"{report.seconds:.1f} s (generation {report.generation}; {report.how})"
        + (f"\n{uploaded}" if uploaded else "")
    )


def _draw(settings: Settings) -> None:
    """Make the report; one that cannot be made is a warning."""
    from availability_pipeline.collecting.report import make_report  # noqa: PLC0415 - as above

    try:
        make_report(settings)
    except Exception as error:  # noqa: BLE001 - the publication is done whatever it is
        _logger.warning("the report could not be made: %s", error)


def _rolled_back(settings: Settings) -> str:
    from availability_pipeline.publishing.release import rollback  # noqa: PLC0415
    from availability_pipeline.publishing.remote.replicate import going_back  # noqa: PLC0415 - as above

    done = rollback(settings.db_file, going_back(settings))
    return (
        f"{done.path} is generation {done.now.generation} again: data through {done.now.data_through}, published "
        f"{done.now.published_at} by run {done.now.run_id}. {done.left} is no longer read.\n"
        "The next publication, by a run or by "
        f"`{PROGRAM} publish`, lets readers have the working database again, so correct that first."
    )


@click.command(epilog=example("validate", "validate --format json"))
@report_format
@click.pass_context
def validate(context: click.Context, chosen: str | None) -> None:
    """Run all checks over the whole table.

    Exit code 1 if a check of severity ERROR fails. It reads the working database, so it waits while a run writes, and
    asks exchangeInfo once. json is one object with validation_passed, errors, warnings and checks.
    """
    from availability_pipeline.quality.guard import AvailabilityValidator  # noqa: PLC0415 - needs DuckDB

    report = AvailabilityValidator(chosen_settings()).run_all_validations()
    if not printed_as_json(chosen, report):
        _print(report)
    sys.stdout.flush()
    context.exit(0 if report["validation_passed"] else 1)


def _print(report: dict[str, Any]) -> None:
    width = max(len(check["name"]) for check in report["checks"])
    for check in report["checks"]:
        result = "ok" if check["passed"] else str(check["severity"])
        click.echo(f"{result:6} {check['name']:{width}} {check['summary']}")
    passed = sum(check["passed"] for check in report["checks"])
    click.echo(f"{passed} checks passed, {report['warnings']} warned, {report['errors']} failed")

"""The command `publish`: let readers have the working database as it is, or what they had before."""

from __future__ import annotations

import click

from availability_pipeline.cli.help import PROGRAM, example
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings


@click.command(epilog=example("publish", "publish --rollback", "publish --accept-fewer-files"))
@click.option(
    "--rollback", "back", is_flag=True, help="Let readers have the generation that they had before this one."
)
@click.option(
    "--accept-fewer-files",
    is_flag=True,
    help="Publish although complete days have lost files: they are really gone.",
)
def publish(*, back: bool, accept_fewer_files: bool) -> None:
    """Publish the working database as it is now, without collecting anything, if it passes the blocking checks.

    Three generations are kept: the one that is read, and the two that were read before it. With
    AVAILABILITY_PUBLISH_URL=s3://bucket/prefix, readers of object storage have the same generation as those here.
    """
    settings = Settings.load()
    if back and accept_fewer_files:
        raise UsageError("--rollback publishes nothing new; leave out --accept-fewer-files")
    click.echo(
        _rolled_back(settings) if back else _published(settings, accept_fewer_files=accept_fewer_files)
    )


def _published(settings: Settings, *, accept_fewer_files: bool) -> str:
    from availability_pipeline.object_storage.mirror import mirror  # noqa: PLC0415 - needs the database libraries
    from availability_pipeline.validation.guard import publish_now  # noqa: PLC0415 - needs the database libraries

    report = publish_now(settings, accept_fewer_files=accept_fewer_files)
    uploaded = mirror(settings)
    return (
        f"Published {report.path}: {report.rows:,} rows, {report.files:,} files, {report.symbols:,} contracts, in "
        f"{report.seconds:.1f} s (generation {report.generation})" + (f"\n{uploaded}" if uploaded else "")
    )


def _rolled_back(settings: Settings) -> str:
    from availability_pipeline.object_storage.mirror import going_back  # noqa: PLC0415 - as above
    from availability_pipeline.publishing import rollback  # noqa: PLC0415

    done = rollback(settings.db_file, going_back(settings))
    return (
        f"{done.path} is generation {done.now.generation} again: data through {done.now.data_through}, published "
        f"{done.now.published_at} by run {done.now.run_id}. {done.left} is no longer read.\n"
        "The next publication, by a run or by "
        f"`{PROGRAM} publish`, lets readers have the working database again, so correct that first."
    )

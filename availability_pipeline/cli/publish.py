"""The command `publish`: let readers have the working database as it is, or what they had before."""

from __future__ import annotations

import click

from availability_pipeline.cli.help import PROGRAM, example
from availability_pipeline.settings import Settings


@click.command(epilog=example("publish", "publish --rollback"))
@click.option(
    "--rollback", "back", is_flag=True, help="Let readers have the generation that they had before this one."
)
def publish(*, back: bool) -> None:
    """Publish the working database as it is now, without collecting anything.

    Three generations are kept: the one that is read, and the two that were read before it.
    """
    settings = Settings.load()
    click.echo(_rolled_back(settings) if back else _published(settings))


def _published(settings: Settings) -> str:
    from availability_pipeline.publishing import publish_now  # noqa: PLC0415 - needs the database libraries

    report = publish_now(settings)
    return (
        f"Published {report.path}: {report.rows:,} rows, {report.files:,} files, {report.symbols:,} contracts, in "
        f"{report.seconds:.1f} s (generation {report.generation})"
    )


def _rolled_back(settings: Settings) -> str:
    from availability_pipeline.publishing import rollback  # noqa: PLC0415 - as above

    done = rollback(settings.db_path)
    return (
        f"{done.path} is generation {done.now.generation} again: data through {done.now.data_through}, published "
        f"{done.now.published_at} by run {done.now.run_id}. {done.left} is no longer read.\n"
        "The next publication, by a run or by "
        f"`{PROGRAM} publish`, lets readers have the working database again, so correct that first."
    )

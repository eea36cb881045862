"""`report`: the page about what is published."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline.cli.options import chosen_settings, example, path_named


@click.command(epilog=example("report --open", "report --output report.html"))
@click.option(
    "--output",
    "path",
    metavar="FILE",
    callback=path_named,
    help="Write it there.  [default: into the generation]",
)
@click.option("--open", "opened", is_flag=True, help="Open it in the browser.")
def report(path: Path | None, *, opened: bool) -> None:
    """Write the page about what is published: completeness, lives of contracts, the universe, changes.

    It is one HTML file that needs nothing else. Its path is printed on standard output.
    """
    from availability_pipeline.collecting.report import make_report, save_report  # noqa: PLC0415 - the database libraries are slow to load

    settings = chosen_settings()
    if path is None:
        path = make_report(settings).path
    else:
        save_report(settings, path)
    click.echo(path, color=True)  # otherwise click strips escape codes from the path
    if opened:
        click.launch(path.as_uri())

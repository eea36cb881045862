"""`report`: the page about what is published."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline.cli.options import chosen_settings, example
from availability_pipeline.cli.output import file_options, text_output
from availability_pipeline.errors import UsageError


@click.command(epilog=example("report --open", "report --output report.html"))
@click.option("--open", "opened", is_flag=True, help="Open it in the browser.")
@file_options
@click.pass_context
def report(context: click.Context, path: Path | None, *, opened: bool) -> None:
    """Write the page about what is published: completeness, lives of contracts, the universe, changes.

    It is one HTML file that needs nothing else. Without --output it goes into the folder of its generation. Its path is
    printed on standard output.
    """
    from availability_pipeline.collecting.report import make_report, text_of_report  # noqa: PLC0415 - the database libraries are slow to load

    settings, to_stdout = chosen_settings(), path is None and _is_given(context, "path")
    if to_stdout and opened:
        raise UsageError("--open needs a file; leave out --output -")
    if path is None and not to_stdout:
        path = make_report(settings).path
    else:
        text = text_of_report(settings)
        with text_output(path) as file:
            file.write(text)
    if path is not None:
        click.echo(path, color=True)  # otherwise click strips escape codes from the path
    if opened and path is not None:
        click.launch(path.as_uri())


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE

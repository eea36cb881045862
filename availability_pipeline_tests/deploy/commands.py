"""Whether a command line is one that the program understands, without running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import click
from dagster._cli import create_dagster_cli
from dagster._daemon.cli import create_dagster_daemon_cli
from dagster_webserver.cli import dagster_webserver

from availability_pipeline.cli.main import cli

PROGRAMS: dict[str, Callable[[], click.Command]] = {
    "dagster": create_dagster_cli,
    "dagster-daemon": create_dagster_daemon_cli,
    "dagster-webserver": lambda: dagster_webserver,
    "binance-futures-availability": lambda: cli,
}


def understood(words: Sequence[str]) -> bool:
    """Whether program, commands, options and arguments exist; raises what click says of it if they do not."""
    name = PurePosixPath(words[0]).name
    command, arguments = PROGRAMS[name](), list(words[1:])
    context = click.Context(command, info_name=name, **command.context_settings)
    while isinstance(command, click.Group):
        found, command, arguments = command.resolve_command(context, arguments)
        assert command is not None, found
    return command.make_context(command.name, arguments, parent=context) is not None

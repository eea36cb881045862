"""`completion`: what a shell needs to complete commands, options and contracts, and the completion of contracts.

A completion is asked for at every press of a key, so it loads little, and it says nothing when it knows nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from availability_pipeline.cli.env_file import read_env_file
from availability_pipeline.cli.help import PROGRAM, example
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.settings import Settings

SHELLS = ("bash", "zsh", "fish")

_WHERE = f"""

\b
Where to put it:
  ~/.bashrc  eval "$({PROGRAM} completion bash)"
  ~/.zshrc   eval "$({PROGRAM} completion zsh)"
  ~/.config/fish/config.fish
             {PROGRAM} completion fish | source"""


@click.command(epilog=example("completion bash") + _WHERE)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print the script that lets a shell complete this program's commands.

    Contracts are completed as well, from the published database. SHELL is the one of the environment if left out.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell)
    if shell not in SHELLS or kind is None:
        raise click.UsageError(
            f"there is no completion for the shell {shell!r}; name one of {', '.join(SHELLS)}"
        )
    variable = f"_{PROGRAM}_COMPLETE".replace("-", "_").upper()
    click.echo(kind(context.find_root().command, {}, PROGRAM, variable).source())


def complete_symbol(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:  # noqa: ARG001
    """The contracts whose names begin with what was typed, in upper or lower case."""
    return [CompletionItem(name) for name in _symbols() if name.startswith(typed.strip().upper())]


def complete_symbols(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The same for the last of several contracts, separated by commas."""
    before, comma, last = typed.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{item.value}") for item in complete_symbol(context, parameter, last)
    ]


def _symbols() -> list[str]:
    from availability_pipeline.object_storage.cache import file_at_hand  # noqa: PLC0415 - needs DuckDB
    from availability_pipeline.publishing.opening import read_symbols  # noqa: PLC0415

    try:
        read_env_file()
        settings = Settings.load()
        file = file_at_hand(settings.db_path, settings)
        return read_symbols(file) if file else []
    except (AvailabilityError, OSError):
        return []

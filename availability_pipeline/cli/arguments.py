"""How arguments that several commands have are read."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline import paths
from availability_pipeline.errors import UsageError


def path_named(_context: click.Context, parameter: click.Parameter, text: str | None) -> Path | None:
    """The path of an argument or option; a variable of the shell that is empty does not mean the current folder.

    Raises:
        UsageError: It is empty or cannot be used.
    """
    if text is None:
        return None
    option = isinstance(parameter, click.Option)
    return paths.path_named(parameter.opts[0] if option else parameter.human_readable_name, text)


def database_named(context: click.Context, parameter: click.Parameter, text: str) -> Path | None:
    """Likewise, where databases of DuckDB are."""
    path = path_named(context, parameter, text)
    return path and paths.check_database_path(parameter.human_readable_name, path)


def symbol_names(symbols: str | None) -> list[str]:
    """The contracts of `--symbols`; none if it was not given.

    Raises:
        UsageError: It was given and names none.
    """
    if symbols is None:
        return []
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise UsageError("--symbols names no contract; write it as --symbols BTCUSDT,ETHUSDT")
    return names

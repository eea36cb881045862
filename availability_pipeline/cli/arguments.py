"""How arguments that several commands have are read."""

from __future__ import annotations

from pathlib import Path

import click

from availability_pipeline.errors import UsageError
from availability_pipeline.settings import check_path


def path_named(_context: click.Context, parameter: click.Parameter, text: str) -> Path:
    """The path of an argument or option; a variable of the shell that is empty does not mean the current folder.

    Raises:
        UsageError: It is empty, or stands for a stream.
    """
    name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
    check_path(name, text)
    return Path(text)


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

"""Shared by commands: arguments, `.env`, examples in help, completion of symbols."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, Dataset, dataset_named
from availability_pipeline.collecting.process import checkout
from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.settings import VARIABLES, Settings, values
from availability_pipeline.settings.values import is_url

NAME = ".env"

_DATASET = f"{__name__}.dataset"
"""Where a command's context has the name of its dataset."""

_PATHS = ("AVAILABILITY_DATA_DIR", "AVAILABILITY_DB_PATH", "AVAILABILITY_MIRROR_DIR")

_OURS = {"DAGSTER_HOME", *(variable for variable, _ in VARIABLES.values())}


def read_env_file() -> None:
    """Load the `.env` of the current checkout, if any, into the environment.

    Raises:
        UsageError: The file cannot be read, or contradicts the environment, over which it wins in Dagster.
    """
    folder = checkout()
    if folder is None or not (folder / NAME).exists():
        return
    for name, text in _values(folder / NAME).items():
        value = str(folder / text) if name in _PATHS and _is_relative(text) else text
        if name in _OURS and os.environ.get(name, "").strip() not in ("", value.strip()):
            raise UsageError(
                f"{name} is one thing in the environment and another in {folder / NAME}, which `dagster dev` goes by; "
                "unset the one or remove the other, or run the command outside the checkout"
            )
        os.environ[name] = value


def _values(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415 - most commands run where there is no such file

    try:
        values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); allow it to be read, or move it away"
        ) from error
    except UnicodeDecodeError:
        values = {"\0": ""}
    if any("\0" in name + value for name, value in values.items()):
        raise UsageError(
            f"{path} is no text in UTF-8; write it as lines such as AVAILABILITY_DATA_DIR=/srv/availability"
        )
    return values


def _is_relative(value: str) -> bool:
    return bool(value) and not (value.startswith(("/", "~")) or is_url(value))


def path_named(_context: click.Context, parameter: click.Parameter, text: str | None) -> Path | None:
    """Click's callback for paths; raises UsageError for unusable and empty ones, such as an unset shell variable."""
    if text is None:
        return None
    option = isinstance(parameter, click.Option)
    return values.path_named(parameter.opts[0] if option else parameter.human_readable_name, text)


def database_named(context: click.Context, parameter: click.Parameter, text: str) -> Path | None:
    """Click's callback for paths of DuckDB databases; raises UsageError."""
    path = path_named(context, parameter, text)
    return path and values.check_database_path(parameter.human_readable_name, path)


def complete_dataset(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete the name of a dataset."""
    return [CompletionItem(name) for name in DATASETS if name.startswith(typed.strip())]


def _dataset_named(context: click.Context, _parameter: click.Parameter, text: str | None) -> None:
    if text is not None:
        context.meta[_DATASET] = dataset_named(text, "--dataset")


def with_dataset(command: click.Command) -> click.Command:
    """Let a command, or each command of a group, have `--dataset`, by which `chosen_settings` go."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            with_dataset(each)
    elif not any(parameter.name == "dataset" for parameter in command.params):
        command.params.append(
            click.Option(
                ["--dataset"],
                metavar="NAME",
                expose_value=False,
                callback=_dataset_named,
                shell_complete=complete_dataset,
                is_eager=True,
                help=f"Which dataset of the catalogue is meant.  [default: {DEFAULT_DATASET.name}]",
            )
        )
    return command


def chosen_settings(environ: Mapping[str, str] | None = None, **arguments: str | None) -> Settings:
    """The settings for the dataset of the command's `--dataset`; arguments as of `Settings.load`."""
    chosen = chosen_dataset(click.get_current_context())
    return Settings.load(environ, **arguments).of_dataset(chosen)


def chosen_dataset(context: click.Context) -> Dataset:
    """The dataset of the command's `--dataset`."""
    chosen: Dataset = context.meta.get(_DATASET, DEFAULT_DATASET)
    return chosen


def symbol_names(symbols: str | None) -> list[str]:
    """The contracts of `--symbols`; raises UsageError if it is given and empty."""
    if symbols is None:
        return []
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise UsageError("--symbols names no contract; write it as --symbols BTCUSDT,ETHUSDT")
    return names


PROGRAM = "binance-futures-availability"
"""The name of the command."""


def example(*commands: str) -> str:
    """A help epilog with command lines, given without the program's name."""
    lines = [f"  {PROGRAM} {command}" for command in commands]
    # \b keeps click from wrapping the lines into a paragraph.
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *lines])


def complete_symbol(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete a contract, in upper or lower case."""
    return [CompletionItem(name) for name in _symbols(context) if name.startswith(typed.strip().upper())]


def complete_symbols(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete the last of several contracts, separated by commas."""
    before, comma, last = typed.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{item.value}") for item in complete_symbol(context, parameter, last)
    ]


def _symbols(context: click.Context) -> list[str]:
    from availability_pipeline.publishing.opening import read_symbols  # noqa: PLC0415
    from availability_pipeline.publishing.remote.cache import file_at_hand  # noqa: PLC0415 - needs DuckDB

    try:
        read_env_file()
        with context.scope(cleanup=False):
            settings = chosen_settings()
        file = file_at_hand(settings.db_path, settings)
        return read_symbols(file) if file else []
    except (AvailabilityError, OSError):
        return []

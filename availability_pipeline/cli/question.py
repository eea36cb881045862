"""The declaration of queries as commands, and their common parameters.

A new query is a method of `AvailabilityQueries` and a declaration in `query`, with the form of its table from `views`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from availability_pipeline.cli.options import chosen_settings, complete_symbol, example
from availability_pipeline.cli.output import Answer, Output, Row, output_options
from availability_pipeline.dates import parse_day, parse_moment
from availability_pipeline.queries.api import AvailabilityQueries, Result

Values = Mapping[str, Any]
"""Values of a command's parameters, by name."""

Title = Callable[[Result[Any], Values], str]
"""Makes the line above a table."""

Table = Callable[[Result[Any], Values], Iterable[Row]]
"""Makes the rows of a table."""


def question(  # noqa: PLR0913 - the whole declaration of a command
    group: click.Group,
    name: str,
    ask: Callable[..., Result[Any]],
    parameters: Sequence[click.Parameter],
    help_text: str,
    *,
    examples: Sequence[str],
    title: Title,
    table: Table = lambda result, _: result,
    in_full: Table | None = None,
    all_help: str = "Show every day in a table instead of months.",
    days: Callable[[AvailabilityQueries, Result[Any]], Sequence[tuple[dt.date, str]]] = lambda *_: (),
) -> None:
    """Add a command that runs a query and prints its result.

    Args:
        group: The group of the command.
        name: Its name.
        ask: The method of `AvailabilityQueries`, called with the parameters by name.
        parameters: Arguments and options, named as those of the method.
        help_text: The help.
        examples: Command lines for the help.
        title: The title of the table.
        table: The rows of the table; the result by default.
        in_full: Its rows with `--all`; without this, there is no such option.
        all_help: The help of `--all`.
        days: Days with their statuses, for a strip above the table; none by default.
    """

    @output_options
    def run(output: Output, *, whole: bool = False, **values: Any) -> None:
        with AvailabilityQueries(settings=chosen_settings()) as queries:
            result = ask(queries, **values)
            shown = in_full if whole and in_full else table
            output.write(
                Answer(
                    result,
                    table=lambda: shown(result, values),
                    title=lambda: title(result, values),
                    days=lambda: days(queries, result),
                )
            )

    every = [option("--all", "whole", is_flag=True, help=all_help)] if in_full else []
    params = [*parameters, *every, *reversed(run.__click_params__)]  # type: ignore[attr-defined]  # click's
    group.add_command(click.Command(name, None, run, params, help_text, example(*examples)))


def option(*names: str, **settings: Any) -> click.Option:
    """As the decorator `click.option`."""
    return click.Option(names, **settings)


def day(name: str = "date") -> click.Argument:
    """An argument that is a UTC day."""
    return click.Argument([name], callback=day_named)


def symbol(*, required: bool = False) -> click.Argument:
    """An argument that is a contract."""
    return click.Argument(["symbol"], required=required, shell_complete=complete_symbol)


def day_named(_context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """Click's callback for UTC days; raises UsageError."""
    return None if text is None else parse_day(text, _name(parameter))


def moment_named(_context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """Click's callback for moments; raises UsageError."""
    return None if text is None else parse_moment(text, _name(parameter))


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name

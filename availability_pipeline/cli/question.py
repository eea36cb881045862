"""Queries as commands: what declares one, and the parameters that several of them have.

A new question is a method of `AvailabilityQueries` and one declaration in `query`. How tables look is said in `views`;
formats and files belong to `output`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from availability_pipeline.cli.options import complete_symbol, example
from availability_pipeline.cli.output import Answer, Output, Row, output_options
from availability_pipeline.dates import parse_day, parse_moment
from availability_pipeline.queries.api import AvailabilityQueries, Result

Values = Mapping[str, Any]
"""What a command's parameters are, by name."""

Title = Callable[[Result[Any], Values], str]
"""Makes the line above a table."""

Table = Callable[[Result[Any], Values], Iterable[Row]]
"""Makes the rows of a table."""


def question(  # noqa: PLR0913 - all that there is to say of a command
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
) -> None:
    """Add a command that asks a query and prints its result.

    Args:
        group: Where it is added.
        name: What it is called.
        ask: The method of `AvailabilityQueries`, which is given the parameters by name.
        parameters: The arguments and options, called as those of the method.
        help_text: What `--help` says.
        examples: Command lines for it.
        title: The line above the table.
        table: What a table shows; all rows and columns by default.
        in_full: What it shows with `--all`, an option that commands without this do not have.
        all_help: What help says of `--all`.
    """

    @output_options
    def run(output: Output, *, whole: bool = False, **values: Any) -> None:
        with AvailabilityQueries() as queries:
            result = ask(queries, **values)
            shown = in_full if whole and in_full else table
            output.write(
                Answer(result, table=lambda: shown(result, values), title=lambda: title(result, values))
            )

    every = [option("--all", "whole", is_flag=True, help=all_help)] if in_full else []
    params = [*parameters, *every, *reversed(run.__click_params__)]  # type: ignore[attr-defined]  # click's
    group.add_command(click.Command(name, None, run, params, help_text, example(*examples)))


def option(*names: str, **settings: Any) -> click.Option:
    """An option, as the decorator `click.option` has it."""
    return click.Option(names, **settings)


def day(name: str = "date") -> click.Argument:
    """An argument that is a UTC day."""
    return click.Argument([name], callback=day_named)


def symbol(*, required: bool = False) -> click.Argument:
    """An argument that is a contract."""
    return click.Argument(["symbol"], required=required, shell_complete=complete_symbol)


def day_named(_context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """The UTC day that a parameter names.

    Raises:
        UsageError: It names none.
    """
    return None if text is None else parse_day(text, _name(parameter))


def moment_named(_context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """The moment that a parameter names, in UTC.

    Raises:
        UsageError: It names none.
    """
    return None if text is None else parse_moment(text, _name(parameter))


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name

"""`query universe` and `query universe-history`: which contracts could be traded."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from availability_pipeline.cli.options import example
from availability_pipeline.cli.output import Answer, Output, Row, only, output_options
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import UNIVERSE_COLUMNS
from availability_pipeline.symbols import counted

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = ("symbol", "status", "first_day", "age_days", "contract_type")


def _rules_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the rules of a universe; it receives them as one dict named `rules`."""

    @click.option(
        "--min-age-days", metavar="N", type=click.IntRange(0), default=0, help="Days since the listing."
    )
    @click.option(
        "--min-days-in-window",
        "window",
        metavar="N[/M]",
        help="N live days at least among the last M, or 30.",
    )
    @click.option("--include-flat", is_flag=True, help="Also contracts that are listed and no longer traded.")
    @click.option("--contract-types", "types", metavar="A,B", help="Only these types, such as PERPETUAL.")
    @functools.wraps(command)
    def with_rules(
        *args: object,
        min_age_days: int,
        window: str | None,
        include_flat: bool,
        types: str | None,
        **kwargs: object,
    ) -> None:
        rules = {
            "min_age_days": min_age_days,
            "min_days_in_window": None if window is None else _window(window),
            "include_flat": include_flat,
            "contract_types": None if types is None else [name.strip() for name in types.split(",")],
        }
        command(*args, rules=rules, **kwargs)

    return with_rules


def _window(text: str) -> int | tuple[int, int]:
    if not re.fullmatch("[0-9]{1,6}(/[0-9]{1,6})?", text):
        raise UsageError(
            f"--min-days-in-window is {text!r}; write it as 25/30, 25 live days among the last 30"
        )
    days, slash, window = text.partition("/")
    return (int(days), int(window)) if slash else int(days)


@click.command(
    epilog=example(
        "query universe 2024-01-15",
        "query universe 2024-01-15 --explain",
    )
)
@click.argument("date")
@_rules_options
@click.option("--explain", is_flag=True, help="Also the contracts that are left out, with the reason.")
@output_options
def universe(date: str, rules: dict[str, Any], output: Output, *, explain: bool) -> None:
    """The contracts that one could have traded on a day.

    As of that day: nothing that became known later has a say. Left out are contracts without a file (pending, missing,
    ended), those that were known to be flat, and those that the options exclude.
    """
    with AvailabilityQueries() as queries:
        day = parse_day(date, "DATE")
        rows = queries.get_universe(day, **rules, explain=explain)
        answer = Answer(
            rows=lambda: rows,
            arrow=lambda: queries.get_universe_arrow(day, **rules, explain=explain),
            columns=UNIVERSE_COLUMNS,
            summary=lambda: only(rows, (*_SHOWN, "reason") if explain else _SHOWN),
            title=lambda: _title(rows, f"{day}"),
        )
        output.write(answer)


@click.command(
    "universe-history",
    epilog=example("query universe-history 2021-01-01 2021-12-31"),
)
@click.argument("start")
@click.argument("end")
@click.option("--step", metavar="N", type=click.IntRange(1), default=1, help="Every N days.  [default: 1]")
@_rules_options
@output_options
def universe_history(start: str, end: str, step: int, rules: dict[str, Any], output: Output) -> None:
    """The universes of many days, for a whole backtest.

    START and END are included. Each universe is as of its own day. A table has one line per day; the other formats have
    every contract.
    """
    with AvailabilityQueries() as queries:
        days = DayRange(parse_day(start, "START"), parse_day(end, "END"))
        table = queries.universe_history(days.start, days.end, step, **rules)
        answer = Answer(
            rows=lambda: _streamed(table),
            arrow=lambda: table,
            columns=table.column_names,
            summary=lambda: _by_day(table["date"].to_pylist(), list(days)[::step]),
            title=lambda: f"Universes of {days}",
        )
        output.write(answer)


def _title(rows: Sequence[Row], day: str) -> str:
    out = sum(row["reason"] is not None for row in rows)
    found = counted(len(rows) - out, "contract")
    return f"{found} in the universe of {day}" + (f", {out:,} left out" if out else "")


def _streamed(table: pa.Table) -> Iterator[Row]:
    for batch in table.to_batches(max_chunksize=20_000):
        yield from batch.to_pylist()


def _by_day(dates: Iterable[object], days: Iterable[object]) -> list[Row]:
    counts = Counter(dates)
    return [{"date": day, "contracts": counts[day]} for day in days]

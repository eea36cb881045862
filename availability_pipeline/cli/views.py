"""Tables of results, which are shorter than the other formats: fewer columns, a line per month or day, titles."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from availability_pipeline.cli.output import Row, only
from availability_pipeline.cli.question import Table, Title, Values
from availability_pipeline.dates import DayRange
from availability_pipeline.queries.api import AvailabilityQueries, Result
from availability_pipeline.queries.status import statuses_by_day
from availability_pipeline.symbols import counted


def columns(*names: str) -> Table:
    """A table of these columns."""
    return lambda result, _: only(result, names)


def counted_as(noun: str, about: str = "") -> Title:
    """A title with the number of rows; `about` may contain parameters, such as ` on {date}`."""
    return lambda result, values: counted(len(result), noun) + about.format_map(values)


def changes_title(result: Result[Any], values: Values) -> str:
    """The number of changes, and the first day of observation."""
    return counted(len(result), "change") + (f" since {values['since']}" if values["since"] else "")


def timeline_title(result: Result[Any], values: Values) -> str:
    """The number of files and days of a contract."""
    name = values["symbol"].strip().upper()
    if not result:
        return f"{name} has no file on any collected day"
    files = sum(row["available"] for row in result)
    return f"{name}: {files:,} files on {len(result):,} days, {result[0]['date']} to {result[-1]['date']}"


def timeline_days(queries: AvailabilityQueries, result: Result[Any]) -> list[tuple[dt.date, str]]:
    """The status of each day of a contract since its first file."""
    return statuses_by_day(queries, result[0]["symbol"]) if result else []


def of_days(noun: str) -> Title:
    """A title with the days of a range."""
    return lambda _, values: f"{noun} of {DayRange(values['start'], values['end'])}"


def summary_title(result: Result[Any], _: Values) -> str:
    """The number of days of a summary."""
    return f"{counted(len(result), 'day')}, {result[0]['date']} to {result[-1]['date']}"


def universe_title(result: Result[Any], values: Values) -> str:
    """The number of contracts in a universe, and of the shown ones that are excluded."""
    out = sum(row["reason"] is not None for row in result)
    found = counted(len(result) - out, "contract")
    return f"{found} in the universe of {values['date']}" + (f", {out:,} left out" if out else "")


def universe_table(result: Result[Any], values: Values) -> Iterable[Row]:
    """The contracts of a universe, with reasons if excluded ones are shown."""
    shown = ["symbol", "status", "first_day", "age_days", "contract_type"]
    if values["top"] or values["min_quote_volume"] is not None:
        shown += ["rank", "liquidity"]
    return only(result, [*shown, "reason"] if values["explain"] else shown)


def titled(text: str) -> Title:
    """A title that may contain parameters, such as `{date}`."""
    return lambda _, values: text.format_map(values)


def volume_title(result: Result[Any], values: Values) -> str:
    """The number of bars of a contract, and of those with a trade."""
    name = values["symbol"].strip().upper()
    if not result:
        return f"{name} has no daily bar"
    traded = sum(row["trades"] > 0 for row in result)
    return f"{name}: {len(result):,} daily bars, {traded:,} with a trade, {result[0]['date']} to {result[-1]['date']}"


def volume_by_month(result: Result[Any], _: Values) -> Iterator[Row]:
    """What was traded in each month."""
    for month, days in _months(result):
        yield {
            "month": month,
            "bars": len(days),
            "traded": sum(day["trades"] > 0 for day in days),
            "close": days[-1]["close"],
            "quote_volume": sum(day["quote_volume"] for day in days),
            "trades": sum(day["trades"] for day in days),
        }


def bars_by_day(result: Result[Any], _: Values) -> Iterator[Row]:
    """The number of contracts with a bar on each day."""
    for row in result:
        yield {"date": row["date"], "contracts": sum(value is not None for value in row.values()) - 1}


def universes_by_day(result: Result[Any], values: Values) -> list[Row]:
    """The number of contracts of each universe."""
    counts = Counter(result.arrow()["date"].to_pylist())
    days = list(DayRange(values["start"], values["end"]))[:: values["step"]]
    return [{"date": day, "contracts": counts[day]} for day in days]


def contract_title(result: Result[Any], values: Values) -> str:
    """The number of states of a contract."""
    if not result:
        return f"the exchange said nothing of {values['symbol'].strip().upper()}, as far as is recorded"
    return f"{result[0]['symbol']}: {counted(len(result), 'state')} according to exchangeInfo"


def episodes(result: Result[Any], _: Values) -> Iterable[Row]:
    """The columns of episodes that fit into 80 characters."""
    return map(_episode, result)


def _episode(row: Row) -> Row:
    return {
        "symbol": row["symbol"],
        "first_day": row["first_day"],
        "last_trade": row["last_trading_day"],
        "last_file": row["last_day"],
        "end": row["end_reason"] or "open",
        "flat": row["flat_days"],
    }


def timeline_by_month(result: Result[Any], _: Values) -> Iterator[Row]:
    """Files and bytes of each month, and the days without a file."""
    for month, days in _months(result):
        missing = [str(day["date"]) for day in days if not day["available"]]
        yield {
            "month": month,
            "days": len(days),
            "files": len(days) - len(missing),
            "bytes": sum(day["file_size_bytes"] or 0 for day in days),
            "without a file": ", ".join(missing)
            if len(missing) <= 3
            else f"{missing[0]} … {missing[-1]} ({len(missing)})",
        }


def summary_by_month(result: Result[Any], _: Values) -> Iterator[Row]:
    """Files and bytes of each month, and the most contracts on one of its days."""
    for month, days in _months(result):
        yield {
            "month": month,
            "days": len(days),
            "files": sum(day["file_count"] for day in days),
            "bytes": sum(day["bytes"] for day in days),
            "most contracts": max(day["file_count"] for day in days),
            "missing": sum(day["missing"] for day in days),
        }


def range_by_day(result: Result[Any], values: Values) -> list[Row]:
    """Files and bytes of each day, including those without files."""
    days = DayRange(values["start"], values["end"])
    lines: dict[dt.date, dict[str, Any]] = {day: {"date": day, "files": 0, "bytes": 0} for day in days}
    for row in result.stream():
        line = lines[row["date"]]
        line["files"] += 1
        line["bytes"] += row["file_size_bytes"]
    return list(lines.values())


def _months(rows: Iterable[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    return ((month, list(days)) for month, days in groupby(rows, lambda row: f"{row['date']:%Y-%m}"))

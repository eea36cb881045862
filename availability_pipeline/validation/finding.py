"""The form of every check: what it looks at, and what it found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import duckdb

from availability_pipeline.days import FIRST_DAY, DayRange, utc_today
from availability_pipeline.settings import Settings

SAMPLE = 100
"""How many offenders a finding carries; its counts are exact."""

NAMED = 5
"""How many offenders a sentence names."""


class Severity(StrEnum):
    """How bad it is that a check did not pass."""

    WARN = "WARN"
    """Worth knowing; nothing has to be done now."""
    ERROR = "ERROR"
    """The data is wrong or incomplete."""


@dataclass(frozen=True)
class Scope:
    """What a check looks at.

    Args:
        settings: Where things are.
        days: The window of the run; None for the whole table.
        symbols: The contracts that the run was restricted to; empty for all tracked ones.
        run_id: The run whose entries of the ledger are meant; None for the whole ledger.
        today: The current UTC day.
    """

    settings: Settings
    days: DayRange | None = None
    symbols: tuple[str, ...] = ()
    run_id: str | None = None
    today: dt.date = field(default_factory=utc_today)

    def window(self, connection: duckdb.DuckDBPyConnection) -> DayRange | None:
        """The days to look at, up to the last collected one for a whole table; None if there is no row at all."""
        if self.days is not None:
            return self.days
        [(last,)] = connection.execute("SELECT max(date) FROM daily_availability").fetchall()
        return None if last is None else DayRange(FIRST_DAY, max(FIRST_DAY, last))


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        name: The name of the check.
        passed: Whether all is well. What could not be evaluated has not passed.
        severity: How bad it is if not.
        summary: One sentence: what was found and, unless it passed, how to recover.
        numbers: Exact counts and shares, by name.
        offenders: At most `SAMPLE` of what did not pass, all with the same keys.
    """

    name: str
    passed: bool
    summary: str
    numbers: Mapping[str, int | float]
    severity: Severity = Severity.ERROR
    offenders: Sequence[Mapping[str, Any]] = ()

    @property
    def is_error(self) -> bool:
        """Whether it failed with severity ERROR."""
        return not self.passed and self.severity is Severity.ERROR


def rows(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a query as dicts."""
    result = connection.execute(query, dict(values or {}))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def named(offenders: Sequence[Mapping[str, Any]], *keys: str, total: int | None = None) -> str:
    """The first offenders in words: `BTCUSDT 2024-01-03, ETHUSDT 2024-01-04 and 3 more`."""
    shown = [" ".join(str(offender[key]) for key in keys) for offender in offenders[:NAMED]]
    more = (len(offenders) if total is None else total) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")

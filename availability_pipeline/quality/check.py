"""What a check is, and the registry of all checks.

A check is one function in a module of this package, registered by `@check`. The asset checks of Dagster, `validate`
and the publish guard are made from the registry, so that nothing else names a check. Rules do not belong here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import duckdb

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset
from availability_pipeline.dates import DayRange, utc_today
from availability_pipeline.errors import UsageError
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
        made: What checks of this scope have made or found on its connection, and share.
    """

    settings: Settings
    days: DayRange | None = None
    symbols: tuple[str, ...] = ()
    run_id: str | None = None
    today: dt.date = field(default_factory=utc_today)
    made: set[str] = field(default_factory=set, compare=False)

    def window(self, connection: duckdb.DuckDBPyConnection) -> DayRange | None:
        """The days to look at, up to the last collected one for a whole table; None if there is no row at all."""
        if self.days is not None:
            return self.days
        [(last,)] = connection.execute("SELECT max(date) FROM daily_availability").fetchall()
        first = self.settings.dataset.first_day
        return None if last is None else DayRange(first, max(first, last))


@dataclass(frozen=True)
class Verdict:
    """What the function of a check returns.

    Args:
        passed: Whether all is well. What could not be evaluated has not passed.
        summary: One sentence: what was found and, unless it passed, how to recover.
        numbers: Exact counts and shares, by name.
        offenders: At most `SAMPLE` of what did not pass, all with the same keys.
        severity: How bad it is if not; that of the check by default.
    """

    passed: bool
    summary: str
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    offenders: Sequence[Mapping[str, Any]] = ()
    severity: Severity | None = None


@dataclass(frozen=True)
class Finding:
    """A verdict with the name of the check and its severity."""

    name: str
    passed: bool
    summary: str
    numbers: Mapping[str, int | float]
    severity: Severity
    offenders: Sequence[Mapping[str, Any]] = ()

    @property
    def is_error(self) -> bool:
        """Whether it failed with severity ERROR."""
        return not self.passed and self.severity is Severity.ERROR


CheckFunction = Callable[[duckdb.DuckDBPyConnection, Scope], Verdict]


@dataclass(frozen=True)
class Check:
    """A registered check; called with a connection to the working database and a scope, it returns its finding.

    Args:
        function: The rule, which only reads the working database.
        asset: The name of the Dagster asset that is checked.
        blocking: Whether nothing is published by a run in which it fails with severity ERROR.
        severity: How bad it is not to pass, unless the verdict says otherwise.
        run_only: It is about the days of one run, so the publish guard does not ask it.
        waived_by_fewer_files: The publish guard leaves it out where fewer files are accepted.
    """

    function: CheckFunction
    asset: str
    blocking: bool
    severity: Severity
    run_only: bool
    waived_by_fewer_files: bool

    @property
    def name(self) -> str:
        """The name in Dagster, reports and documents: that of the function."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").split("\n")[0]

    @property
    def guards_publication(self) -> bool:
        """Whether the publish guard asks it."""
        return self.blocking and not self.run_only

    def __call__(self, connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
        """Evaluate the check.

        A mistake in what the user wrote, such as the list of known gaps, is a finding of severity ERROR.
        """
        try:
            verdict = self.function(connection, scope)
        except UsageError as error:
            verdict = Verdict(False, f"could not be evaluated: {error}", severity=Severity.ERROR)
        severity = verdict.severity or self.severity
        return Finding(
            self.name,
            verdict.passed,
            scope.settings.dataset.in_commands(verdict.summary),
            verdict.numbers,
            severity,
            verdict.offenders,
        )


_REGISTRY: dict[str, Check] = {}


def check(
    *,
    asset: str,
    blocking: bool = False,
    severity: Severity = Severity.ERROR,
    run_only: bool = False,
    waived_by_fewer_files: bool = False,
) -> Callable[[CheckFunction], Check]:
    """Register a function as a check; the arguments are those of `Check`.

    Raises:
        ValueError: There is a check of that name already.
    """

    def register(function: CheckFunction) -> Check:
        registered = Check(function, asset, blocking, severity, run_only, waived_by_fewer_files)
        if registered.name in _REGISTRY:
            raise ValueError(f"there are two checks called {registered.name}; rename one of them")
        _REGISTRY[registered.name] = registered
        return registered

    return register


def all_checks(dataset: Dataset = DEFAULT_DATASET) -> list[Check]:
    """All checks of a dataset in the order in which findings are read: the blocking ones first."""
    lacking = {
        "daily_volume": not dataset.has_volume,
        "file_contents": not dataset.has_minutes,
        "exchange_info": not dataset.is_compared,
        "known_delistings": not dataset.is_default,
    }
    checks = (each for each in _REGISTRY.values() if not (lacking.get(each.asset) or lacking.get(each.name)))
    return sorted(checks, key=lambda registered: not registered.blocking)


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

"""What a check is, the registry of all checks, and those who ask them outside Dagster: validator and publish guard.

A check is one function in a module of this package, registered by `@check`. The asset checks of Dagster, `validate`
and the publish guard are made from the registry, so that nothing else names a check. Rules do not belong here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import duckdb

from availability_pipeline.analysis import Rules
from availability_pipeline.days import FIRST_DAY, DayRange, utc_now, utc_today
from availability_pipeline.errors import PublicationError, UsageError
from availability_pipeline.publishing import PublishReport, check_target, publish, published_by
from availability_pipeline.settings import Settings
from availability_pipeline.store.connection import connect

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
            self.name, verdict.passed, verdict.summary, verdict.numbers, severity, verdict.offenders
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


def all_checks() -> list[Check]:
    """All checks in the order in which findings are read: the blocking ones first."""
    return sorted(_REGISTRY.values(), key=lambda registered: not registered.blocking)


def checks_of(asset: str) -> list[Check]:
    """The checks of one asset, the blocking ones first."""
    return [registered for registered in all_checks() if registered.asset == asset]


class AvailabilityValidator:
    """Runs every check over the whole table.

    Args:
        settings: Where the databases are; from the environment by default.

    Raises:
        UsageError: The published database is not on this machine.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings.load()
        _ = self._settings.db_file

    def run_all_validations(self) -> dict[str, Any]:
        """Run all checks and report.

        The working database is opened for reading, so this waits while a run writes to it. exchangeInfo is asked once.

        Returns:
            `validation_passed`, False if a check of severity ERROR failed; `errors` and `warnings`, how many checks
            failed with each severity; `checks`, a list of dicts with name, passed, severity, summary, numbers and
            offenders.

        Raises:
            StoreError: There is no working database, or it cannot be read.

        Example:
            >>> report = AvailabilityValidator().run_all_validations()
            >>> report["validation_passed"], report["errors"]
            (True, 0)
        """
        with connect(self._settings.working_path, read_only=True) as connection:
            scope = Scope(self._settings)
            findings = [registered(connection, scope) for registered in all_checks()]
        return {
            "validation_passed": not any(finding.is_error for finding in findings),
            "errors": sum(finding.is_error for finding in findings),
            "warnings": sum(not finding.passed and not finding.is_error for finding in findings),
            "checks": [asdict(finding) for finding in findings],
        }


def publish_checked(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    run_id: str,
    *,
    repeated: Collection[str | None] = (),
    accept_fewer_files: bool = False,
) -> PublishReport:
    """The publish guard: publish the working database, if the blocking checks pass that are not about one run's days.

    A step that is tried or executed again after its publication publishes nothing more, unless the working database has
    changed: what a rollback can go back to would be pushed out.

    Args:
        connection: The working database, with no transaction open.
        settings: Where it is to be published.
        run_id: The run that publishes.
        repeated: The runs that it executes again, None where there is none.
        accept_fewer_files: The user has decided that files which complete days have lost are really gone.

    Raises:
        PublicationError: Nothing was published; the message says why and what to do.
    """
    if published := published_by(connection, settings.db_file, {run_id, *repeated}):
        return published
    findings = [
        registered(connection, Scope(settings))
        for registered in all_checks()
        if registered.guards_publication and not (accept_fewer_files and registered.waived_by_fewer_files)
    ]
    if failed := [finding for finding in findings if finding.is_error]:
        reasons = "; ".join(f"{finding.name}: {finding.summary}" for finding in failed)
        raise PublicationError(f"nothing was published, readers keep the last good generation; {reasons}")
    return publish(connection, settings.db_file, run_id, Rules.of(settings))


def publish_now(settings: Settings, *, accept_fewer_files: bool = False) -> PublishReport:
    """Publish the working database as it is, outside any Dagster run.

    Raises:
        StoreError: The working database cannot be opened.
        PublicationError: Nothing was published, and what readers have is as it was.
    """
    check_target(settings.db_file, settings.working_path)
    if not settings.working_path.exists():
        raise PublicationError(
            f"there is nothing to publish, there is no working database {settings.working_path}; run `backfill`"
        )
    with connect(settings.working_path) as connection:
        run_id = f"manual-{utc_now():%Y%m%dT%H%M%SZ}"
        return publish_checked(connection, settings, run_id, accept_fewer_files=accept_fewer_files)


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

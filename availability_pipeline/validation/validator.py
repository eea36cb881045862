"""All checks in a row, for those who do not use Dagster: what `validate` prints and `AvailabilityValidator` returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import duckdb

from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.store.connection import connect
from availability_pipeline.validation.changes import changed_files
from availability_pipeline.validation.exchange import exchange_info
from availability_pipeline.validation.files import completeness, holes
from availability_pipeline.validation.finding import Finding, Scope
from availability_pipeline.validation.grid import continuity, history_continuity, row_invariants
from availability_pipeline.validation.lifecycle import (
    episodes_do_not_overlap,
    every_file_has_an_episode,
    known_delistings,
)
from availability_pipeline.validation.publication import equals_working
from availability_pipeline.validation.regression import no_regression
from availability_pipeline.validation.sizes import rowless_files

Check = Callable[[duckdb.DuckDBPyConnection, Scope], Finding]

BLOCKING: dict[str, Check] = {
    "continuity": continuity,
    "row_invariants": row_invariants,
    "no_regression": no_regression,
}
"""The checks without which nothing is published."""

REPORTING: dict[str, Check] = {
    "history_continuity": history_continuity,
    "completeness": completeness,
    "holes": holes,
    "rowless_files": rowless_files,
    "exchange_info": exchange_info,
    "changed_files": changed_files,
}
"""The checks that say what readers should know, and block nothing."""

OF_THE_LIFECYCLE: dict[str, Check] = {
    "episodes_do_not_overlap": episodes_do_not_overlap,
    "every_file_has_an_episode": every_file_has_an_episode,
    "known_delistings": known_delistings,
}
"""The checks of the derived tables."""

OF_THE_PUBLICATION: dict[str, Check] = {"equals_working": equals_working}
"""The checks of what is published."""


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
            findings = findings_of(connection, Scope(self._settings))
        return {
            "validation_passed": not any(finding.is_error for finding in findings),
            "errors": sum(finding.is_error for finding in findings),
            "warnings": sum(not finding.passed and not finding.is_error for finding in findings),
            "checks": [asdict(finding) for finding in findings],
        }


def findings_of(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Finding]:
    """What all checks find, in the order in which they are to be read."""
    checks = {**BLOCKING, **REPORTING, **OF_THE_LIFECYCLE, **OF_THE_PUBLICATION}
    return [evaluate(name, check, connection, scope) for name, check in checks.items()]


def evaluate(name: str, check: Check, connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """What a check finds; one that cannot be made because of what a user wrote has not passed and stops nothing."""
    try:
        return check(connection, scope)
    except UsageError as error:
        return Finding(name, passed=False, summary=f"could not be evaluated: {error}", numbers={})

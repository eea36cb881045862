"""All checks in a row, without Dagster: the validator, which reports, and the publish guard, which refuses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import duckdb

from availability_pipeline.dates import utc_now
from availability_pipeline.errors import PublicationError
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.opening import check_target
from availability_pipeline.publishing.write import PublishReport, publish, published_by
from availability_pipeline.quality.check import Scope, all_checks
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect


class AvailabilityValidator:
    """Runs every check over the whole table.

    Args:
        settings: Where the databases are; from the environment by default.
        dataset: The dataset by its name in the catalogue; that of `settings` by default.

    Raises:
        UsageError: The published database is not on this machine, or the catalogue has no such name.
    """

    def __init__(self, settings: Settings | None = None, dataset: str | None = None) -> None:
        self._settings = (settings or Settings.load()).of_dataset(dataset)
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
            findings = [registered(connection, scope) for registered in all_checks(self._settings.dataset)]
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
    full: bool = False,
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
        full: Write all rows anew, whatever has changed.

    Raises:
        PublicationError: Nothing was published; the message says why and what to do.
    """
    if not full and (published := published_by(connection, settings.db_file, {run_id, *repeated})):
        return published
    findings = [
        registered(connection, Scope(settings))
        for registered in all_checks(settings.dataset)
        if registered.guards_publication and not (accept_fewer_files and registered.waived_by_fewer_files)
    ]
    if failed := [finding for finding in findings if finding.is_error]:
        reasons = "; ".join(f"{finding.name}: {finding.summary}" for finding in failed)
        raise PublicationError(f"nothing was published, readers keep the last good generation; {reasons}")
    return publish(connection, settings.db_file, run_id, Rules.of(settings), full=full)


def publish_now(settings: Settings, *, accept_fewer_files: bool = False, full: bool = False) -> PublishReport:
    """Publish the working database as it is, outside any Dagster run.

    Args:
        settings: Where it is, and where it is to be published.
        accept_fewer_files: As `publish_checked`.
        full: As `publish_checked`.

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
        return publish_checked(connection, settings, run_id, accept_fewer_files=accept_fewer_files, full=full)

"""The gate before readers: what does not pass here is not published, by whichever way it comes."""

from __future__ import annotations

from collections.abc import Collection

import duckdb

from availability_pipeline.analysis import Rules
from availability_pipeline.days import utc_now
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import PublishReport, check_target, publish, published_by
from availability_pipeline.settings import Settings
from availability_pipeline.store.connection import connect
from availability_pipeline.validation.finding import Scope
from availability_pipeline.validation.grid import row_invariants
from availability_pipeline.validation.regression import no_regression


def publish_checked(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    run_id: str,
    *,
    repeated: Collection[str | None] = (),
    accept_fewer_files: bool = False,
) -> PublishReport:
    """Publish the working database, if those blocking checks pass that are not about the days of one run.

    A step that is tried or executed again after its publication publishes nothing more, unless the working database has
    changed: what a rollback can go back to would be pushed out.

    Args:
        connection: The working database, with no transaction open.
        settings: Where it is to be published.
        run_id: The run that publishes.
        repeated: The runs that it executes again, None where there is none.
        accept_fewer_files: Somebody has decided that files which complete days have lost are really gone.

    Raises:
        PublicationError: Nothing was published; the message says why and what to do.
    """
    if published := published_by(connection, settings.db_file, {run_id, *repeated}):
        return published
    checks = [row_invariants] if accept_fewer_files else [row_invariants, no_regression]
    findings = [check(connection, Scope(settings)) for check in checks]
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

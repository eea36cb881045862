"""Translation of the package's errors into Dagster's failures and retries, the only retries in the package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from availability_pipeline.archive.batch import Progress
from availability_pipeline.collecting.reporting import log_failures
from availability_pipeline.errors import ArchiveError, ArchiveFailures, AvailabilityError
from availability_pipeline.settings import VARIABLES, Settings

EXIT_CODE = "exit_code"
"""Metadata key: the exit code that the command line ends with."""

MAX_RETRIES = 3
"""Retries of a step after transient failures."""

_SILENT = Progress()


@contextmanager
def failures_reported(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, progress: Progress = _SILENT
) -> Iterator[None]:
    """Translate an AvailabilityError into a retry if it is transient, and finally into `dagster.Failure`.

    Dagster's own RetryPolicy would also retry after an interruption.

    Args:
        context: The step's context.
        progress: Gets a stage for each retry.
    """
    try:
        yield
    except AvailabilityError as error:
        log_failures(dg.get_dagster_logger(), error)
        if error.transient and context.retry_number < MAX_RETRIES:
            raise _retry(context, progress, error) from error
        raise dg.Failure(
            description=str(error), metadata=_metadata(error), allow_retries=error.transient
        ) from error


def _retry(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    progress: Progress,
    error: AvailabilityError,
) -> dg.RetryRequested:
    seconds = _first_wait_seconds() * 2**context.retry_number
    announcement = (
        f"trying again in {seconds} s (retry {context.retry_number + 1} of {MAX_RETRIES}), because {error}"
    )
    progress.stage(announcement)
    context.log.warning(announcement)
    return dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=seconds)


def _first_wait_seconds() -> int:
    variable, _ = VARIABLES["retry_seconds"]
    # This setting alone: others may be invalid in the environment and overridden by the resource.
    return Settings.load({variable: os.environ.get(variable, "")}).retry_seconds


def root_cause(error: Any) -> str | None:
    """The first line of the root cause of an error in Dagster's records."""
    while error and error.cause:
        error = error.cause
    return str(error.message).strip().splitlines()[0] if error else None


def _metadata(error: AvailabilityError) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {EXIT_CODE: dg.MetadataValue.int(error.exit_code)}
    failures = error.failures if isinstance(error, ArchiveFailures) else ()
    if isinstance(error, ArchiveError):
        failures = (error,)
    if failures:
        rows = [
            f"| {f.symbol or ''} | {f.date or ''} | {f.status or ''} | {f.problem} | {f.url} |"
            for f in failures
        ]
        header = "| symbol | date | status | problem | url |\n|---|---|---|---|---|\n"
        metadata["failures"] = dg.MetadataValue.md(header + "\n".join(rows[:100]))
        metadata["failed_symbols"] = dg.MetadataValue.int(len(failures))
    return metadata

"""How errors of the package become failures of a Dagster step: one sentence, and whether and when to try again.

Which errors are worth another try is said in `errors`; that nothing below tries again by itself is why it is done here.
"""

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
"""How often a step is tried again after a transient failure."""

_SILENT = Progress()


@contextmanager
def failures_reported(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, progress: Progress = _SILENT
) -> Iterator[None]:
    """Turn an AvailabilityError into a retry of the step if it is transient, and at last into `dagster.Failure`.

    Dagster's own RetryPolicy would try a step again after an interruption as well.

    Args:
        context: The step's.
        progress: Who is told that the step is tried again, and why.
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
    # This one alone: the resource may have replaced others, which then need not be right in the environment.
    return Settings.load({variable: os.environ.get(variable, "")}).retry_seconds


def root_cause(error: Any) -> str | None:
    """The first line of what went wrong first, from an error in Dagster's records; None if there is none."""
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

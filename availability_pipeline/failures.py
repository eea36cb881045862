"""How errors of the package become failures of a Dagster step: one sentence, and whether to try again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from availability_pipeline.errors import ArchiveError, ArchiveFailures, AvailabilityError
from availability_pipeline.logs import log_failures

EXIT_CODE = "exit_code"
"""Metadata key: the exit code that the command line ends with."""


@contextmanager
def failures_reported() -> Iterator[None]:
    """Turn an AvailabilityError into `dagster.Failure`; only transient ones may be retried."""
    try:
        yield
    except AvailabilityError as error:
        log_failures(dg.get_dagster_logger(), error)
        raise dg.Failure(
            description=str(error), metadata=_metadata(error), allow_retries=error.transient
        ) from error


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

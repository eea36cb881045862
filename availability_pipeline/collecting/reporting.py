"""stderr of runs and commands: consoles of rich, which is imported on first use, and JSON logs."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from availability_pipeline.errors import ArchiveError, ArchiveFailures, AvailabilityError

if TYPE_CHECKING:
    from rich.console import Console


NARROWEST = 20
"""Columns; a smaller stated width means an unknown one."""

USUAL = 80
"""Columns of a terminal of unknown width."""

_SMALLEST = {"COLUMNS": NARROWEST, "LINES": 1}


def forget_impossible_sizes() -> None:
    """Remove impossible COLUMNS and LINES from the environment, so that the terminal itself is asked."""
    for name, smallest in _SMALLEST.items():
        text = os.environ.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= smallest):
            os.environ.pop(name, None)


def console(file: IO[str]) -> Console:
    """A console without markup and highlighting, and with escape codes on standard streams only."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    terminal = None if file in (sys.stdout, sys.stderr) else False
    made = Console(file=file, force_terminal=terminal, markup=False, highlight=False, emoji=False)
    if made.width < NARROWEST:
        made.width = USUAL
    return made


PACKAGE = "availability_pipeline"
"""The package's root logger."""

MAX_LOGGED_FAILURES = 100
"""Failures of one batch that are logged; the rest are counted."""

FIELDS = ("symbol", "date", "url", "status")
"""Fields of a failed request besides its message."""

_RUN_FIELDS = {"run_id": "run_id", "job_name": "job", "step_key": "step"}


def failure_fields(error: AvailabilityError) -> dict[str, str | int]:
    """The known `FIELDS` of an ArchiveError; empty for other errors."""
    if not isinstance(error, ArchiveError):
        return {}
    return {name: value for name in FIELDS if (value := getattr(error, name)) is not None}


def log_failures(logger: logging.Logger, error: AvailabilityError) -> None:
    """Log an error, or each failure of a batch, with its fields."""
    failures = error.failures if isinstance(error, ArchiveFailures) else (error,)
    for failure in failures[:MAX_LOGGED_FAILURES]:
        logger.error("%s", failure, extra=failure_fields(failure))
    more = len(failures) - MAX_LOGGED_FAILURES
    if more > 0:
        logger.error("%d more failures of the same batch are not logged one by one", more)


class JsonFormatter(logging.Formatter):
    """A JSON object per record: time (ISO, UTC), level, logger, message, `FIELDS` and the run, where known."""

    def format(self, record: logging.LogRecord) -> str:
        of_run: Mapping[str, Any] = getattr(record, "dagster_meta", {})
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
        entry = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            # Without Dagster's prefix of job, run and step, which are fields here.
            "message": of_run.get("orig_message") or record.getMessage(),
            **{name: value for name in FIELDS if (value := getattr(record, name, None)) is not None},
            **{field: of_run[name] for name, field in _RUN_FIELDS.items() if of_run.get(name)},
        }
        if error := self._error(record, of_run):
            entry["error"] = error
        return json.dumps(entry, ensure_ascii=False, default=str)

    def _error(self, record: logging.LogRecord, of_run: Mapping[str, Any]) -> str | None:
        """The traceback of the record's exception."""
        if record.exc_info:
            return self.formatException(record.exc_info)
        event = of_run.get("dagster_event")
        error = getattr(event.event_specific_data, "error", None) if event else None
        return error.to_string() if error else None


def json_handler() -> logging.Handler:
    """A handler for JSON lines on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    return handler


def json_line(level: int, message: str) -> str:
    """A message of the program itself as a JSON line."""
    return JsonFormatter().format(logging.LogRecord(PACKAGE, level, "", 0, message, None, None))


@contextmanager
def written(log_format: str, *, everything: bool = False) -> Iterator[None]:
    """Write the package's logs to stderr as JSON lines inside the block; nothing happens with the format text.

    Args:
        log_format: One of `settings.LOG_FORMATS`.
        everything: Whether to include logs and warnings of other packages.
    """
    if log_format != "json":
        yield
        return
    ours, handler = logging.getLogger(PACKAGE), json_handler()
    target = logging.getLogger() if everything else ours
    # Dagster's console logger writes these.
    handler.addFilter(lambda record: not hasattr(record, "dagster_meta"))
    level, propagate = ours.level, ours.propagate
    ours.setLevel(logging.INFO)
    ours.propagate = everything
    target.addHandler(handler)
    logging.captureWarnings(everything)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        target.removeHandler(handler)
        ours.propagate = propagate
        ours.setLevel(level)

"""What runs and commands write to stderr: terminals and their sizes, and logs as JSON lines.

Importing this is cheap: rich is loaded when something is shown.
"""

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
"""Columns; a terminal that is said to have fewer is one whose size is not known."""

USUAL = 80
"""Columns of such a terminal."""

_SMALLEST = {"COLUMNS": NARROWEST, "LINES": 1}


def forget_impossible_sizes() -> None:
    """Remove sizes from the environment that no terminal has, so that it is asked itself, here and by its pager."""
    for name, smallest in _SMALLEST.items():
        text = os.environ.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= smallest):
            os.environ.pop(name, None)


def console(file: IO[str]) -> Console:
    """A console that prints what it is given, without guessing at markup, links or numbers in it.

    Escape codes are for the standard streams only, whatever the environment says of colours.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import

    terminal = None if file in (sys.stdout, sys.stderr) else False
    made = Console(file=file, force_terminal=terminal, markup=False, highlight=False, emoji=False)
    if made.width < NARROWEST:
        made.width = USUAL
    return made


PACKAGE = "availability_pipeline"
"""The logger above all those of this package."""

MAX_LOGGED_FAILURES = 100
"""How many failures of one batch are logged; the rest are counted."""

FIELDS = ("symbol", "date", "url", "status")
"""What is known of a failed request besides its message."""

_RUN_FIELDS = {"run_id": "run_id", "job_name": "job", "step_key": "step"}


def failure_fields(error: AvailabilityError) -> dict[str, str | int]:
    """What is known of a failed request: symbol, date (ISO), url, status (HTTP); empty for other errors."""
    if not isinstance(error, ArchiveError):
        return {}
    return {name: value for name in FIELDS if (value := getattr(error, name)) is not None}


def log_failures(logger: logging.Logger, error: AvailabilityError) -> None:
    """Log each failure of a batch, or the one error, with its fields."""
    failures = error.failures if isinstance(error, ArchiveFailures) else (error,)
    for failure in failures[:MAX_LOGGED_FAILURES]:
        logger.error("%s", failure, extra=failure_fields(failure))
    more = len(failures) - MAX_LOGGED_FAILURES
    if more > 0:
        logger.error("%d more failures of the same batch are not logged one by one", more)


class JsonFormatter(logging.Formatter):
    """A record as a JSON object: time (ISO, UTC), level, logger, message, and what is known of `FIELDS` and the run."""

    def format(self, record: logging.LogRecord) -> str:
        of_run: Mapping[str, Any] = getattr(record, "dagster_meta", {})
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
        entry = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            # Dagster puts the names of job, run and step before its own; they have fields of their own here.
            "message": of_run.get("orig_message") or record.getMessage(),
            **{name: value for name in FIELDS if (value := getattr(record, name, None)) is not None},
            **{field: of_run[name] for name, field in _RUN_FIELDS.items() if of_run.get(name)},
        }
        if error := self._error(record, of_run):
            entry["error"] = error
        return json.dumps(entry, ensure_ascii=False, default=str)

    def _error(self, record: logging.LogRecord, of_run: Mapping[str, Any]) -> str | None:
        """The traceback of the exception that the record is about."""
        if record.exc_info:
            return self.formatException(record.exc_info)
        event = of_run.get("dagster_event")
        error = getattr(event.event_specific_data, "error", None) if event else None
        return error.to_string() if error else None


def json_handler() -> logging.Handler:
    """A handler that writes such lines to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    return handler


def json_line(level: int, message: str) -> str:
    """A message of the program itself as such a line."""
    return JsonFormatter().format(logging.LogRecord(PACKAGE, level, "", 0, message, None, None))


@contextmanager
def written(log_format: str, *, everything: bool = False) -> Iterator[None]:
    """Write what this package logs inside the block to stderr as JSON lines, if that is the format.

    Args:
        log_format: One of `settings.LOG_FORMATS`; with text nothing is done.
        everything: In a process of our own: the warnings of other packages as well.
    """
    if log_format != "json":
        yield
        return
    ours, handler = logging.getLogger(PACKAGE), json_handler()
    target = logging.getLogger() if everything else ours
    # The console of the run has written these already.
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

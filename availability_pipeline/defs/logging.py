"""What Dagster's runs write to stderr: its own coloured lines, or JSON lines where the settings ask for them.

Every run without logger configuration, which is what the daemon and the UI launch, gets Dagster's own console logger,
whatever `Definitions(loggers=…)` says. So it is this one that is told how to write; docs/decisions/0021-logs.md has
what else was tried.
"""

from __future__ import annotations

import logging

import dagster as dg

from availability_pipeline.collecting.reporting import json_handler
from availability_pipeline.settings import log_format

_coloured = dg.colored_console_logger.logger_fn


def use_log_format() -> None:
    """Let the console of every run of this process follow AVAILABILITY_LOG_FORMAT."""
    dg.colored_console_logger._logger_fn = _console  # noqa: SLF001 - there is no public way, and a test watches it


def _console(context: dg.InitLoggerContext) -> logging.Logger:
    if log_format() == "text":
        return _coloured(context)
    # Below INFO are Dagster's events, thousands of them for a history; the instance keeps them.
    level = max(logging.INFO, logging.getLevelNamesMapping()[context.logger_config["log_level"].upper()])
    logger = logging.Logger(context.logger_config["name"], level)
    logger.addHandler(json_handler())
    return logger

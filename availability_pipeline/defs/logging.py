"""The console log of Dagster's runs: coloured lines or JSON lines, by AVAILABILITY_LOG_FORMAT.

Runs of the daemon and the UI use Dagster's own console logger regardless of `Definitions(loggers=…)`, so this module
replaces its function; see docs/decisions/0021-logs.md.
"""

from __future__ import annotations

import logging

import dagster as dg

from availability_pipeline.collecting.reporting import json_handler
from availability_pipeline.settings import log_format

_coloured = dg.colored_console_logger.logger_fn


def use_log_format() -> None:
    """Replace the function of Dagster's console logger in this process."""
    dg.colored_console_logger._logger_fn = _console  # noqa: SLF001 - there is no public way, and a test watches it


def _console(context: dg.InitLoggerContext) -> logging.Logger:
    if log_format() == "text":
        return _coloured(context)
    # DEBUG has thousands of Dagster's events, which the instance keeps.
    level = max(logging.INFO, logging.getLevelNamesMapping()[context.logger_config["log_level"].upper()])
    logger = logging.Logger(context.logger_config["name"], level)
    logger.addHandler(json_handler())
    return logger

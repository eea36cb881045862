"""The process in which a run of the command line happens: `python -m availability_pipeline.defs.worker`.

The command that started it can end it at any moment, which Dagster and SQLite in the same process do not allow. The
request is one line of JSON on stdin; when stdin closes, the command is gone, and so is the worker. The settings come
from the environment. Progress goes to stderr, the answer as JSON to stdout.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from availability_pipeline.archive.batch import Progress
from availability_pipeline.collecting.progress import shown_progress
from availability_pipeline.collecting.reporting import written
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import AvailabilityError, RunError, cause_of
from availability_pipeline.settings import Settings, log_format

_CONFIGURATION = ("DagsterInvalidConfig", "Expected YAML from file")
"""What Dagster says of a configuration: an entry that it does not know, and something else than entries."""

_RECORDS = ("dagster", "sqlalchemy", "sqlite3", "alembic")
"""The packages whose errors are about Dagster's records."""


def main() -> None:
    """Do what the request says and answer."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    # Only the answer may go to the real stdout.
    answer_to, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(answer(request), default=str), file=answer_to, flush=True)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run what is requested; the id and the metadata of the run, or the error and the exit code of the command."""
    try:
        with written(log_format(), everything=True):
            return _run(request)
    except AvailabilityError as error:
        return _refusal(error)
    except Exception as error:  # noqa: BLE001 - the end of the process; the command says it in one sentence
        return _refusal(_unforeseen(error, request["instance"]))


def _unforeseen(error: Exception, folder: str) -> RunError:
    """What an error that is none of the package is about: the system, Dagster's instance, or this program."""
    cause = cause_of(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return RunError(f"the run could not go on ({where}{cause.reason}); {cause.remedy}")
    reason, package = f"{type(error).__name__}: {cause.reason}", type(error).__module__.partition(".")[0]
    if package == "yaml" or any(sign in reason for sign in _CONFIGURATION):
        return RunError(f"the configuration {folder}/dagster.yaml is not understood ({reason}); correct it")
    if package in _RECORDS:
        return RunError(
            f"Dagster could not use its instance {folder} ({reason}); {cause.remedy}, or set DAGSTER_HOME to another "
            "folder"
        )
    return RunError(f"the run ended with an unforeseen error ({reason}); {cause.remedy}")


def _refusal(error: AvailabilityError) -> dict[str, Any]:
    return {"error": str(error), "exit_code": error.exit_code}


def _end_with_the_command() -> None:
    sys.stdin.read()
    os._exit(1)


def _run(request: Mapping[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from availability_pipeline.defs import launch  # noqa: PLC0415 - under the filter of its notices
        from availability_pipeline.defs.runs import end_orphaned_run  # noqa: PLC0415 - likewise

    days, settings = DayRange(parse_day(request["start"]), parse_day(request["end"])), Settings.load()
    with (
        launch.open_instance(Path(request["instance"])) as instance,
        _progress(quiet=request["quiet"]) as progress,
    ):
        if request["only_clear"]:
            end_orphaned_run(instance, settings)
            return {}
        tell = _say_nothing if request["quiet"] else _tell
        report = launch.run_update(instance, settings, days, request["symbols"], progress, tell)
    return {"run_id": report.run_id, "metadata": report.metadata}


def _progress(*, quiet: bool) -> AbstractContextManager[Progress]:
    return nullcontext(Progress()) if quiet else shown_progress(log_format=log_format())


def _say_nothing(_: str) -> None:
    pass


def _tell(line: str) -> None:
    if log_format() == "text":
        print(line, file=sys.stderr)
    else:
        logging.getLogger("availability_pipeline.defs.worker").info(line)


if __name__ == "__main__":
    main()

"""The worker process for runs of the command line: `python -m availability_pipeline.defs.worker`.

The request is a line of JSON on stdin, the answer JSON on stdout; progress goes to stderr, settings come from the
environment. The worker ends when stdin closes. `collecting.process` starts it.
"""

from __future__ import annotations

import atexit
import gc
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, NoReturn

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import dataset_named
from availability_pipeline.collecting.progress import shown_progress
from availability_pipeline.collecting.reporting import written
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import AvailabilityError, RunError, cause_of
from availability_pipeline.settings import Settings, log_format

_CONFIGURATION = ("DagsterInvalidConfig", "Expected YAML from file")
"""Signs of an invalid dagster.yaml in Dagster's errors."""

_RECORDS = ("dagster", "sqlalchemy", "sqlite3", "alembic")
"""Packages whose errors are about Dagster's storage."""


def main() -> None:
    """Read the request, execute it and answer."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    sys.meta_path.insert(0, _WithoutPandas())
    gc.disable()  # what is made at the start stays, and looking at it again and again takes a quarter of the start
    # stdout is for the answer only.
    answer_to, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(answer(request), default=str), file=answer_to, flush=True)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run what is requested; the id and the metadata of the run, or the error and the exit code of the command."""
    try:
        with written(log_format(), everything=True):
            return _run(request)
    except AvailabilityError as error:
        return _refusal(error)
    except Exception as error:  # noqa: BLE001 - reported by the command
        return _refusal(_unforeseen(error, request["instance"]))


def _unforeseen(error: Exception, folder: str) -> RunError:
    """The error for an exception of the system, Dagster's instance or this program."""
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


class _WithoutPandas(MetaPathFinder):
    """Where pandas is installed, pyarrow imports it, 0.3 s, to ask whether a list is a Series of it; none is."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


def _run(request: Mapping[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from availability_pipeline.defs import launch  # noqa: PLC0415 - under the filter of its notices
        from availability_pipeline.defs.runs import end_orphaned_run  # noqa: PLC0415 - likewise

    days = DayRange(parse_day(request["start"]), parse_day(request["end"]))
    settings = Settings.load().of_dataset(dataset_named(request["dataset"]))
    shown = nullcontext(Progress()) if request["quiet"] else shown_progress(log_format=log_format())
    with launch.open_instance(Path(request["instance"])) as instance, shown as progress:
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        if request["only_clear"]:
            end_orphaned_run(instance, settings)
            return {}
        tell = (lambda _: None) if request["quiet"] else _tell
        report = launch.run_update(instance, settings, days, request["symbols"], progress, tell)
    return {"run_id": report.run_id, "metadata": report.metadata}


def _tell(line: str) -> None:
    if log_format() == "text":
        print(line, file=sys.stderr)
    else:
        logging.getLogger("availability_pipeline.defs.worker").info(line)


def _leave() -> NoReturn:
    """End this process as it is: all is closed, and to take its objects apart costs as much as to make them did."""
    atexit._run_exitfuncs()  # noqa: SLF001 - of other packages, such as the measurement of coverage
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
    _leave()

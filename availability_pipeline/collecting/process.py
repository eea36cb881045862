"""Running the job in a worker process, which can be killed at any moment: Ctrl-C does so and cleans up.

Nothing here imports Dagster.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import RunError, UsageError, cause_of
from availability_pipeline.settings import VARIABLES, Settings
from availability_pipeline.settings.values import check_instance_path, path_named

RETRY_SECONDS = "2"
"""Default backoff on the command line, where a user is waiting."""


@dataclass(frozen=True)
class Outcome:
    """A run that succeeded."""

    run_id: str
    metadata: Mapping[str, Mapping[str, Any]]
    """By asset, the metadata of its materialization."""
    seconds: float


def instance_folder(settings: Settings, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the Dagster instance: DAGSTER_HOME, else the current checkout, else one in the data directory.

    Raises:
        UsageError: DAGSTER_HOME is relative, or SQLite cannot use the folder.
    """
    environ = os.environ if environ is None else environ
    if home := environ.get("DAGSTER_HOME"):
        if not Path(home).is_absolute():
            raise UsageError(f"DAGSTER_HOME is {home!r}; it must be an absolute path")
        return instance_at(path_named("DAGSTER_HOME", home))
    return instance_at(checkout() or settings.data_dir / "dagster")


def instance_at(folder: Path) -> Path:
    """The folder; raises UsageError if SQLite cannot use the path of its databases."""
    databases = _sqlite_folder(folder)
    if databases:
        check_instance_path(path_named("the folder of the Dagster instance", str(databases)))
    return folder


def _sqlite_folder(folder: Path) -> Path | None:
    """The folder of the SQLite databases; None for another storage, or a folder from the environment."""
    import yaml  # noqa: PLC0415 - only runs need it

    try:
        config = yaml.safe_load((folder / "dagster.yaml").read_bytes())
    except (OSError, yaml.YAMLError):  # missing, or Dagster will report it
        return folder
    storage = config.get("storage") if isinstance(config, dict) else None
    if not isinstance(storage, dict):
        return folder
    ours = storage.get("custom")
    sqlite = ours.get("config") if isinstance(ours, dict) else storage.get("sqlite")
    return base_dir(sqlite.get("base_dir"), folder) if isinstance(sqlite, dict) else None


def base_dir(value: object, folder: Path) -> Path | None:
    """The folder that a `base_dir` of the instance in a folder means; None if only its environment says."""
    if value == {"env": "DAGSTER_HOME"}:
        return folder
    return folder / value if isinstance(value, str) else None


def checkout() -> Path | None:
    """The checkout around the current folder, if any."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    return next((folder for folder in (here, *here.parents) if _is_checkout(folder)), None)


def _is_checkout(folder: Path) -> bool:
    needed = ("dagster.yaml", "workspace.yaml", "availability_pipeline/definitions.py")
    return all((folder / name).is_file() for name in needed)


def run_in_worker(
    settings: Settings,
    days: DayRange,
    symbols: Sequence[str] = (),
    folder: Path | None = None,
    *,
    quiet: bool = False,
) -> Outcome:
    """Discover, collect the days and publish, as one Dagster run.

    Args:
        settings: The settings of the run.
        days: The days to collect.
        symbols: The contracts to collect; all tracked ones if empty.
        folder: The Dagster instance; `instance_folder` if None.
        quiet: Whether to show no progress on stderr.

    Raises:
        StoreError, PublicationError: The databases cannot be written; no request was sent.
        RunError: The run failed.
        UsageError: The run failed because of an argument or setting.
        KeyboardInterrupt: On SIGINT or SIGTERM, after the run was ended; nothing incomplete is written.
    """
    from availability_pipeline.publishing.opening import check_target  # noqa: PLC0415 - needs the database libraries
    from availability_pipeline.warehouse.database import check_usable  # noqa: PLC0415

    instance = folder or instance_folder(settings)
    check_usable(settings.working_path, settings.db_file)
    check_target(settings.db_file, settings.working_path)
    began = time.monotonic()
    request = {
        "instance": str(instance),
        "dataset": settings.dataset.name,
        "start": str(days.start),
        "end": str(days.end),
        "symbols": list(symbols),
        "only_clear": False,
        "quiet": quiet,
    }
    try:
        with interruptible():
            answer = _ask_worker(settings, request)
    except KeyboardInterrupt:
        _clean_up(settings, request)
        raise
    if "error" in answer:
        raise (UsageError if answer["exit_code"] == UsageError.exit_code else RunError)(answer["error"])
    return Outcome(answer["run_id"], answer["metadata"], time.monotonic() - began)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM, even if SIGINT was ignored, as in the background of a script.

    Signals of other threads than the main one are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ask_worker(settings: Settings, request: Mapping[str, Any]) -> dict[str, Any]:
    with _started(settings) as worker:
        try:
            answer = _exchange(worker, json.dumps(request).encode() + b"\n")
        except BaseException:
            worker.kill()
            raise
    if not answer:
        raise RunError(_without_answer(worker.returncode))
    parsed: dict[str, Any] = json.loads(answer)
    return parsed


def _started(settings: Settings) -> subprocess.Popen[bytes]:
    try:
        # A new session, so that Ctrl-C on the terminal does not reach it as well.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "availability_pipeline.defs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(settings),
            start_new_session=True,
        )
    except OSError as error:
        cause = cause_of(error)
        raise RunError(
            f"the process of the run could not be started ({cause.reason}); {cause.remedy}"
        ) from error


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment for a process with exactly these settings.

    Others are removed: a demo must neither upload nor alert because the real data does.
    """
    ours = {variable for variable, _ in VARIABLES.values()}
    others = {name: value for name, value in os.environ.items() if name not in ours}
    return {**others, **settings.environment(), "PYTHONPATH": python_path()}


def _environment(settings: Settings) -> dict[str, str]:
    environ = environment_of(settings)
    variable, _ = VARIABLES["retry_seconds"]
    if not os.environ.get(variable, "").strip():
        environ[variable] = RETRY_SECONDS
    return environ


def python_path() -> str:
    """PYTHONPATH with this package, which the worker must not search in the current folder."""
    package = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])


def _without_answer(status: int) -> str:
    if status < 0:
        return f"the process of the run was ended by {signal.Signals(-status).name}; run the command again"
    return f"the process of the run ended with exit status {status}; its message is above"


def _exchange(worker: subprocess.Popen[bytes], request: bytes) -> bytes:
    """Send the request and read the answer; closing stdin would end the worker."""
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("the worker process has no pipes")
    with suppress(BrokenPipeError):  # its exit status says more
        worker.stdin.write(request)
        worker.stdin.flush()
    return worker.stdout.read()


def _clean_up(settings: Settings, request: Mapping[str, Any]) -> None:
    """After a kill: end the run in Dagster's records, and remove its drafts."""
    from availability_pipeline.publishing.release import remove_leftovers  # noqa: PLC0415 - needs DuckDB

    remove_leftovers(settings.db_file)
    with suppress(RunError):
        _ask_worker(settings, {**request, "only_clear": True})

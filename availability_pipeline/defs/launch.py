"""Running the job in this process, on the Dagster instance that `dagster dev` uses, so that the UI shows the run."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.collecting.process import base_dir
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.failures import EXIT_CODE, root_cause
from availability_pipeline.defs.names import assets_of_run, job_name, step_name
from availability_pipeline.defs.partitions import range_tags
from availability_pipeline.defs.runs import alone
from availability_pipeline.errors import RunError, UsageError
from availability_pipeline.settings import Settings, log_format

_CONSOLE_LEVELS = {"text": "CRITICAL", "json": "INFO"}


@dataclass(frozen=True)
class Report:
    """A run that succeeded."""

    run_id: str
    metadata: Mapping[str, Mapping[str, Any]]
    """By asset, the metadata of its materialization."""


@contextmanager
def open_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of a folder, which is created if missing; raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "dagster.yaml").exists():
            with as_file(files("availability_pipeline.defs") / "dagster_home.yaml") as template:
                shutil.copyfile(template, folder / "dagster.yaml")
    except OSError as error:
        raise UsageError(
            f"the Dagster instance {folder} cannot be made ({error.strerror}); set DAGSTER_HOME to another folder"
        ) from error
    with _configured(folder) as config, dg.DagsterInstance.from_config(str(folder), str(config)) as instance:
        yield instance


@contextmanager
def _configured(folder: Path) -> Iterator[Path]:
    """The configuration of an instance as a file without relative folders and without DAGSTER_HOME.

    Dagster takes those from the current folder and the environment, which need not be the instance's.
    """
    config = yaml.safe_load((folder / "dagster.yaml").read_text(encoding="utf-8"))
    absolute = _absolute(config, folder)
    if absolute == config:
        yield folder / "dagster.yaml"
        return
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(absolute, file)
        file.flush()
        yield Path(file.name)


def _absolute(config: Any, folder: Path) -> Any:
    """The configuration with each `base_dir` in full, as `dagster dev` started there, and told so, reads it."""
    if not isinstance(config, dict):
        return config
    written_out = {key: _absolute(value, folder) for key, value in config.items()}
    if base := base_dir(config.get("base_dir"), folder):
        written_out["base_dir"] = str(base)
    return written_out


def run_update(
    instance: dg.DagsterInstance,
    settings: Settings,
    days: DayRange,
    symbols: Sequence[str],
    progress: Progress,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Discover, collect the days and publish, as one Dagster run in this process.

    Args:
        instance: Records the run.
        settings: Those of the environment, for the dataset and the lock.
        days: The days to collect.
        symbols: The contracts to collect; all tracked ones if empty.
        progress: Gets the progress.
        tell: Called with a sentence about each run that is waited for or ended.

    Raises:
        DatabaseInUse: Another run held the lock for too long.
        RunError: The run failed; the message is that of the failed step.
        UsageError: The run failed because of an argument or setting.
    """
    run_id = str(uuid.uuid4())
    # Before planning, because a waiting run would be shown as running.
    with alone(instance, settings, run_id, tell):
        return _execute(instance, settings, run_id, days, symbols, progress)


def _execute(
    instance: dg.DagsterInstance,
    settings: Settings,
    run_id: str,
    days: DayRange,
    symbols: Sequence[str],
    progress: Progress,
) -> Report:
    progress.stage(f"planning {len(days):,} partitions in Dagster")
    chosen, dataset = {"config": {"symbols": list(symbols)}}, settings.dataset
    assets = assets_of_run(settings, days, by_command=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job = build_defs(progress, dataset).resolve_job_def(job_name(dataset))
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=range_tags(days),
            asset_selection=assets,
            run_config={
                "ops": {step_name(dataset, asset): chosen for asset in _restricted(dataset, assets)},
                # The instance has the events; the terminal shows the progress.
                "loggers": {"console": {"config": {"log_level": _CONSOLE_LEVELS[log_format()]}}},
            },
            raise_on_error=False,
        )
    if not result.success:
        raise _failure(result)
    return Report(result.run_id, _reported(result))


def _restricted(dataset: Dataset, assets: Sequence[dg.AssetKey] | None) -> Iterator[str]:
    """The assets of a run that can be restricted to some contracts."""
    yield from ("symbols", "daily_availability")
    if dataset.has_volume:
        yield "daily_volume"
    if dataset.has_minutes and assets is None:
        yield "file_contents"


def _failure(result: dg.ExecuteInProcessResult) -> RunError | UsageError:
    blocked = [
        f"{check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if check.blocking and not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    ]
    if blocked:
        return RunError(
            "the days were collected but not published, readers keep the last good generation; "
            + "; ".join(blocked)
        )
    for event in result.filter_events(lambda event: event.is_step_failure):
        data = event.step_failure_data
        if data.user_failure_data:
            code = data.user_failure_data.metadata.get(EXIT_CODE)
            kind = UsageError if code and code.value == UsageError.exit_code else RunError
            return kind(data.user_failure_data.description or "")
        return RunError(
            f"the step {event.step_key} failed: {root_cause(data.error) or 'unknown'}; its traceback is in the Dagster "
            f"UI, at the run {result.run_id}"
        )
    return RunError(f"the run {result.run_id} was ended before it was done; run the command again")


def _reported(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The numbers and texts of each asset's materializations, which is the same for all partitions of a range."""
    reported = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        reported[materialization.asset_key.path[-1]] = {
            key: value.value
            for key, value in materialization.metadata.items()
            if isinstance(value.value, str | int | float)
        }
    return reported

"""What the things of a dataset are called in Dagster; those of the default dataset have no prefix."""

from __future__ import annotations

import dagster as dg

from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, Dataset
from availability_pipeline.dates import DayRange
from availability_pipeline.settings import Settings


def asset_key(dataset: Dataset, asset: str) -> dg.AssetKey:
    """The key of an asset, such as `symbols` or `cm/klines/1h/symbols`."""
    return dg.AssetKey([asset] if dataset.is_default else [*dataset.name.split("/"), asset])


COMMANDED_DAYS = 7
"""A command inspects the files of so many days at most: those of a look-back window take longer than all the rest."""


def assets_of_run(
    settings: Settings, days: DayRange, *, by_command: bool = False
) -> list[dg.AssetKey] | None:
    """What a run over some days materializes: without inspecting files if they are many; None if everything.

    What was not inspected is so by a backfill of the partitions of `file_contents` alone.

    Args:
        settings: The settings, for the look-back window.
        days: The days.
        by_command: Whether a user waits for it, who may not want the files of a look-back window to be downloaded.
    """
    dataset = settings.dataset
    most = min(settings.lookback_days, COMMANDED_DAYS) if by_command else settings.lookback_days
    inspects = settings.inspect == "new" and len(days) <= most
    if inspects or not dataset.has_minutes:
        return None
    names = (
        "symbols",
        "daily_availability",
        "daily_volume",
        "symbol_lifecycle",
        "published_database",
        "report",
    )
    return [asset_key(dataset, name) for name in names]


def step_name(dataset: Dataset, asset: str) -> str:
    """The step that materializes an asset, by which runs configure it."""
    return "__".join(asset_key(dataset, asset).path)


def prefixed(dataset: Dataset, name: str) -> str:
    """The name of a job, schedule, sensor, pool, group or resource, such as `cm_klines_1h_availability_update`."""
    return name if dataset.is_default else f"{dataset.name.replace('/', '_')}_{name}"


def job_name(dataset: Dataset) -> str:
    """The job that discovers, collects and publishes."""
    return prefixed(dataset, "availability_update")


def dataset_of_job(name: str) -> Dataset:
    """The dataset whose job it is; the default one for another job."""
    return next((each for each in DATASETS.values() if job_name(each) == name), DEFAULT_DATASET)


def writers_pool(dataset: Dataset) -> str:
    """The pool that all writers of the dataset share, whose limit is 1; its working database is called the same."""
    return prefixed(dataset, "working_database")

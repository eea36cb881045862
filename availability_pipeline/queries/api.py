"""The Python API for readers; its queries are in the other modules of this package.

A query returns a `Result`: rows as plain dicts, described in `columns`, and the same as Arrow, pandas or polars.
"""

from __future__ import annotations

from availability_pipeline.queries.columns import (
    CHANGE_COLUMNS,
    COLUMNS,
    CONTRACT_COLUMNS,
    COVERAGE_COLUMNS,
    DELISTING_COLUMNS,
    GAP_COLUMNS,
    INCOMPLETE_COLUMNS,
    LIFECYCLE_COLUMNS,
    LISTING_COLUMNS,
    SUMMARY_COLUMNS,
    UNIVERSE_COLUMNS,
)
from availability_pipeline.queries.contents import ContentsQueries
from availability_pipeline.queries.coverage import CoverageQueries
from availability_pipeline.queries.files import FileQueries
from availability_pipeline.queries.lifecycle import LifecycleQueries
from availability_pipeline.queries.reader import Day
from availability_pipeline.queries.result import Result
from availability_pipeline.queries.status import Status, StatusQueries
from availability_pipeline.queries.universe import UniverseQueries
from availability_pipeline.queries.volume import VolumeQueries

__all__ = [
    "CHANGE_COLUMNS",
    "COLUMNS",
    "CONTRACT_COLUMNS",
    "COVERAGE_COLUMNS",
    "DELISTING_COLUMNS",
    "GAP_COLUMNS",
    "INCOMPLETE_COLUMNS",
    "LIFECYCLE_COLUMNS",
    "LISTING_COLUMNS",
    "SUMMARY_COLUMNS",
    "UNIVERSE_COLUMNS",
    "AvailabilityQueries",
    "Day",
    "Result",
    "Status",
]


class AvailabilityQueries(
    FileQueries,
    ContentsQueries,
    UniverseQueries,
    LifecycleQueries,
    VolumeQueries,
    CoverageQueries,
    StatusQueries,
):
    """A published database, open for reading; use it in a `with` statement or call `close`.

    It keeps reading the opened file after a new publication until `reload`, and never blocks publishing. An object
    serves one thread at a time.

    Args:
        path: The published database: a file, or the URL of published generations (`s3://bucket/prefix`,
            `https://host/path`), of which a new database is downloaded; `AVAILABILITY_DB_PATH` by default.
        settings: From the environment by default.
        dataset: The dataset by its name in the catalogue, such as `spot/klines/1m`; that of `settings` by default.

    Raises:
        UsageError: The path is not a supported URL, or there is no such dataset.
        PublishedDatabaseError: The database is missing, damaged, of a newer version, or cannot be downloaded.

    Example:
        >>> with AvailabilityQueries() as opened:
        ...     [row["symbol"] for row in opened.get_available_symbols_on_date("2020-01-01")]
        ['BTCUSDT', 'ETHUSDT']
    """

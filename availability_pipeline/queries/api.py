"""The Python API: what the archive held, asked of the published database, read-only.

Questions and their SQL live here, by subject: `files`, `universe` (what could be traded), `lifecycle`
(what became of contracts), `status` (the data as a whole). How the file is made and opened is the business of
`publishing`, how a day's status is found that of `lifecycle`, how results are printed that of `cli`. A query returns
a `Result`: rows as plain dicts, whose columns `columns` describes, and the same for Arrow, pandas and polars.
"""

from __future__ import annotations

from availability_pipeline.queries.columns import (
    CHANGE_COLUMNS,
    COLUMNS,
    DELISTING_COLUMNS,
    GAP_COLUMNS,
    LIFECYCLE_COLUMNS,
    LISTING_COLUMNS,
    SUMMARY_COLUMNS,
    UNIVERSE_COLUMNS,
)
from availability_pipeline.queries.files import FileQueries
from availability_pipeline.queries.lifecycle import LifecycleQueries
from availability_pipeline.queries.reader import Day
from availability_pipeline.queries.result import Result
from availability_pipeline.queries.status import Status, StatusQueries
from availability_pipeline.queries.universe import UniverseQueries

__all__ = [
    "CHANGE_COLUMNS",
    "COLUMNS",
    "DELISTING_COLUMNS",
    "GAP_COLUMNS",
    "LIFECYCLE_COLUMNS",
    "LISTING_COLUMNS",
    "SUMMARY_COLUMNS",
    "UNIVERSE_COLUMNS",
    "AvailabilityQueries",
    "Day",
    "Result",
    "Status",
]


class AvailabilityQueries(FileQueries, UniverseQueries, LifecycleQueries, StatusQueries):
    """A published database, open for reading; use it in a `with` statement or call `close`.

    It goes on reading the file that it opened, also after a new one was published; `reload` takes up the new one.
    Publishing never waits for it. One object is for one thread at a time.

    Args:
        path: The published database: a file, or the URL of published generations (`s3://bucket/prefix`,
            `https://host/path`), whose database is fetched when there is a new one; by default that of the settings
            (`AVAILABILITY_DB_PATH`).
        settings: What it works with; from the environment by default.

    Raises:
        UsageError: The path is a URL that cannot be read from.
        PublishedDatabaseError: It is missing, damaged, of a newer version, or cannot be fetched.

    Example:
        >>> with AvailabilityQueries() as opened:
        ...     [row["symbol"] for row in opened.get_available_symbols_on_date("2020-01-01")]
        ['BTCUSDT', 'ETHUSDT']
    """

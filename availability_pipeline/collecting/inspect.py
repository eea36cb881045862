"""`query lifecycle --confirm`, the only query with requests: traded minutes in the files around runs of small files."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from availability_pipeline.archive.contents import traded_minutes
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import SmallRunRow, columns_of
from availability_pipeline.queries.result import Result
from availability_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


class ConfirmedRow(SmallRunRow):
    """A run of small files, and the minutes with a trade in the files at its ends."""

    live_minutes: int | None
    """Minutes with a trade on `last_live_day`."""
    first_minutes: int
    """Minutes with a trade on `first_day`."""
    last_minutes: int
    """Minutes with a trade on `last_day`."""
    verdict: str
    """flat: no trade at both ends; traded: trades at both; changing: at one of them."""


CONFIRMED_COLUMNS = columns_of(ConfirmedRow)


def confirm(
    queries: AvailabilityQueries, settings: Settings, symbol: str | None = None
) -> Result[ConfirmedRow]:
    """Download at most three files for each run of small files, and count the minutes with a trade.

    Args:
        queries: The published database, whose archive URL is used.
        settings: Connections and time-out.
        symbol: The contract, in any spelling; all by default.

    Raises:
        UsageError: No such contract.
        ArchiveError: A file could not be downloaded or read; ArchiveFailures for several.
    """
    runs = queries.get_small_runs(symbol)
    files = {
        (run["symbol"], day)
        for run in runs
        for day in (run["last_live_day"], run["first_day"], run["last_day"])
        if day is not None
    }
    minutes = traded_minutes(replace(settings, archive_url=queries.publication.archive_url), sorted(files))
    rows = [_confirmed(run, minutes) for run in runs]
    return Result(CONFIRMED_COLUMNS, lambda: rows, lambda: _table(runs.arrow(), rows))


def _table(table: pa.Table, rows: list[ConfirmedRow]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    kinds = {
        "live_minutes": pa.int64(),
        "first_minutes": pa.int64(),
        "last_minutes": pa.int64(),
        "verdict": pa.string(),
    }
    for name, kind in kinds.items():
        table = table.append_column(name, pa.array([dict(row)[name] for row in rows], kind))
    return table


def _confirmed(run: SmallRunRow, minutes: dict[tuple[str, dt.date], int]) -> ConfirmedRow:
    live, symbol = run["last_live_day"], run["symbol"]
    first, last = minutes[symbol, run["first_day"]], minutes[symbol, run["last_day"]]
    return {
        **run,
        "live_minutes": None if live is None else minutes[symbol, live],
        "first_minutes": first,
        "last_minutes": last,
        "verdict": "changing" if bool(first) != bool(last) else "traded" if first else "flat",
    }

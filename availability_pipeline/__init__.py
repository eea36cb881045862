"""Which daily 1-minute kline files Binance's public archive holds, per USDT-margined perpetual future and UTC day.

The Python API is what `__all__` names. Importing the package loads nothing else; each name is loaded when it is
first used, and none of them needs Dagster or a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"


if TYPE_CHECKING:
    from availability_pipeline.collecting.database import AvailabilityDatabase, update_date
    from availability_pipeline.errors import (
        AvailabilityError,
        IncompleteDayWarning,
        PublishedDatabaseError,
        UsageError,
    )
    from availability_pipeline.publishing.remote.cache import parquet_files
    from availability_pipeline.quality.guard import AvailabilityValidator
    from availability_pipeline.queries.api import AvailabilityQueries

__all__ = [
    "AvailabilityDatabase",
    "AvailabilityError",
    "AvailabilityQueries",
    "AvailabilityValidator",
    "IncompleteDayWarning",
    "PublishedDatabaseError",
    "UsageError",
    "__version__",
    "parquet_files",
    "update_date",
]

_HOMES = {
    "AvailabilityDatabase": "collecting.database",
    "AvailabilityError": "errors",
    "AvailabilityQueries": "queries.api",
    "AvailabilityValidator": "quality.guard",
    "IncompleteDayWarning": "errors",
    "PublishedDatabaseError": "errors",
    "UsageError": "errors",
    "parquet_files": "publishing.remote.cache",
    "update_date": "collecting.database",
}


def __getattr__(name: str) -> object:
    """Load a name of the API from the module where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - keeps the import of the package free

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Universes as rows and as Arrow tables. Who is in them is the business of `lives`."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING

from availability_pipeline.queries.columns import UniverseRow
from availability_pipeline.queries.lives import Member, Stretch

if TYPE_CHECKING:
    import pyarrow as pa


def row_of(day: dt.date, member: Member) -> UniverseRow:
    """A contract on a day."""
    life, status, listed_on, reason = member
    return {
        "date": day,
        "symbol": life.symbol,
        "status": status,
        "first_day": listed_on,
        "age_days": (day - listed_on).days if listed_on else None,
        "contract_type": life.contract_type,
        "reason": reason,
    }


def schema() -> pa.Schema:
    """The Arrow types of the columns of `UniverseRow`."""
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    return pa.schema(
        {
            "date": pa.date32(),
            "symbol": pa.string(),
            "status": pa.string(),
            "first_day": pa.date32(),
            "age_days": pa.int32(),
            "contract_type": pa.string(),
            "reason": pa.string(),
        }
    )


def table_of(found: Iterable[Stretch], days: list[dt.date]) -> pa.Table:
    """One row for each chosen day of each stretch, by date and symbol."""
    import pyarrow as pa  # noqa: PLC0415 - only frames need it
    import pyarrow.compute as pc  # noqa: PLC0415

    dates: list[dt.date] = []
    members: list[Member] = []
    for one in found:
        chosen = days[bisect_left(days, one.first_day) : bisect_right(days, one.last_day)]
        dates += chosen
        members += [one.member] * len(chosen)
    date = pa.array(dates, pa.date32())
    first_day = pa.array([one.listed_on for one in members], pa.date32())
    columns = {
        "date": date,
        "symbol": pa.array([one.life.symbol for one in members], pa.string()),
        "status": pa.array([one.status for one in members], pa.string()),
        "first_day": first_day,
        "age_days": pc.subtract(date.cast(pa.int32()), first_day.cast(pa.int32())),
        "contract_type": pa.array([one.life.contract_type for one in members], pa.string()),
    }
    return pa.table(columns).sort_by([("date", "ascending"), ("symbol", "ascending")])

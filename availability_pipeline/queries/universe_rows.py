"""Universes as rows and as Arrow tables. Who is in them belongs to `listings`."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING

from availability_pipeline.queries.columns import UniverseRow
from availability_pipeline.queries.listings import Member, MembershipSpan

if TYPE_CHECKING:
    import pyarrow as pa


def row_of(day: dt.date, member: Member) -> UniverseRow:
    """A contract on a day."""
    history, status, listed_on, reason = member
    return {
        "date": day,
        "symbol": history.symbol,
        "status": status,
        "first_day": listed_on,
        "age_days": (day - listed_on).days if listed_on else None,
        "contract_type": history.contract_type,
        "reason": reason,
    }


def table_of_day(day: dt.date, members: Iterable[Member]) -> pa.Table:
    """Contracts on one day, with the reasons why some are not in the universe."""
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    schema = pa.schema(
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
    return pa.Table.from_pylist([dict(row_of(day, member)) for member in members], schema)


def table_of(found: Iterable[MembershipSpan], days: list[dt.date]) -> pa.Table:
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
        "symbol": pa.array([one.history.symbol for one in members], pa.string()),
        "status": pa.array([one.status for one in members], pa.string()),
        "first_day": first_day,
        "age_days": pc.subtract(date.cast(pa.int32()), first_day.cast(pa.int32())),
        "contract_type": pa.array([one.history.contract_type for one in members], pa.string()),
    }
    return pa.table(columns).sort_by([("date", "ascending"), ("symbol", "ascending")])

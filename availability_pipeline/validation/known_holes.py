"""Holes that are known to be permanent, acknowledged in one place: the list in this package and one of the user's own.

The user's list is `known_holes.csv` in the data directory, of the same columns: symbol, first_day, last_day, reason.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from availability_pipeline.causes import cause_of
from availability_pipeline.days import DayRange, parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings

COLUMNS = ("symbol", "first_day", "last_day", "reason")


def own_list(settings: Settings) -> Path:
    """Where users acknowledge holes."""
    return settings.data_dir / "known_holes.csv"


def known_holes(settings: Settings) -> pa.Table:
    """Acknowledged days without a file: columns symbol and date, one row per day.

    Raises:
        UsageError: A line of the user's list is not understood.
    """
    found = set(_days("known_holes.csv", files(__package__).joinpath("known_holes.csv").read_text("utf-8")))
    own = own_list(settings)
    try:
        text = own.read_text("utf-8-sig")
    except FileNotFoundError:
        text = None
    except UnicodeError as error:
        raise UsageError(f"{own} cannot be read ({error}); write it as text in UTF-8") from error
    except OSError as error:
        cause = cause_of(error)
        raise UsageError(f"{own} cannot be read ({cause.reason}); {cause.remedy}") from error
    if text is not None:
        found |= set(_days(str(own), text))
    ordered = sorted(found)
    return pa.table(
        {
            "symbol": pa.array([symbol for symbol, _ in ordered], pa.string()),
            "date": pa.array([day for _, day in ordered], pa.date32()),
        }
    )


def _days(name: str, text: str) -> list[tuple[str, object]]:
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise UsageError(f"{name} must begin with the line {','.join(COLUMNS)}")
    found: list[tuple[str, object]] = []
    for line in reader:
        place = f"{name}, line {reader.line_num}"
        if not line["symbol"] or None in line.values():
            raise UsageError(f"{place} must have a symbol, a first and a last day and a reason")
        days = DayRange(
            parse_day(line["first_day"], f"{place}: first_day"),
            parse_day(line["last_day"], f"{place}: last_day"),
        )
        found += [(line["symbol"].strip().upper(), day) for day in days]
    return found

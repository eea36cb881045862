"""The three questions that every way to keep the rows answers: a day, a contract, the number of files of every day.

And what goes before and after them: the filled working database that is copied, a place for the copy, and what asking
cost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.opening import CONFIG

Figures = dict[str, Any]
Ask = Callable[[str, Sequence[object]], list[Any]]

ASKED = 200
"""How often a day, and a contract, is asked for."""

_SNAPSHOT = "SELECT symbol, file_size_bytes, last_modified, probe_timestamp FROM {} WHERE date = ?"
_TIMELINE = "SELECT date, file_size_bytes, last_modified, probe_timestamp FROM {} WHERE symbol = ?"
_PER_DAY = "SELECT date, count(file_size_bytes) FROM {} GROUP BY date"


@contextmanager
def filled(settings: Settings, path: Path | str = ":memory:") -> Iterator[duckdb.DuckDBPyConnection]:
    """A database beside the filled working one, which is attached as `filled`."""
    # Said, because what a database in memory puts aside goes to the current folder.
    config = {**CONFIG, "temp_directory": str(settings.data_dir / "storing" / "aside")}
    with closing(duckdb.connect(path, config=config)) as connection:
        connection.execute("ATTACH ? AS filled (READ_ONLY)", [str(settings.working_path)])
        yield connection


def fresh(settings: Settings, name: str) -> Path:
    """Where an option may write."""
    folder = settings.data_dir / "storing"
    folder.mkdir(exist_ok=True)
    return folder / name


def questions(settings: Settings) -> tuple[list[object], list[object]]:
    """Days and contracts to ask for, the same ones of each option."""
    with filled(settings) as connection:
        found = connection.execute(
            "SELECT list(DISTINCT date ORDER BY date)[200:] FROM filled.daily_availability"
        ).fetchall()
        names = connection.execute(
            "SELECT list(DISTINCT symbol ORDER BY symbol) FROM filled.daily_availability"
        ).fetchall()
    days, symbols = found[0][0], names[0][0]
    return (
        [days[(n * 37) % len(days)] for n in range(ASKED)],
        [symbols[(n * 37) % len(symbols)] for n in range(ASKED)],
    )


def three(by_date: str, by_symbol: str) -> tuple[str, str, str]:
    """The questions in SQL."""
    return _SNAPSHOT.format(by_date), _TIMELINE.format(by_symbol), _PER_DAY.format(by_date)


def asking(connection: duckdb.DuckDBPyConnection) -> Ask:
    """How they are put to DuckDB."""
    return lambda question, values: connection.execute(question, values).fetchall()


def asked(ask: Ask, questions: Sequence[str], days: list[object], symbols: list[object]) -> Figures:
    """Median milliseconds of CPU of the three questions, and how many rows the first answers have."""
    snapshot, timeline, per_day = questions
    return {
        "answered": [len(ask(snapshot, days[:1])), len(ask(timeline, symbols[:1])), len(ask(per_day, []))],
        "snapshot": statistics.median(cpu(lambda d=d: ask(snapshot, [d])) for d in days) * 1000,  # type: ignore[misc]
        "timeline": statistics.median(cpu(lambda s=s: ask(timeline, [s])) for s in symbols) * 1000,  # type: ignore[misc]
        "per_day": statistics.median(cpu(lambda: ask(per_day, [])) for _ in range(5)) * 1000,
    }


def cpu(action: Callable[[], object]) -> float:
    """CPU seconds of all threads."""
    began = time.process_time()
    action()
    return time.process_time() - began


def megabytes(*paths: Path) -> float:
    """What files have in all."""
    return sum(path.stat().st_size for path in paths) / 1e6

"""Memory does not grow with the history: what goes over all rows works with a third of the memory that it is given.

Today's history under a third of the limit stands for three times as much under all of it, which takes a minute longer.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.archive.files import FILES
from availability_pipeline.archive.names import parse_symbol
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.publishing import opening
from availability_pipeline.publishing.write import publish
from availability_pipeline.quality.check import Scope
from availability_pipeline.quality.continuity import history_continuity
from availability_pipeline.quality.publication import equals_working
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import backup, restore
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.opening import CONFIG
from availability_pipeline.warehouse.writes import Block, Collection, write_collection, write_symbols

NOW = dt.datetime.fromisoformat("2026-11-26 02:00")
DAYS = DayRange(DEFAULT_DATASET.first_day, dt.date(2026, 11, 25))
NAMES = [f"S{number:03}USDT" for number in range(918)]

# A third of the rows have a file: those of a contract for some 900 days.
_FILES = """
SELECT
    DATE '2020-01-01' + day::INTEGER + n::INTEGER AS date, 'S' || lpad(n::VARCHAR, 3, '0') || 'USDT' AS symbol,
    (20000 + hash(n, day) % 40000)::BIGINT AS file_size_bytes,
    (date + INTERVAL 1 DAY + to_seconds((hash(day, n) % 30000)::BIGINT))::TIMESTAMP_S AS last_modified,
    true AS has_checksum
FROM range(900) AS days (day), range(918) AS contracts (n)
"""


def collect(connection: duckdb.DuckDBPyConnection, days: list[dt.date], url: str) -> None:
    """Write days as a run does that finds their files served at the url."""
    files = duckdb.connect().sql(_FILES).to_arrow_table().cast(FILES)
    record = Collection(url, "list", days[0], days[-1], NOW, NOW, 1, 1, 1)
    write_collection(connection, [Block(days, NAMES)], files, url, record)


@pytest.mark.slow
def test_three_times_the_history_fits_into_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONFIG, "memory_limit", "170MB")
    monkeypatch.setattr(opening, "_MEMORY_LIMIT", "170MB")
    settings = Settings.load({}, data_dir=str(tmp_path), fapi_url="http://127.0.0.1:9")
    with connect(settings.working_path) as connection:
        write_symbols(
            connection,
            [parse_symbol(DEFAULT_DATASET, name) for name in NAMES],
            [],
            tracked=set(NAMES),
            now=NOW,
        )
        collect(connection, list(DAYS), "http://first")
        collect(connection, list(DAYS)[-20:], "http://second")
        urls = "SELECT DISTINCT url[:13], count(*) FROM daily_availability GROUP BY ALL"
        assert connection.execute(urls).fetchall() == [("http://second", len(DAYS) * len(NAMES))]
        assert publish(connection, settings.db_file, "run").rows == len(DAYS) * len(NAMES)
        for check in (history_continuity, equals_working):
            assert check(connection, Scope(settings)).passed
    backup.backup(settings, tmp_path / "backups", None)
    restore.compact(settings)
    assert restore.restore(settings, tmp_path / "backups").facts.rows > len(DAYS) * len(NAMES)

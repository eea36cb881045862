"""Data that has everything that schemas tell of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.publishing.write import publish
from availability_pipeline.warehouse.volume import BARS, READ, write_volume
from availability_pipeline_tests.demo_data import Demo
from availability_pipeline_tests.publishing import sample

COLLECTED_AGAIN_AT = sample.COLLECTED_AT + dt.timedelta(days=1)


BAR = {
    **dict.fromkeys((field.name for field in BARS if field.type == pa.float64()), 1.0),
    "date": sample.DAYS[20], "symbol": "ETHUSDT", "trades": 3, "source": "monthly",
    "file_last_modified": sample.COLLECTED_AT,
}  # fmt: skip


@pytest.fixture(scope="session")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the sample, collected twice and published, with changes of every kind and holes."""
    folder = tmp_path_factory.mktemp("changed")
    late = (sample.DAYS[69], "BTCUSDT")
    after = {**sample.sample_files(seed=2), late: (7_000, sample.COLLECTED_AT)}
    del after[sample.DAYS[1], "BTCUSDT"]
    with sample.working_database(folder):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "COLLECTED_AT", COLLECTED_AGAIN_AT)
        with sample.working_database(folder, after) as connection:
            write_volume(connection, READ.empty_table(), pa.Table.from_pylist([BAR], BARS))
            publish(connection, folder / "availability.duckdb", "run-2")
    return folder


@pytest.fixture(scope="session")
def folders(demo: Demo, changed: Path) -> list[Path]:
    """Data directories that together have everything that schemas tell of."""
    return [demo.settings.data_dir, changed]


@pytest.fixture(scope="module")
def connection(demo: Demo) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published database as somebody with DuckDB and nothing else opens it."""
    with duckdb.connect(demo.path, read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def queries(demo: Demo) -> Iterator[AvailabilityQueries]:
    with AvailabilityQueries(demo.path) as queries:
        yield queries

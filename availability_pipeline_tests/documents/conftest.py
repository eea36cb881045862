"""Data that has everything that schemas tell of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.publishing import publish
from availability_pipeline_tests.demo_data import Demo
from availability_pipeline_tests.publishing import sample


@pytest.fixture(scope="session")
def folders(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Data directories: the demo's, and one with changes of every kind."""
    folder = tmp_path_factory.mktemp("changed")
    late = (sample.DAYS[69], "BTCUSDT")
    before, after = sample.sample_files(), {**sample.sample_files(seed=2), late: (7_000, sample.COLLECTED_AT)}
    del after[sample.DAYS[1], "BTCUSDT"]
    for files in (before, after):
        with sample.working_database(folder, files) as connection:
            publish(connection, folder / "availability.duckdb", "run-1")
    return [demo.settings.data_dir, folder]


@pytest.fixture(scope="module")
def connection(demo: Demo) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published database as somebody with DuckDB and nothing else opens it."""
    with duckdb.connect(demo.path, read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def queries(demo: Demo) -> Iterator[AvailabilityQueries]:
    with AvailabilityQueries(demo.path) as queries:
        yield queries

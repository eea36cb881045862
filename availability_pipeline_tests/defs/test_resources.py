"""What assets are given: the working database of the settings or another one, closed whatever happens."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from availability_pipeline.defs.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.errors import UsageError


def test_the_database_is_that_of_the_settings(tmp_path: Path) -> None:
    settings = PipelineSettings(data_dir=str(tmp_path))
    with WorkingDatabase(settings=settings).get_connection():
        pass
    assert settings.load().working_path.exists()


def test_another_database_can_be_named(tmp_path: Path) -> None:
    settings = PipelineSettings(data_dir=str(tmp_path))
    with WorkingDatabase(settings=settings, database=str(tmp_path / "other.duckdb")).get_connection():
        pass
    assert (tmp_path / "other.duckdb").exists()
    assert not settings.load().working_path.exists()


def test_the_connection_is_closed_when_the_body_raises(tmp_path: Path) -> None:
    database = WorkingDatabase(settings=PipelineSettings(data_dir=str(tmp_path)))
    with pytest.raises(UsageError), database.get_connection() as connection:
        raise UsageError("of the body")
    with pytest.raises(duckdb.ConnectionException):
        connection.execute("SELECT 1")


def test_a_read_only_connection_does_not_write(tmp_path: Path) -> None:
    database = WorkingDatabase(settings=PipelineSettings(data_dir=str(tmp_path)))
    with database.get_connection():
        pass
    with (
        database.get_connection(read_only=True) as connection,
        pytest.raises(duckdb.InvalidInputException, match="read-only"),
    ):
        connection.execute("DELETE FROM symbols")

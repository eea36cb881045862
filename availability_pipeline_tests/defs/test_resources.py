"""What assets are given: the working database of the settings or another one, closed whatever happens."""

from pathlib import Path

import dagster as dg
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


RESOURCES = {"settings": PipelineSettings(), "database": WorkingDatabase(settings=PipelineSettings())}


@dg.op(required_resource_keys={"database"})
def first(context: dg.OpExecutionContext) -> None:
    with context.resources.database.get_connection() as connection:
        connection.execute("CREATE TEMP TABLE found AS SELECT 7 AS number")


@dg.op(required_resource_keys={"database"}, ins={"after": dg.In(dg.Nothing)})
def second(context: dg.OpExecutionContext) -> None:
    database = context.resources.database
    with database.get_connection() as connection, database.get_connection() as another:
        assert connection.execute("SELECT number FROM found").fetchall() == [(7,)]
        assert another.execute("SHOW TABLES").fetchall() != []
    database.release()
    with (
        database.get_connection() as connection,
        pytest.raises(duckdb.CatalogException, match="found does not exist"),
    ):
        connection.execute("FROM found")


@dg.op(required_resource_keys={"database"}, ins={"after": dg.In(dg.Nothing)})
def failing(context: dg.OpExecutionContext) -> None:
    with context.resources.database.get_connection():
        raise ValueError("of the step")


@dg.job(resource_defs=RESOURCES, executor_def=dg.in_process_executor)
def keeping() -> None:
    second(after=first())


@dg.job(resource_defs=RESOURCES, executor_def=dg.in_process_executor)
def broken() -> None:
    failing(after=first())


@pytest.mark.parametrize(("job", "succeeds"), [(keeping, True), (broken, False)])
def test_steps_of_a_run_share_a_connection_that_is_closed_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: dg.JobDefinition, succeeds: bool
) -> None:
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(tmp_path))
    with dg.instance_for_test() as instance:
        assert job.execute_in_process(instance=instance, raise_on_error=False).success is succeeds
    # DuckDB refuses another configuration while the file is open in this process.
    with duckdb.connect(tmp_path / "working" / "availability.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM symbols").fetchall() == [(0,)]

"""`publish` and `publish --rollback`: what they do and say, and what they refuse with."""

from __future__ import annotations

from pathlib import Path

import pytest

from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.cli.conftest import Run
from availability_pipeline_tests.publishing import sample


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A data directory with a working database and nothing published."""
    with sample.working_database(tmp_path):
        pass
    return {"AVAILABILITY_DATA_DIR": str(tmp_path)}


def run_read(folder: Path) -> str:
    with AvailabilityQueries(folder / "availability.duckdb") as queries:
        return queries.publication.run_id


def test_publish_publishes_the_working_database_as_a_run_of_its_own(run: Run, tmp_path: Path) -> None:
    done = run("publish")
    assert done.exit_code == 0
    [generation] = sample.generations(tmp_path)
    rows, files = len(sample.DAYS) * len(sample.SPANS), len(sample.sample_files())
    start = f"Published {tmp_path}/availability.duckdb: {rows} rows, {files} files, 6 contracts, in "
    assert done.stdout.startswith(start)
    how = f"{rows} rows written, because there is no generation before"
    assert done.stdout.endswith(f" s (generation {generation}; {how})\n")
    assert generation.endswith("Z-manual")
    assert (tmp_path / "generations" / generation / "report.html").stat().st_size > 900_000
    assert run_read(tmp_path).startswith("manual-2")


def test_all_rows_are_written_on_demand(run: Run, tmp_path: Path) -> None:
    sample.publish_run(tmp_path, "run-1")
    assert run("publish").stdout.endswith("; 0 rows written)\n")
    assert run("publish", "--full").stdout.endswith("; 420 rows written, because that was asked for)\n")
    assert run_read(tmp_path).startswith("manual-2")
    for option in ("--full", "--accept-fewer-files"):
        refused = run("publish", "--rollback", option)
        assert refused.exit_code == 2
        assert f"--rollback publishes nothing new; leave out {option}" in refused.stderr


def test_rollback_says_what_is_read_now_and_what_comes_next(run: Run, tmp_path: Path) -> None:
    made = [sample.publish_run(tmp_path, name).generation for name in ("run-1", "run-2")]
    done = run("publish", "--rollback")
    assert done.exit_code == 0
    first, second = done.stdout.splitlines()
    assert first.startswith(
        f"{tmp_path}/availability.duckdb is generation {made[0]} again: data through {sample.LAST_DAY}, published 20"
    )
    assert first.endswith(f" by run run-1. {made[1]} is no longer read.")
    assert second.startswith(
        "The next publication, by a run or by `binance-futures-availability publish`, lets readers"
    )
    assert run_read(tmp_path) == "run-1"
    assert run("publish").exit_code == 0
    assert run_read(tmp_path).startswith("manual-")


def test_nothing_to_roll_back_to_is_one_sentence(run: Run, tmp_path: Path) -> None:
    for message in ("there is nothing to roll back, ", "there is no generation before the one that "):
        done = run("publish", "--rollback")
        assert done.exit_code == 1
        assert done.stderr.startswith(f"Error: {message}")
        assert len(done.stderr.splitlines()) == 1
        sample.publish_run(tmp_path, "run-1")


def test_publishing_without_a_working_database_makes_none(run: Run, tmp_path: Path) -> None:
    done = run("publish", AVAILABILITY_DATA_DIR=str(tmp_path / "none"))
    assert done.exit_code == 1
    assert "there is nothing to publish, there is no working database" in done.stderr
    assert not (tmp_path / "none").exists()


def test_publishing_an_empty_working_database_says_what_to_do(run: Run, tmp_path: Path) -> None:
    with connect(tmp_path / "new" / "working" / "availability.duckdb"):
        pass
    done = run("publish", AVAILABILITY_DATA_DIR=str(tmp_path / "new"))
    assert done.exit_code == 1
    assert "the working database has no rows yet; run `backfill`" in done.stderr


def test_the_file_of_somebody_else_is_not_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary", encoding="utf-8")
    done = run("publish", AVAILABILITY_DB_PATH=str(tmp_path / "notes.txt"))
    assert done.exit_code == 1
    assert "is not a published database" in done.stderr
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "dear diary"

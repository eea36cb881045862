"""Old runs: they go with everything that they take up, and every day stays as materialized as it was."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.runs import remove_old_runs
from availability_pipeline_tests.dagster_side import Site

TABLE = dg.AssetKey("daily_availability")
ASSETS = [TABLE, *map(dg.AssetKey, ("symbols", "symbol_lifecycle", "published_database"))]
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def records(site: Site) -> dict[tuple[str, str | None], object]:
    """By asset and day, the number of rows of its newest materialization."""
    found: dict[tuple[str, str | None], object] = {}
    for asset in ASSETS:
        for record in site.instance.fetch_materializations(asset, limit=1000).records:
            found.setdefault(
                (asset.to_user_string(), record.partition_key),
                record.asset_materialization and record.asset_materialization.metadata,
            )
    return found


def files_of(site: Site, run_id: str) -> list[Path]:
    return list((site.settings.data_dir / "dagster").rglob(f"{run_id}*"))


def test_runs_go_with_their_files_and_days_stay_materialized(site: Site) -> None:
    older = site.run("2024-01-13", "2024-01-14").run_id
    moment = dt.datetime.now(dt.UTC)
    newer = site.run("2024-01-14", "2024-01-15").run_id
    before = records(site)
    days = site.instance.get_materialized_partitions(TABLE)
    assert all(files_of(site, run) for run in (older, newer))
    assert remove_old_runs(site.instance, moment) == 1
    assert [record.dagster_run.run_id for record in site.instance.get_run_records()] == [newer]
    # What is newer elsewhere is not reported again.
    found = site.instance.fetch_materializations(TABLE, limit=10).records
    assert sorted((record.partition_key, record.run_id) for record in found) == [
        ("2024-01-13", ""),
        ("2024-01-14", newer),
        ("2024-01-15", newer),
    ]
    assert (records(site), site.instance.get_materialized_partitions(TABLE)) == (before, days)
    assert remove_old_runs(site.instance, LATER) == 1
    assert site.instance.get_run_records() == []
    assert (records(site), site.instance.get_materialized_partitions(TABLE)) == (before, days)
    assert [files_of(site, run) for run in (older, newer)] == [[], []]
    site.run("2024-01-16")
    assert site.instance.get_materialized_partitions(TABLE) == {*days, "2024-01-16"}


def test_a_run_that_is_not_over_stays(site: Site) -> None:
    job = build_defs().resolve_job_def("availability_update")
    run = site.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert remove_old_runs(site.instance, LATER) == 0
    assert site.instance.get_run_by_id(run.run_id)


def test_the_job_keeps_what_is_not_old_and_at_least_what_is_looked_back_upon(site: Site) -> None:
    job = build_defs().resolve_job_def("remove_old_runs")
    kept = site.instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS).run_id
    assert job.execute_in_process(instance=site.instance).success
    assert site.instance.get_run_by_id(kept)
    with pytest.raises(dg.Failure, match="days is 59; it must be 60 or more"):
        job.execute_in_process(
            instance=site.instance, run_config={"ops": {"old_runs": {"config": {"days": 59}}}}
        )

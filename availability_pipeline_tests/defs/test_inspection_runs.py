"""Inspection in real runs: with the nightly update, by a backfill of its own, and when either is disturbed."""

from __future__ import annotations

import datetime as dt
import signal
from collections import Counter
from dataclasses import replace
from typing import cast

import dagster as dg
import pytest

from availability_pipeline.archive.batch import Progress
from availability_pipeline.dates import DayRange
from availability_pipeline.defs import launch
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.names import assets_of_run
from availability_pipeline.defs.partitions import range_tags
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.dagster_side import NOW, Site
from availability_pipeline_tests.simulator import Fault

pytestmark = pytest.mark.no_cover
"""Tests of the parts trace what runs here."""

KEY = dg.AssetKey("file_contents")
DAYS = DayRange(dt.date(2024, 1, 1), dt.date(2024, 1, 4))
FILES = 24
"""Six of the ten contracts have files on these four days."""


def inspected(site: Site) -> list[pipeline.Row]:
    return pipeline.query(site.settings, "SELECT date, symbol FROM file_contents ORDER BY ALL")


def asked(site: Site) -> Counter[str]:
    """How often each 1-minute file was asked for."""
    return Counter(
        record.path
        for record in site.server.requests
        if record.kind == "GET" and "/1m/" in record.path and record.path.endswith(".zip")
    )


def backfill(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """A backfill of the partitions of `file_contents` alone, in this process."""
    everything = build_defs().resolve_implicit_global_asset_job_def()
    job = cast("dg.JobDefinition", everything.get_subset(asset_selection={KEY}))  # type: ignore[attr-defined]
    return job.execute_in_process(
        instance=instance,
        tags=range_tags(DAYS),
        asset_selection=[KEY],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def test_an_update_inspects_and_publishes_what_it_collects(site: Site) -> None:
    report = site.run("2024-01-01", "2024-01-02")
    done = report.metadata["file_contents"]
    assert (done["dagster/row_count"], done["requests"], done["complete"]) == (12, 24, 12)
    assert (done["gone"], done["problem"]) == (0, "none")
    assert site.instance.get_materialized_partitions(KEY) == {"2024-01-01", "2024-01-02"}
    with AvailabilityQueries(site.settings.db_path) as queries:
        assert queries.files_not_complete("2024-01-01", "2024-01-02") == {}
    evaluations = [
        entry.dagster_event.asset_check_evaluation_data
        for entry in site.instance.all_logs(report.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        if entry.dagster_event
    ]
    [found] = [each for each in evaluations if each.check_name == "incomplete_files"]
    assert (found.passed, found.metadata["files"].value) == (True, 12)
    site.server.requests.clear()
    site.run("2024-01-01", "2024-01-02")
    assert asked(site) == {}


def test_a_request_that_fails_in_an_update_is_a_warning(site: Site) -> None:
    for symbol in ("/BTCUSDT/1m/", "/ETHUSDT/1m/"):
        site.server.faults.inject(Fault.status(503), on="GET", match=symbol)
    done = site.run("2024-01-01").metadata["file_contents"]
    assert "2 of 6 files could not be inspected" in done["problem"]
    assert done["complete"] == 4
    with AvailabilityQueries(site.settings.db_path) as queries:
        assert set(queries.files_not_complete("2024-01-01", "2024-01-01").values()) == {None}
        assert len(queries.get_available_symbols_on_date("2024-01-01")) == 6
    site.server.faults.clear()
    assert site.run("2024-01-01").metadata["file_contents"]["dagster/row_count"] == 2


def test_a_request_that_fails_in_a_backfill_of_its_own_fails_it_after_the_rest(site: Site) -> None:
    site.collected(str(DAYS.start), str(DAYS.end))
    site.server.faults.inject(Fault.status(503), on="GET", match="BTCUSDT-1m-2024-01-02.zip")
    assert not backfill(site.instance).success
    assert len(inspected(site)) == FILES - 1
    assert site.instance.get_materialized_partitions(KEY) == set()
    site.server.faults.clear()
    assert backfill(site.instance).success
    assert len(inspected(site)) == FILES
    assert len(site.instance.get_materialized_partitions(KEY)) == len(DAYS)


def test_what_is_switched_off_or_long_is_neither_inspected_nor_recorded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEY not in (assets_of_run(replace(site.settings, lookback_days=3), DAYS) or [KEY])
    settings = replace(site.settings, inspect="off")
    for variable, value in settings.environment().items():
        monkeypatch.setenv(variable, value)
    report = launch.run_update(site.instance, settings, DAYS, (), Progress())
    assert "file_contents" not in report.metadata
    assert (inspected(site), asked(site)) == ([], Counter())
    assert site.instance.get_materialized_partitions(KEY) == set()
    with AvailabilityQueries(site.settings.db_path) as queries:
        assert len(queries.files_not_complete(DAYS.start, DAYS.end)) == FILES


KILLED = """
    import datetime as dt, os, signal, sys
    from availability_pipeline import dates
    from availability_pipeline.collecting import inspect
    from availability_pipeline.defs import assets, launch
    from availability_pipeline_tests.defs.test_inspection_runs import backfill
    from pathlib import Path

    inspect.FILES_PER_SLICE = 5
    dates._clock = lambda: dt.datetime.fromisoformat(sys.argv[2])
    written, write = [], assets.write_contents

    def write_or_die(connection, rows):
        if len(written) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(rows)
        write(connection, rows)

    assets.write_contents = write_or_die
    with launch.open_instance(Path(sys.argv[1])) as instance:
        backfill(instance)
"""
"""A backfill that is killed when its fourth slice is read and not written."""


def test_a_backfill_that_is_killed_goes_on_where_it_was(site: Site) -> None:
    site.collected(str(DAYS.start), str(DAYS.end))
    with start_python(KILLED, site.settings.data_dir / "dagster", NOW.isoformat()) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, errors
    held = inspected(site)
    assert len(held) == 3 * 5
    first = asked(site)
    site.server.requests.clear()
    # The dead run keeps its slot of the pool until its record is ended, as the next holder of the lock does it.
    for run in site.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        site.instance.report_run_failed(run)
        site.instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    assert backfill(site.instance).success
    assert len(inspected(site)) == FILES
    twice = first & asked(site)
    assert len(twice) <= 5
    assert {path.rpartition("/")[2] for path in twice}.isdisjoint(
        f"{symbol}-1m-{day}.zip" for day, symbol in held
    )

"""The daily schedule: which runs a tick requests, and that these runs bring the database up to date."""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.collecting import collect
from availability_pipeline.defs.automation import make_schedule
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SetClock, start_python
from availability_pipeline_tests.dagster_side import NOW, Site
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.simulator import Fault, ScriptedArchive, serve

daily_availability_schedule = make_schedule(DEFAULT_DATASET)
HISTORY = DEFAULT_DATASET.first_day.isoformat()


class Tick(NamedTuple):
    """What a tick came to."""

    requests: list[dg.RunRequest]
    skipped: str | None
    logged: str

    def days(self) -> list[tuple[str, str]]:
        """First and last day of each request."""
        keys = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
        return [
            (request.partition_key, request.partition_key)
            if request.partition_key
            else (request.tags[keys[0]], request.tags[keys[1]])
            for request in self.requests
        ]


def tick(site: Site, caplog: pytest.LogCaptureFixture, day: str) -> Tick:
    """The tick of 02:00 UTC of a day."""
    caplog.clear()
    moment = dt.datetime.fromisoformat(f"{day} 02:00").replace(tzinfo=dt.UTC)
    with dg.build_schedule_context(
        instance=site.instance,
        scheduled_execution_time=moment,
        resources={"settings": PipelineSettings()},
        repository_def=build_defs().get_repository_def(),
    ) as context:
        context.log.addHandler(caplog.handler)
        data = daily_availability_schedule.evaluate_tick(context)
    return Tick(list(data.run_requests or ()), data.skip_message, caplog.text)


def collected(site: Site, end: str) -> None:
    """The whole history up to a day, a copy of what another server of the same archive had."""
    sample.copy(history(end), site.settings.data_dir)


@functools.cache
def history(end: str) -> Path:
    """A data directory of this process with it."""
    folder = sample.folder_of_process()
    with serve(ScriptedArchive.recorded(symbols=10, now=NOW)) as server:
        settings = Settings.load(server.environment(), data_dir=str(folder))
        pipeline.run(settings, DEFAULT_DATASET.first_day, dt.date.fromisoformat(end))
    return folder


def test_it_ticks_at_two_utc_and_is_on() -> None:
    schedule = daily_availability_schedule
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "availability_update"


def test_without_a_database_the_whole_history_is_asked_for(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    done = tick(site, caplog, "2024-03-01")
    assert done.days() == [("2024-02-29", "2024-02-29"), (HISTORY, "2024-02-29")]
    assert "there is no working database yet" in done.logged


def test_day_after_day_it_is_yesterday_and_the_window(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    collected(site, "2024-02-28")
    done = tick(site, caplog, "2024-03-01")
    assert done.days() == [("2024-02-29", "2024-02-29"), ("2024-02-10", "2024-02-29")]
    assert len({request.run_key for request in done.requests}) == 2
    assert done.logged == ""
    assert [request.run_key for request in tick(site, caplog, "2024-03-01").requests] == [
        request.run_key for request in done.requests
    ]


def test_the_range_begins_with_the_first_day_that_is_not_complete(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    collected(site, "2023-12-31")
    assert tick(site, caplog, "2024-03-01").days()[1] == ("2024-01-01", "2024-02-29")


def test_a_day_that_was_collected_in_part_is_a_gap(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    collected(site, "2023-12-31")
    pipeline.run(site.settings, dt.date(2024, 1, 1), dt.date(2024, 1, 1), only=["BTCUSDT"])
    pipeline.run(site.settings, dt.date(2024, 1, 2), dt.date(2024, 2, 28))
    assert tick(site, caplog, "2024-03-01").days()[1] == ("2024-01-01", "2024-02-29")


def test_a_range_of_that_one_day_is_left_out(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(site, "2024-02-28")
    monkeypatch.setenv("AVAILABILITY_LOOKBACK_DAYS", "1")
    assert tick(site, caplog, "2024-03-01").days() == [("2024-02-29", "2024-02-29")]


def test_a_window_does_not_begin_before_history(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(site, "2024-02-28")
    monkeypatch.setenv("AVAILABILITY_LOOKBACK_DAYS", "10000")
    assert tick(site, caplog, "2024-03-01").days()[1] == (HISTORY, "2024-02-29")


def test_while_another_process_writes_the_gap_is_left_to_the_next_tick(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(site, "2023-12-31")
    monkeypatch.setattr(collect, "WAIT_SECONDS", 0.3)
    code = """
    import duckdb, sys, time
    connection = duckdb.connect(sys.argv[1])
    print("open", flush=True)
    time.sleep(300)
    """
    with start_python(code, site.settings.working_path) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        done = tick(site, caplog, "2024-03-01")
        process.kill()
    assert done.days() == [("2024-02-29", "2024-02-29"), ("2024-02-10", "2024-02-29")]
    assert "is in use by another process" in done.logged
    assert tick(site, caplog, "2024-03-01").days()[1] == ("2024-01-01", "2024-02-29")


def test_a_file_that_is_no_database_does_not_stop_the_tick(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.settings.working_path.parent.mkdir(parents=True)
    site.settings.working_path.write_text("not a database", encoding="utf-8")
    done = tick(site, caplog, "2024-03-01")
    assert done.days() == [("2024-02-29", "2024-02-29"), ("2024-02-10", "2024-02-29")]
    assert "is damaged or not a DuckDB database" in done.logged


def test_a_setting_that_is_not_usable_is_named(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVAILABILITY_LOOKBACK_DAYS", "0")
    done = tick(site, caplog, "2024-03-01")
    assert "AVAILABILITY_LOOKBACK_DAYS is '0'" in done.logged
    # The run that is requested all the same fails with that sentence, which alerts can tell of.
    [request] = done.requests
    assert not site.execute(request).success


def test_a_day_whose_run_failed_in_all_retries_is_made_up_for_by_the_next_tick(
    site: Site, caplog: pytest.LogCaptureFixture, set_clock: SetClock
) -> None:
    set_clock("2024-02-29 02:00")
    pipeline.run(site.settings, DEFAULT_DATASET.first_day, dt.date(2024, 2, 27))
    site.server.faults.inject(Fault.status(503), on="LIST")
    site.server.faults.inject(Fault.status(503), on="HEAD")
    [request, _] = tick(site, caplog, "2024-02-29").requests
    assert not site.execute(request).success
    assert pipeline.table(site.settings) == site.truth(HISTORY, "2024-02-27")
    site.server.faults.clear()
    set_clock("2024-03-01 02:00")
    [_, window] = tick(site, caplog, "2024-03-01").requests
    assert site.execute(window).success
    assert pipeline.table(site.settings) == site.truth(HISTORY, "2024-02-29")

"""The publication sensor: it asks little, sees a day soon after it appears, and requests no run for nothing."""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise
from operator import sub
from pathlib import Path

import dagster as dg
import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.collecting import watch as watching
from availability_pipeline.collecting.watch import HEADS, Memory, chosen
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.automation import make_publication_watch
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.publishing.write import publish
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SetClock
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.simulator import Fault, ScriptedArchive, serve

YESTERDAY = dt.date(2024, 2, 29)
NEW_DAY = "2024-03-01 02:10"
"""The runs of 02:00 are over, and nothing of yesterday is published yet."""

publication_watch = make_publication_watch(DEFAULT_DATASET)


class Watch:
    """The sensor with the cursor that it left last, evaluated as the daemon does it."""

    def __init__(self, site: Site, set_clock: SetClock) -> None:
        self.site, self.set_clock = site, set_clock
        self.cursor: str | None = None
        self.reason = ""

    def at(self, moment: str) -> list[dg.RunRequest]:
        """The runs requested at a moment."""
        self.set_clock(moment)
        self.site.server.requests.clear()
        with dg.build_sensor_context(
            instance=self.site.instance, cursor=self.cursor, resources={"settings": PipelineSettings()}
        ) as context:
            result = publication_watch(context)
        if isinstance(result, dg.SkipReason):
            self.reason = result.skip_message or ""
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.reason = result.skip_reason.skip_message or "" if result.skip_reason else ""
        return list(result.run_requests or ())

    def until(self, first: str, last: str, minutes: int = 5) -> list[tuple[dt.datetime, str]]:
        """Evaluate it every few minutes, and collect what it requests; when, and which partition or range."""
        moment, end, runs = dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last), []
        while moment <= end:
            for request in self.at(str(moment)):
                days = (
                    (request.partition_key, None)
                    if request.partition_key
                    else (request.tags[RANGE_START], request.tags[RANGE_END])
                )
                self.site.collected(*days)
                runs.append((moment, request.partition_key or request.tags[RANGE_START]))
            moment += dt.timedelta(minutes=minutes)
        return runs


RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which the last days are collected and published; for copies."""
    now = dt.datetime.fromisoformat(NEW_DAY).replace(tzinfo=dt.UTC)
    folder = tmp_path_factory.mktemp("night")
    with serve(ScriptedArchive.recorded(symbols=10, now=now)) as server, clock_at(now, server):
        settings = Settings.load(server.environment(), data_dir=str(folder))
        pipeline.run_and_publish(settings, dt.date(2024, 2, 20), YESTERDAY)
    return folder


@pytest.fixture
def watch(site: Site, set_clock: SetClock, night: Path) -> Watch:
    """After the runs of 02:00: the last days are collected and published, yesterday without a file."""
    set_clock(NEW_DAY)
    sample.copy(night, site.settings.data_dir)
    assert not any(row[2] for row in site.truth("2024-02-29", "2024-02-29"))
    return Watch(site, set_clock)


def heads(site: Site) -> int:
    return site.server.requests.count("HEAD")


def unfinished_run(site: Site, **tags: str) -> dg.DagsterRun:
    job = dg.GraphDefinition(name="other").to_job()
    return site.instance.create_run_for_job(job, tags=tags)


def test_it_looks_every_five_minutes_and_is_on() -> None:
    assert publication_watch.minimum_interval_seconds == 300
    assert publication_watch.default_status is dg.DefaultSensorStatus.RUNNING
    assert publication_watch.job_name == "availability_update"


def test_a_look_that_finds_nothing_costs_five_heads_and_no_run(watch: Watch) -> None:
    asked = set()
    for minute in range(0, 60, 5):
        assert watch.at(f"2024-03-01 04:{minute:02}") == []
        assert heads(watch.site) == len(watch.site.server.requests) == HEADS
        asked |= {record.symbol for record in watch.site.server.requests}
    assert "the archive has none of the few that were asked for; files awaited: " in watch.reason
    assert asked == {row[1] for row in site_rows(watch.site, "2024-02-28")}


def site_rows(site: Site, day: str) -> list[pipeline.Row]:
    """The rows of a day that have a file."""
    return [row for row in site.truth(day, day) if row[2]]


def test_a_day_is_published_to_readers_within_the_hour_and_without_a_run_per_look(watch: Watch) -> None:
    runs = watch.until("2024-03-01 06:30", "2024-03-01 11:00", minutes=10)
    site = watch.site
    appeared = [row[4] for row in site_rows(site, "2024-02-29")]
    assert {day for _, day in runs} == {"2024-02-29"}
    first_run_after = [next(moment for moment, _ in runs if moment >= file) for file in appeared]
    assert max(map(sub, first_run_after, appeared)) <= dt.timedelta(hours=1)
    assert runs[0][0] >= min(appeared)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(runs)]
    assert min(gaps, default=dt.timedelta(hours=1)) >= dt.timedelta(minutes=30)
    assert len(runs) <= 6
    assert pipeline.table(site.settings) == site.truth("2024-02-20", "2024-02-29")
    assert watching.awaited_files(site.settings, dt.date(2024, 3, 1)) == {}
    assert watch.at("2024-03-01 14:00") == []
    assert (watch.reason, heads(site)) == ("nothing is awaited", 0)


def test_every_request_has_a_key_of_its_own(watch: Watch) -> None:
    [first] = watch.at("2024-03-01 12:00")
    assert watch.at("2024-03-01 12:25") == []
    assert "requested a short time ago" in watch.reason
    assert heads(watch.site) == 0
    [second] = watch.at("2024-03-01 12:30")
    assert first.partition_key == second.partition_key == "2024-02-29"
    assert first.run_key != second.run_key


def test_a_lost_cursor_does_not_repeat_a_request(watch: Watch) -> None:
    [first] = watch.at("2024-03-01 12:00")
    watch.cursor = None
    [again] = watch.at("2024-03-01 12:05")
    assert first.run_key == again.run_key  # by which Dagster knows that it has done this


UNUSABLE_CURSORS = (
    "", "no json", "[]", "{}", '{"turn": "x", "requested": {}}', '{"turn": 1, "requested": {"today": 1}}',
    '{"turn": Infinity, "requested": {}}', '{"turn": 1, "requested": {"2024-02-29": ["2024-03-01T12:00+00:00", 1]}}',
    '{"turn": -7, "requested": {"2024-02-29": ["2099-01-01T00:00", -3]}}',
)  # fmt: skip


def test_a_cursor_that_cannot_be_used_is_begun_anew(watch: Watch) -> None:
    for cursor in UNUSABLE_CURSORS:
        watch.cursor = cursor
        assert [request.partition_key for request in watch.at("2024-03-01 12:00")] == ["2024-02-29"], cursor
        assert Memory.read(watch.cursor).requested.keys() == {YESTERDAY}


def test_the_cursor_stays_small(watch: Watch) -> None:
    old = {f"2023-{month:02}-01": ["2023-12-01T00:00:00", 1, 9] for month in range(1, 13)}
    watch.cursor = json.dumps({"turn": 3, "requested": old})
    watch.at("2024-03-01 04:00")
    assert watch.cursor is not None
    assert json.loads(watch.cursor) == {"turn": 4, "requested": {}}


@pytest.mark.parametrize(
    "tags",
    [{"dagster/partition": "2024-02-29"}, {RANGE_START: "2024-02-10", RANGE_END: "2024-02-29"}],
    ids=["partition", "range"],
)
def test_a_day_that_a_run_is_about_is_left_alone(watch: Watch, tags: dict[str, str]) -> None:
    run = unfinished_run(watch.site, **tags)
    assert watch.at("2024-03-01 12:00") == []
    assert heads(watch.site) == 0
    assert "under way" in watch.reason
    watch.site.instance.delete_run(run.run_id)
    assert len(watch.at("2024-03-01 12:05")) == 1


def test_runs_of_other_days_and_of_other_projects_do_not_matter(watch: Watch) -> None:
    unfinished_run(watch.site, **{"dagster/partition": "2024-02-20"})
    unfinished_run(watch.site, **{"dagster/partition": "europe|gold"})
    unfinished_run(watch.site)
    assert len(watch.at("2024-03-01 12:00")) == 1


def test_days_that_appear_together_are_one_range(site: Site, set_clock: SetClock) -> None:
    set_clock("2024-02-25 12:00")
    site.collected("2024-02-20", "2024-02-24")
    watch = Watch(site, set_clock)
    [first] = watch.at("2024-03-01 12:00")
    assert first.tags[RANGE_END] == "2024-02-29"
    assert site.execute(first).success
    watch.until("2024-03-01 12:05", "2024-03-01 12:30")
    assert pipeline.table(site.settings) == site.truth("2024-02-20", "2024-02-29")


def test_a_late_market_is_seen_when_it_comes(watch: Watch, set_clock: SetClock) -> None:
    """Nine days late: nothing until then, and then all of it within the hour."""
    site = watch.site
    site.archive.set_last_published_day(dt.date(2024, 2, 28))
    for previous, day in pairwise((1, 2, 5, 9)):
        set_clock(f"2024-03-{day:02} 02:00")
        site.collected(f"2024-03-{previous:02}", f"2024-03-{day - 1:02}")
        assert watch.at(f"2024-03-{day:02} 11:00") == []
        assert heads(site) == HEADS
    site.archive.set_last_published_day(None)
    runs = watch.until("2024-03-09 12:00", "2024-03-09 13:00")
    assert 1 <= len(runs) <= 4
    assert pipeline.table(site.settings) == site.truth("2024-02-20", "2024-03-08")


def test_a_single_file_that_is_late_is_found(watch: Watch, set_clock: SetClock) -> None:
    site = watch.site
    set_clock("2024-03-01 12:00")
    late = site.archive.file("SOLUSDT", YESTERDAY)
    assert late
    site.archive.remove_file("SOLUSDT", YESTERDAY)
    site.collected("2024-02-29", "2024-02-29")
    assert watch.at("2024-03-01 12:05") == []
    assert heads(site) == 1
    site.archive.add_file("SOLUSDT", YESTERDAY, late.size)
    assert [request.partition_key for request in watch.at("2024-03-01 12:10")] == ["2024-02-29"]


def test_a_purged_contract_causes_no_run_and_is_forgotten_after_ten_days(
    watch: Watch, set_clock: SetClock
) -> None:
    site = watch.site
    set_clock("2024-03-01 12:00")
    site.archive.remove_symbol("SOLUSDT")
    site.archive.add_symbol("SOLUSDT", dt.date(2020, 9, 14), dt.date(2024, 2, 28))
    site.collected("2024-02-20", "2024-02-29")
    assert watch.at("2024-03-01 12:05") == []
    for previous, day in pairwise((1, 2, 9, 12, 13)):
        set_clock(f"2024-03-{day:02} 12:00")
        site.collected(f"2024-03-{previous:02}", f"2024-03-{day - 1:02}")
        assert watch.at(f"2024-03-{day:02} 12:00") == []
        # The exchange still listed it as trading on 29 February, so that day is missing; the days after it have ended.
        assert (0 < heads(site) <= watching.HEADS) == (day <= watching.RECENT_DAYS)
        assert watch.reason.endswith(
            {2: "1 of 2024-03-01, 1 of 2024-02-29", 9: "files awaited: 1 of 2024-02-29"}.get(day, "awaited")
        )
    assert watch.reason == "nothing is awaited"


@pytest.mark.parametrize(
    ("fault", "message"), [(Fault.status(503), "HTTP 503"), (Fault.reset(), "the connection failed")]
)
def test_an_archive_that_is_down_is_named(watch: Watch, fault: Fault, message: str) -> None:
    watch.site.server.faults.inject(fault, on="HEAD")
    assert watch.at("2024-03-01 12:00") == []
    assert "the archive could not be asked" in watch.reason
    assert message in watch.reason
    watch.site.server.faults.clear()
    assert len(watch.at("2024-03-01 12:05")) == 1


def test_an_archive_that_does_not_answer_is_not_waited_for(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVAILABILITY_TIMEOUT_SECONDS", "3600")
    monkeypatch.setattr(watching, "TIMEOUT_SECONDS", 1)
    watch.site.server.faults.inject(Fault.hang(), on="HEAD")
    assert watch.at("2024-03-01 12:00") == []
    assert "no answer within 1 s" in watch.reason


def test_without_a_published_database_there_is_nothing_to_await(site: Site, set_clock: SetClock) -> None:
    watch = Watch(site, set_clock)
    assert watch.at("2024-03-01 12:00") == []
    assert "there is no published database" in watch.reason


def test_a_setting_that_is_not_usable_is_named(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_CONNECTIONS", "none")
    assert watch.at("2024-03-01 12:00") == []
    assert "AVAILABILITY_CONNECTIONS is 'none'" in watch.reason


def test_a_contract_that_is_no_longer_tracked_is_not_awaited(watch: Watch) -> None:
    settings = watch.site.settings
    assert "SOLUSDT" in watching.awaited_files(settings, dt.date(2024, 3, 1))[YESTERDAY]
    with connect(settings.working_path) as connection:
        connection.execute("UPDATE symbols SET tracked = false WHERE symbol = 'SOLUSDT'")
        publish(connection, settings.db_path, "run")
    assert "SOLUSDT" not in watching.awaited_files(settings, dt.date(2024, 3, 1))[YESTERDAY]


def test_on_a_day_that_is_not_collected_the_contracts_are_awaited_that_have_not_ended(
    site: Site, set_clock: SetClock
) -> None:
    """A day in the middle, and the days after the last one that is collected."""
    set_clock("2024-02-28 12:00")
    site.archive.remove_symbol("SOLUSDT")
    site.archive.add_symbol("SOLUSDT", dt.date(2020, 9, 14), dt.date(2024, 2, 10))
    site.server.faults.inject(Fault.status(451), on="EXCHANGE_INFO")
    site.collected("2024-02-01", "2024-02-24")
    site.collected("2024-02-26", "2024-02-27")
    awaited = watching.awaited_files(site.settings, dt.date(2024, 3, 1))
    assert [day.isoformat() for day in awaited] == ["2024-02-29", "2024-02-28", "2024-02-25"]
    of_a_day = {row[1] for row in site_rows(site, "2024-02-27")}
    assert {frozenset(symbols) for symbols in awaited.values()} == {frozenset(of_a_day)}
    assert "SOLUSDT" not in of_a_day


def test_all_contracts_of_all_days_get_their_turn() -> None:
    awaited = {
        YESTERDAY: [f"A{number}" for number in range(20)],
        dt.date(2024, 2, 28): ["B1", "B2", "B3"],
        dt.date(2024, 2, 20): ["C1"],
    }
    asked = [chosen(awaited, turn) for turn in range(7)]
    assert all(sum(map(len, look.values())) == HEADS for look in asked)
    seen = {day: {symbol for look in asked for symbol in look.get(day, [])} for day in awaited}
    assert {day: len(symbols) for day, symbols in seen.items()} == {
        day: len(symbols) for day, symbols in awaited.items()
    }


def test_few_contracts_are_asked_for_once_each() -> None:
    assert chosen({}, 3) == {}
    assert sorted(chosen({YESTERDAY: ["A", "B"]}, 3)[YESTERDAY]) == ["A", "B"]


def test_what_is_left_alone_is_not_covered_by_a_range() -> None:
    days = [dt.date(2024, 2, day) for day in (20, 22, 24, 29)]
    assert watching._ranges(days, ()) == [DayRange(days[0], days[-1])]
    assert watching._ranges(days, {dt.date(2024, 2, 23)}) == [
        DayRange(days[0], days[1]),
        DayRange(days[2], days[3]),
    ]
    assert watching._ranges([], ()) == []


def test_a_day_whose_runs_do_not_reach_the_readers_is_asked_for_less_and_less(watch: Watch) -> None:
    """As while a check blocks the publication."""
    moments = []
    for step in range(48):
        moment = dt.datetime.fromisoformat("2024-03-01 12:00") + step * dt.timedelta(minutes=15)
        moments += [moment for _ in watch.at(str(moment))]
    assert len(moments) == watching.PATIENCE + 1
    assert moments[-1] - moments[-2] == watching.LONG_REST

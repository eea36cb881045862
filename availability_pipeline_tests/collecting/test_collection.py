"""A whole collection without Dagster: whatever is collected in whatever order, the table says what the archive has.

The archive is the simulator's, over HTTP; the truth is read from its script side. Requests are counted where their
number is promised.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.collecting import collect
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveUnreachable, UnexpectedAnswer, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

NOW = dt.datetime.fromisoformat("2024-03-10 12:00")
LAST = dt.date(2024, 3, 9)
OLD = DayRange(dt.date(2024, 1, 1), dt.date(2024, 2, 20))
TRACKED = ["ENDEDUSDT", "HOLEUSDT", "ICPUSDT_SETTLED", "LATEUSDT", "LIVEUSDT", "龙虾USDT"]


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(f"2024-{text}")


def make_archive() -> ScriptedArchive:
    archive = ScriptedArchive.empty(NOW)
    archive.set_last_published_day(LAST)
    archive.add_symbol("LIVEUSDT", dt.date(2021, 6, 1))
    archive.add_symbol("LATEUSDT", day("02-25"))
    archive.add_symbol("ENDEDUSDT", dt.date(2020, 1, 1), day("01-20"))
    archive.add_symbol("ICPUSDT_SETTLED", dt.date(2021, 1, 1), dt.date(2022, 9, 30), kind="settled")
    archive.add_symbol("HOLEUSDT", day("01-10"))
    archive.add_symbol("龙虾USDT", day("02-01"))
    archive.add_symbol("BTCUSDC", day("01-01"))
    archive.add_symbol("BTCUSDT_240329", day("01-01"), kind="delivery")
    for number in (11, 12, 30):
        archive.remove_file("HOLEUSDT", day(f"01-{number}"))
    return archive


@pytest.fixture
def archive() -> ScriptedArchive:
    return make_archive()


@pytest.fixture
def server(archive: ScriptedArchive) -> Iterator[ObservedServer]:
    with serve(archive) as running:
        yield running


@pytest.fixture
def settings(server: ObservedServer, settings_for: SettingsFactory) -> Settings:
    return settings_for(server)


def truth(
    archive: ScriptedArchive, settings: Settings, days: DayRange, symbols: list[str] = TRACKED
) -> list[pipeline.Row]:
    return pipeline.truth(archive, settings.archive_url, symbols, days)


def test_a_range_is_what_the_archive_has(archive: ScriptedArchive, settings: Settings) -> None:
    report = pipeline.run(settings, OLD.start, LAST)
    assert pipeline.table(settings) == truth(archive, settings, DayRange(OLD.start, LAST))
    assert report.rows == 6 * 69
    assert report.available == sum(row[2] for row in pipeline.table(settings))


def test_untracked_contracts_are_known_and_not_collected(settings: Settings) -> None:
    pipeline.run(settings, LAST)
    known = pipeline.query(settings, "SELECT symbol FROM symbols WHERE NOT tracked ORDER BY symbol")
    assert known == [("BTCUSDC",), ("BTCUSDT_240329",)]


def test_the_rule_of_what_is_tracked_is_a_setting(
    server: ObservedServer, settings_for: SettingsFactory
) -> None:
    settings = settings_for(server, tracked_quotes="USDC,USDT", tracked_contracts="delivery,perpetual")
    pipeline.run(settings, LAST)
    assert {row[1] for row in pipeline.table(settings)} == {*TRACKED, "BTCUSDC", "BTCUSDT_240329"} - {
        "ICPUSDT_SETTLED"
    }


def test_probing_and_listing_write_the_same_rows(
    archive: ScriptedArchive, server: ObservedServer, settings_for: SettingsFactory, tmp_path: Path
) -> None:
    listed = settings_for(server)
    probed = settings_for(server, data_dir=tmp_path / "probed")
    window = DayRange(day("01-19"), day("02-01"))
    pipeline.run(listed, window.start, window.end)
    pipeline.discover(probed)
    for date in window:
        pipeline.collect_days(probed, date)
    assert pipeline.table(probed) == pipeline.table(listed) == truth(archive, listed, window)
    assert {mode for (mode,) in pipeline.query(probed, "SELECT mode FROM collection_runs")} == {"head"}
    assert {mode for (mode,) in pipeline.query(listed, "SELECT mode FROM collection_runs")} == {"list"}


def test_a_day_takes_one_head_per_contract(server: ObservedServer, settings: Settings) -> None:
    pipeline.run(settings, OLD.start, OLD.end)
    server.requests.clear()
    pipeline.collect_days(settings, LAST)
    assert sorted(record.symbol or "" for record in server.requests) == TRACKED
    assert server.requests.counts()["HEAD"] == len(TRACKED)


def test_a_window_takes_one_list_per_contract(server: ObservedServer, settings: Settings) -> None:
    pipeline.run(settings, dt.date(2022, 9, 1), OLD.end)
    server.requests.clear()
    pipeline.collect_days(settings, day("02-19"), LAST)
    assert sorted(record.symbol or "" for record in server.requests) == TRACKED
    assert server.requests.counts()["LIST"] == len(TRACKED)


@pytest.mark.parametrize("last_day", [day("02-22"), day("03-09")])
def test_a_new_contract_gets_all_days_that_the_table_holds(
    archive: ScriptedArchive, settings: Settings, last_day: dt.date
) -> None:
    pipeline.run(settings, OLD.start, OLD.end)
    archive.add_symbol("NEWUSDT", day("02-15"))
    first_new = day("02-21") if last_day == day("02-22") else last_day
    pipeline.run(settings, first_new, last_day, run_id="second")
    held = [*OLD, *DayRange(first_new, last_day)]
    assert pipeline.table(settings) == pipeline.truth(
        archive, settings.archive_url, [*TRACKED, "NEWUSDT"], held
    )
    assert pipeline.query(settings, "FROM availability_changes") == []


def test_the_history_of_a_new_contract_takes_a_list_and_the_day_still_one_head_each(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    pipeline.run(settings, OLD.start, OLD.end)
    archive.add_symbol("NEWUSDT", day("02-15"))
    pipeline.discover(settings)
    server.requests.clear()
    pipeline.collect_days(settings, LAST)
    assert server.requests.count("HEAD") == len(TRACKED) + 1
    assert [record.symbol for record in server.requests if record.kind == "LIST"] == ["NEWUSDT"]


def test_chosen_contracts_are_collected_and_no_others(archive: ScriptedArchive, settings: Settings) -> None:
    pipeline.run(settings, OLD.start, OLD.end, only=["liveusdt", "龙虾USDT", "LIVE-USDT"])
    assert pipeline.table(settings) == truth(archive, settings, OLD, ["LIVEUSDT", "龙虾USDT"])


@pytest.mark.parametrize("name", ["NOSUCHUSDT", "BTCUSDC", "BTCUSDT_240329", ""])
def test_a_contract_that_is_not_tracked_cannot_be_chosen(settings: Settings, name: str) -> None:
    pipeline.discover(settings)
    with pytest.raises(UsageError, match=f"^no tracked contract is called '{name}'"):
        pipeline.collect_days(settings, OLD.start, only=["LIVEUSDT", name])


def test_without_a_tracked_contract_there_is_nothing_to_do(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no contract is tracked"):
        pipeline.collect_days(settings, OLD.start)


def test_the_ledger_tells_what_happened_in_the_archive(archive: ScriptedArchive, settings: Settings) -> None:
    window = DayRange(day("02-25"), LAST)
    archive.remove_file("LIVEUSDT", day("03-03"))
    pipeline.run(settings, window.start, window.end, run_id="first")
    archive.add_file("LIVEUSDT", day("03-03"), size=50_000)
    archive.replace_file("LIVEUSDT", day("03-04"), size=60_000)
    archive.remove_file("LATEUSDT", day("03-05"))
    for run, changes in (("second", {"published": 1, "republished": 1, "withdrawn": 1}), ("third", {})):
        assert pipeline.run(settings, window.start, window.end, run_id=run).changes == changes
    told = "SELECT kind, symbol, date, run_id FROM availability_changes ORDER BY kind"
    assert pipeline.query(settings, told) == [
        ("published", "LIVEUSDT", day("03-03"), "second"),
        ("republished", "LIVEUSDT", day("03-04"), "second"),
        ("withdrawn", "LATEUSDT", day("03-05"), "second"),
    ]
    assert pipeline.table(settings) == truth(archive, settings, window)


def test_a_run_is_recorded_with_its_requests(server: ObservedServer, settings: Settings) -> None:
    pipeline.discover(settings)
    server.requests.clear()
    pipeline.collect_days(settings, dt.date(2020, 1, 1), LAST, run_id="long")
    pages = server.requests.count("LIST")
    recorded = (
        "SELECT run_id, mode, window_start, window_end, requests, pages, rows_written FROM collection_runs"
    )
    assert pipeline.query(settings, recorded) == [
        (
            "long",
            "list",
            dt.date(2020, 1, 1),
            LAST,
            pages,
            pages,
            6 * len(DayRange(dt.date(2020, 1, 1), LAST)),
        )
    ]


def test_another_archive_url_rewrites_every_url(
    server: ObservedServer, settings_for: SettingsFactory
) -> None:
    pipeline.run(settings_for(server), OLD.start, OLD.end)
    moved = settings_for(server, archive_url=server.url.replace("127.0.0.1", "localhost"))
    pipeline.collect_days(moved, OLD.end)
    assert {row[5].split("/data")[0] for row in pipeline.table(moved)} == {moved.archive_url}


def test_a_host_that_cannot_be_reached_is_named_with_what_to_do(settings_for: SettingsFactory) -> None:
    settings = settings_for(s3_endpoint="http://no-such-host.invalid")
    with pytest.raises(ArchiveUnreachable, match=r"no-such-host\.invalid .*`make demo`"):
        collect.discover(settings)


def test_a_refusing_exchange_stops_nothing(server: ObservedServer, settings: Settings) -> None:
    server.faults.inject(Fault.status(451), on="EXCHANGE_INFO")
    found = collect.discover(settings)
    assert found.tracked(settings) == TRACKED
    assert "HTTP 451" in (found.exchange_problem or "")


def test_what_the_exchange_said_is_kept_while_it_refuses(server: ObservedServer, settings: Settings) -> None:
    said = "SELECT symbol, status, seen_at FROM symbols ORDER BY symbol"
    pipeline.discover(settings)
    before = pipeline.query(settings, said)
    assert ("LIVEUSDT", "TRADING") in [row[:2] for row in before]
    server.faults.inject(Fault.status(451), on="EXCHANGE_INFO")
    pipeline.discover(settings)
    assert pipeline.query(settings, said) == before


def test_a_contract_that_was_left_out_is_made_up_for_later(
    archive: ScriptedArchive, settings: Settings
) -> None:
    pipeline.run(settings, OLD.start, OLD.end, only=["LIVEUSDT"])
    pipeline.run(settings, day("02-21"))
    assert pipeline.table(settings) == truth(archive, settings, DayRange(OLD.start, day("02-21")))


@pytest.mark.parametrize("known", [True, False])
def test_a_day_without_any_file_is_not_believed_while_the_bucket_lists_one(
    server: ObservedServer, settings: Settings, known: bool
) -> None:
    pipeline.run(settings, OLD.start, OLD.end) if known else pipeline.discover(settings)
    before = pipeline.table(settings)
    server.faults.inject(Fault.status(404), on="HEAD")
    with pytest.raises(UnexpectedAnswer, match="the bucket lists that of"):
        pipeline.collect_days(settings, day("02-01"))
    assert pipeline.table(settings) == before


def test_a_day_that_is_not_published_yet_is_believed(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    archive.set_last_published_day(day("02-28"))
    pipeline.run(settings, day("02-26"), day("02-28"))
    server.requests.clear()
    pipeline.collect_days(settings, day("02-29"))
    assert pipeline.table(settings) == truth(archive, settings, DayRange(day("02-26"), day("02-29")))
    assert server.requests.count("HEAD") == len(TRACKED)


ONE_ARCHIVE = make_archive()
dates = st.integers(0, 60).map(lambda number: day("01-08") + dt.timedelta(days=number))
chosen = st.lists(
    st.tuples(dates, st.integers(0, 25), st.one_of(st.none(), st.sets(st.sampled_from(TRACKED), min_size=1))),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def one_server() -> Iterator[ObservedServer]:
    with serve(ONE_ARCHIVE) as running:
        yield running


@given(chosen)
@hypothesis_settings(max_examples=4, deadline=None)
def test_partitions_in_any_order_and_repeated_give_the_same_table(
    one_server: ObservedServer,
    tmp_path_factory: pytest.TempPathFactory,
    windows: list[tuple[dt.date, int, set[str] | None]],
) -> None:
    folder = tmp_path_factory.mktemp("any order")
    settings = Settings.load(one_server.environment(), data_dir=str(folder), connections="8")
    pipeline.discover(settings)
    for start, length, only in [*windows, windows[0]]:
        end = min(start + dt.timedelta(days=length), LAST)
        pipeline.collect_days(settings, start, end, only=sorted(only or ()))
    rows = pipeline.table(settings)
    assert rows == sorted(
        row for date, symbol in {row[:2] for row in rows} for row in _truth(settings, symbol, date)
    )
    assert _expected(windows) <= {row[:2] for row in rows}
    assert pipeline.query(settings, "FROM availability_changes") == []


def _truth(settings: Settings, symbol: str, date: dt.date) -> list[pipeline.Row]:
    return pipeline.truth(ONE_ARCHIVE, settings.archive_url, [symbol], [date])


def _expected(windows: list[tuple[dt.date, int, set[str] | None]]) -> set[tuple[dt.date, str]]:
    """The days and contracts that must have rows, whatever else new contracts got."""
    return {
        (date, symbol)
        for start, length, only in windows
        for date in DayRange(start, min(start + dt.timedelta(days=length), LAST))
        for symbol in only or TRACKED
    }


@pytest.fixture
def yesterday(monkeypatch: pytest.MonkeyPatch) -> dt.date:
    monkeypatch.setattr("availability_pipeline.catalogue.datasets.last_complete_day", lambda: LAST)
    return LAST


def missing(settings: Settings) -> DayRange:
    with connect(settings.working_path) as connection:
        return collect.missing_days(connection, settings)


def test_of_an_empty_table_everything_is_missing(settings: Settings, yesterday: dt.date) -> None:
    assert missing(settings) == DayRange(DEFAULT_DATASET.first_day, yesterday)


def fill(settings: Settings, end: dt.date, only: list[str] | None = None) -> None:
    pipeline.discover(settings)
    with connect(settings.working_path) as connection:
        plan = collect.plan_collection(connection, DayRange(DEFAULT_DATASET.first_day, end), only or [])
        collected = collect.collect(plan, settings, Progress())
        collect.write(connection, plan, collected, settings, "fill")


@pytest.mark.parametrize(
    ("end", "lookback", "start"),
    [("03-08", 20, "02-19"), ("03-09", 20, "02-19"), ("02-10", 20, "02-11"), ("03-09", 1, "03-09")],
)
@pytest.mark.usefixtures("yesterday")
def test_a_table_is_brought_up_to_date_from_its_gap_or_the_look_back_window(
    server: ObservedServer, settings_for: SettingsFactory, end: str, lookback: int, start: str
) -> None:
    settings = settings_for(server, lookback_days=lookback)
    fill(settings, day(end))
    assert missing(settings) == DayRange(day(start), LAST)


@pytest.mark.usefixtures("yesterday")
def test_days_without_a_file_before_a_gap_belong_to_it(settings: Settings) -> None:
    fill(settings, day("02-10"))
    with connect(settings.working_path) as connection:
        connection.execute(
            "UPDATE availability SET available = false, status_code = 404, file_size_bytes = NULL, "
            "last_modified = NULL WHERE date >= '2024-02-09' OR date = '2024-02-05'"
        )
    assert missing(settings) == DayRange(day("02-09"), LAST)


@pytest.mark.usefixtures("yesterday")
def test_a_day_of_some_contracts_only_is_missing(settings: Settings) -> None:
    fill(settings, day("02-10"))
    pipeline.collect_days(settings, day("02-11"), LAST, only=["LIVEUSDT"])
    assert missing(settings).start == day("02-11")


def test_a_look_back_does_not_reach_before_the_market(
    server: ObservedServer, settings_for: SettingsFactory, yesterday: dt.date
) -> None:
    assert missing(settings_for(server, lookback_days=10_000)) == DayRange(
        DEFAULT_DATASET.first_day, yesterday
    )

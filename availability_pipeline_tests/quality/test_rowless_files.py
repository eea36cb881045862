"""Files of 0, 1 and 22 bytes: they are there, whichever way they are collected, and nothing is concluded from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from availability_pipeline.quality.check import Scope, Severity
from availability_pipeline.quality.files import completeness, gaps, rowless_files
from availability_pipeline.quality.lifecycle import every_file_has_an_episode
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.simulator import ScriptedArchive, serve

NOW = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2024, 2, 1), dt.date(2024, 2, 29)
SIZES = (0, 1, 22)
BROKEN = dt.date(2024, 2, 20)


def day(number: int) -> dt.date:
    return dt.date(2024, 2, number)


def make_archive() -> ScriptedArchive:
    """LIVE has a file without a row among others, GONE some after its end, and GHOST never had any other."""
    archive = ScriptedArchive.empty(NOW)
    archive.add_symbol("LIVEUSDT", FIRST)
    archive.add_symbol("OTHERUSDT", FIRST)
    archive.add_symbol("GONEUSDT", FIRST, day(10))
    archive.add_symbol("GHOSTUSDT", day(18), LAST)
    archive.replace_file("LIVEUSDT", BROKEN, size=22)
    for number in (12, 20, 21):
        archive.add_file("GONEUSDT", day(number), size=SIZES[number % 3])
    for number in range(18, 30):
        archive.replace_file("GHOSTUSDT", day(number), size=SIZES[number % 3])
    archive.replace_file("OTHERUSDT", day(5), size=300)  # few bars, as on a first day
    return archive


@pytest.fixture(scope="module", params=["list", "head"])
def collected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Collected and published, as a range or such files day by day; no test may change it."""
    with serve(make_archive()) as server, clock_at(NOW, server):
        loaded = Settings.load(server.environment(), data_dir=str(tmp_path_factory.mktemp("collected")))
        if request.param == "head":
            pipeline.run(loaded, FIRST, day(11))
            for number in range(12, 29):
                pipeline.collect_days(loaded, day(number))
        pipeline.run_and_publish(loaded, LAST if request.param == "head" else FIRST, LAST)
    return loaded


@pytest.fixture
def settings(collected: Settings) -> Iterator[Settings]:
    with clock_at(NOW):
        yield collected


def test_they_are_available_and_no_evidence(settings: Settings) -> None:
    with AvailabilityQueries(settings=settings) as queries:
        found = {row["symbol"]: row for row in queries.get_available_symbols_on_date(BROKEN)}
        assert {name: row["file_size_bytes"] for name, row in found.items() if name != "OTHERUSDT"} == {
            "LIVEUSDT": 22, "GONEUSDT": SIZES[20 % 3], "GHOSTUSDT": SIZES[20 % 3],
        }  # fmt: skip
        for flat in (False, True):
            universe = queries.get_universe(BROKEN, include_flat=flat)
            assert [row["symbol"] for row in universe] == ["OTHERUSDT"]
        reasons = {row["symbol"]: row["reason"] for row in queries.get_universe(BROKEN, explain=True)}
        assert reasons == {"LIVEUSDT": "flat", "GONEUSDT": "flat", "GHOSTUSDT": "flat", "OTHERUSDT": None}
        assert [row["symbol"] for row in queries.get_universe(day(21))] == ["LIVEUSDT", "OTHERUSDT"]
        history = queries.universe_history(FIRST, LAST, include_flat=True)
        assert "GHOSTUSDT" not in {row["symbol"] for row in history}
        lives = {row["symbol"]: row for row in queries.get_lifecycle()}
        assert (lives["GONEUSDT"]["last_day"], lives["GONEUSDT"]["end_reason"]) == (day(10), "purged")
        assert (lives["LIVEUSDT"]["days"], lives["LIVEUSDT"]["gaps"], lives["LIVEUSDT"]["flat_days"]) == (
            28,
            0,
            0,
        )
        assert "GHOSTUSDT" not in lives
        assert queries.detect_new_listings(day(18)) == []
        status = queries.sql(
            "SELECT status, evidence FROM availability_status WHERE date = '2024-02-20' ORDER BY symbol"
        )
        assert [tuple(row.values()) for row in status] == [("flat", "no_row")] * 3 + [("published", None)]


def test_a_check_warns_of_them_and_the_others_do_not_complain(settings: Settings) -> None:
    with connect(settings.working_path, read_only=True) as connection:
        scope = Scope(settings)
        found = rowless_files(connection, scope)
        assert (found.passed, found.severity) == (False, Severity.WARN)
        assert found.numbers == {"files": 29 + 29 + 10 + 3 + 12, "rowless": 1 + 3 + 12}
        assert found.offenders[0] == {"date": LAST, "symbol": "GHOSTUSDT", "file_size_bytes": SIZES[29 % 3]}
        assert found.summary.startswith(
            "16 files are smaller than any zip of one row (GHOSTUSDT 2024-02-29, "
        )
        assert "run `backfill --start 2024-02-12 --end 2024-02-29`" in found.summary
        for check in (completeness, gaps, every_file_has_an_episode):
            assert check(connection, scope).passed


def test_a_file_that_is_replaced_by_a_real_one_is_evidence(settings_for: SettingsFactory) -> None:
    archive = ScriptedArchive.recorded(["BTCUSDT"], now=NOW)
    with serve(archive) as server:
        settings = settings_for(server)
        for size, warned in ((166, True), (167, False)):
            archive.replace_file("BTCUSDT", BROKEN, size=size)
            pipeline.run_and_publish(settings, BROKEN)
            with connect(settings.working_path, read_only=True) as connection:
                assert rowless_files(connection, Scope(settings)).passed is not warned
            with AvailabilityQueries(settings=settings) as queries:
                assert bool(queries.get_universe(BROKEN)) is not warned

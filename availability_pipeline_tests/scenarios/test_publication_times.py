"""Files that appear when they should, late, or never: what the table, the checks, the readers and the alerts say."""

from __future__ import annotations

import dagster as dg
import pytest

from availability_pipeline_tests import pipeline
from availability_pipeline_tests.scenarios.world import MARKET, World, day

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

KEY = dg.AssetKey("daily_availability")

SOUND = {"continuity", "history_continuity", "row_invariants", "no_regression", "equals_working"}


def test_a_normal_day(world: World) -> None:
    world.in_dagster = True
    night = world.tick("03-02 02:00")
    assert [result.success for result in night] == [True, True]
    assert world.read("03-01") == []  # yesterday is collected, and not published yet
    for result in night:
        assert {name for name in SOUND if result.checks[name] != "ok"} == set()
        assert (result.checks["completeness"], result.checks["changed_files"]) == ("WARN", "ok")
        assert "nothing is published yet" in result.said["completeness"]
    [morning] = world.look("03-02 09:30")
    checks = morning.checks
    assert (checks["completeness"], checks["gaps"], checks["exchange_info"]) == ("ok", "ok", "ok")
    assert world.read("03-01") == sorted(MARKET)
    assert world.published_run() == morning.run_id
    assert world.is_true("01-01", "03-01")
    assert world.ledger() == [("published", symbol, day("03-01")) for symbol in sorted(MARKET)]
    assert world.tell() == []


def test_yesterday_is_not_there_at_two_and_is_there_at_half_past_eight(world: World) -> None:
    world.archive.set_last_published_day(day("02-29"))
    world.tick("03-02 02:00")
    heads = world.site.server.requests.count("HEAD")
    for look in ("03-02 06:00", "03-02 07:00", "03-02 08:25"):
        assert world.look(look) == []
    assert world.site.server.requests.count("HEAD") - heads <= 15
    world.archive.set_last_published_day(day("03-01"))
    [result] = world.look("03-02 08:30")
    assert result.success
    assert world.read("03-01") == sorted(MARKET)
    assert world.is_true("01-01", "03-01")
    assert world.ledger() == [("published", symbol, day("03-01")) for symbol in sorted(MARKET)]


def test_the_whole_market_is_late_by_nine_days(world: World) -> None:
    world.archive.set_last_published_day(day("02-29"))
    says, alerts = {}, {}
    for date in ("03-04", "03-05", "03-10"):
        world.in_dagster = date == "03-05"
        window = world.window(f"{date} 02:00")
        assert window.success
        says[date] = window.checks["completeness"]
        alerts[date] = world.tell_of("completeness")
        assert window.checks["exchange_info"] == "WARN"
        assert world.look(f"{date} 09:00") == []
    assert says == {"03-04": "WARN", "03-05": "ERROR", "03-10": "ERROR"}
    told = {date: len(texts) for date, texts in alerts.items()}
    assert told == {"03-04": 0, "03-05": 1, "03-10": 0}
    assert "nothing was ever published of 2024-03-01" in alerts["03-05"][0]
    assert world.read("02-29") == sorted(MARKET)  # nobody is reported as delisted
    world.archive.set_last_published_day(day("03-09"))
    results = [result for minute in range(0, 60, 10) for result in world.look(f"03-10 10:{minute:02}")]
    assert 1 <= len(results) <= 4
    assert results[-1].checks["completeness"] == "ok"
    assert world.is_true("01-01", "03-09")
    assert len(world.ledger()) == 9 * len(MARKET)


def withhold(world: World, symbols: tuple[str, ...], date: str) -> None:
    """Keep a day's files from ever appearing."""
    now = world.clock["now"]
    world.archive.set_now(now.replace(month=6))
    for symbol in symbols:
        world.archive.remove_file(symbol, day(date))
    world.archive.set_now(now)


def test_one_gap_is_filled_after_fifteen_days(world: World) -> None:
    withhold(world, ("SOLUSDT",), "03-01")
    world.window("03-02 02:00")
    [morning] = world.look("03-02 09:30")
    assert morning.checks["completeness"] == "WARN"
    assert "1 file pending on 2024-03-01 (SOLUSDT)" in morning.said["completeness"]
    world.in_dagster = True
    window = world.window("03-06 02:00")
    world.in_dagster = False
    assert (window.checks["completeness"], window.checks["gaps"]) == ("ERROR", "WARN")
    assert "SOLUSDT 2024-03-01" in window.said["gaps"]
    [alert] = world.tell_of("completeness")
    assert "SOLUSDT 2024-03-01" in alert
    assert "backfill --start 2024-03-01 --end 2024-03-01" in alert
    assert world.read("03-01") == sorted(set(MARKET) - {"SOLUSDT"})
    world.at("03-16 12:00").archive.add_file("SOLUSDT", day("03-01"))
    window = world.window("03-17 02:00")
    assert (window.checks["completeness"], window.checks["gaps"]) == ("WARN", "ok")
    assert ("published", "SOLUSDT", day("03-01")) in world.ledger()
    assert world.read("03-01") == sorted(MARKET)
    assert world.is_true("01-01", "03-16")


def test_a_day_of_which_nothing_is_ever_published(world: World) -> None:
    withhold(world, MARKET, "03-01")
    window = world.window("03-07 02:00")
    assert window.checks["completeness"] == "ERROR"
    assert "nothing was ever published of 2024-03-01" in window.said["completeness"]
    assert {name for name in SOUND if window.checks[name] != "ok"} == set()
    assert (world.read("03-01"), world.read("03-02")) == ([], sorted(MARKET))
    gaps = "symbol,first_day,last_day,reason\n" + "".join(
        f"{symbol},2024-03-01,2024-03-01,an outage of the archive\n" for symbol in MARKET
    )
    (world.site.settings.data_dir / "known_gaps.csv").write_text(gaps, encoding="utf-8")
    window = world.window("03-08 02:00")
    # Acknowledged gaps of contracts are no news, but a day with zero files never passes.
    assert (window.checks["gaps"], window.checks["completeness"]) == ("ok", "ERROR")


def test_the_daemon_is_down_for_five_days(world: World) -> None:
    world.in_dagster = True
    first, window = world.tick("03-06 02:00")
    assert first.success
    assert window.success
    assert window.checks["history_continuity"] == "ok"
    assert world.is_true("01-01", "03-05")
    materialized = world.site.instance.get_materialized_partitions(KEY)
    assert {f"2024-03-0{number}" for number in range(1, 6)} <= materialized
    runs = "SELECT mode, window_start FROM collection_runs WHERE window_end = '2024-03-05' ORDER BY mode"
    assert pipeline.query(world.site.settings, runs) == [("head", day("03-05")), ("list", day("02-15"))]

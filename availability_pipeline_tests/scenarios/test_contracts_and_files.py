"""Contracts that come and go, files that change, an exchange that refuses, and a publication that is blocked."""

from __future__ import annotations

import datetime as dt

import pytest

from availability_pipeline_tests import pipeline
from availability_pipeline_tests.scenarios.world import LISTED, MARKET, World, day
from availability_pipeline_tests.simulator import Fault

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""


def test_a_file_is_replaced(world: World) -> None:
    world.at("03-01 15:00").archive.replace_file("BTCUSDT", day("02-20"), size=12_345)
    window = world.window("03-02 02:00")
    assert window.checks["changed_files"] == "WARN"
    assert "BTCUSDT 2024-02-20 republished" in window.said["changed_files"]
    assert world.ledger() == [("republished", "BTCUSDT", day("02-20"))]
    sql = "SELECT new_file_size_bytes, run_id FROM availability_changes"
    assert pipeline.query(world.site.settings, sql) == [(12_345, window.run_id)]
    assert world.is_true("01-01", "03-01")
    assert world.published_run() == window.run_id


def test_a_file_is_withdrawn(world: World) -> None:
    world.at("03-01 15:00").archive.remove_file("ETHUSDT", day("02-20"))
    window = world.window("03-02 02:00")
    checks = window.checks
    assert (checks["changed_files"], checks["completeness"], checks["no_regression"]) == (
        "WARN",
        "ERROR",
        "ok",
    )
    assert world.ledger() == [("withdrawn", "ETHUSDT", day("02-20"))]
    assert world.read("02-20") == sorted(set(MARKET) - {"ETHUSDT"})
    assert "ETHUSDT 2024-02-20" in window.said["completeness"]


def test_a_new_contract_has_its_history_by_the_end_of_the_same_run(world: World) -> None:
    world.archive.add_symbol("NEWUSDT", day("02-20"))
    first, *_ = world.tick("03-02 02:00")
    assert world.is_true("01-01", "03-01")
    checks = first.checks
    assert (checks["continuity"], checks["history_continuity"], checks["gaps"]) == ("ok", "ok", "ok")
    assert "NEWUSDT" in world.read("02-25")
    assert "NEWUSDT" not in world.read("02-15")
    assert world.ledger() == []  # what was never looked at before has not changed


def test_a_contract_is_purged(world: World) -> None:
    world.archive.add_symbol("LUNAUSDT", LISTED, last_day=day("03-02"))
    world.window("03-03 02:00")
    world.look("03-03 09:30")
    world.window("03-04 02:00")
    [morning] = world.look("03-04 09:30")
    assert "(LUNAUSDT)" in morning.said["completeness"]  # one day later it may only be late
    world.look("03-04 12:00")
    window = world.window("03-09 02:00")
    assert "LUNAUSDT" not in window.said["completeness"]
    assert window.checks["gaps"] == "ok"
    assert ("LUNAUSDT" in world.read("03-02"), "LUNAUSDT" in world.read("03-03")) == (True, False)
    assert world.is_true("01-01", "03-08")


def test_a_name_is_listed_again(world: World) -> None:
    world.archive.add_symbol("LITUSDT", dt.date(2023, 11, 1), last_day=dt.date(2024, 1, 10))
    world.window("03-02 02:00")
    # The former contract moves to a folder of its own, and the old folder goes on.
    world.archive.add_symbol(
        "LITUSDT_SETTLED", dt.date(2023, 11, 1), last_day=dt.date(2024, 1, 10), kind="settled"
    )
    world.at("03-04 12:00")
    for date in ("03-02", "03-03"):
        world.archive.add_file("LITUSDT", day(date))
    window = world.window("03-05 02:00")
    checks = window.checks
    assert (checks["continuity"], checks["history_continuity"], checks["gaps"]) == ("ok", "ok", "ok")
    assert "LITUSDT 2024-01" not in window.said["completeness"]
    assert ("LITUSDT" in world.read("03-02"), "LITUSDT" in world.read("02-01")) == (True, False)
    assert "LITUSDT_SETTLED" in world.read("01-10")
    assert world.is_true("01-01", "03-04")


def test_exchange_info_refuses(world: World) -> None:
    world.site.server.faults.inject(Fault.status(451), on="EXCHANGE_INFO")
    first, window = world.tick("03-02 02:00")
    assert (first.success, window.success) == (True, True)
    assert window.checks["exchange_info"] == "WARN"
    assert "could not be evaluated" in window.said["exchange_info"]
    assert "HTTP 451" in window.said["exchange_info"]
    assert world.is_true("01-01", "03-01")
    assert world.published_run() == window.run_id


def test_a_check_that_blocks(world: World) -> None:
    held = {symbol: world.archive.file(symbol, day("02-27")) for symbol in MARKET[:10]}
    for symbol in held:
        world.archive.remove_file(symbol, day("02-27"))
    before = world.published_run()
    world.in_dagster = True
    first, window = world.tick("03-02 02:00")
    assert (first.success, window.success) == (True, False)
    assert window.checks["no_regression"] == "ERROR"
    assert len(world.ledger()) == 10
    # The run before it had not seen the loss; it is the last good generation.
    assert world.published_run() == first.run_id != before
    assert world.read("02-27") == sorted(MARKET)
    alerts = world.tell()
    assert len([alert for alert in alerts if "no_regression" in alert]) == 1
    assert any("readers keep the last good generation" in alert for alert in alerts)
    assert world.tell() == []
    for symbol, file in held.items():
        assert file
        world.archive.add_file(symbol, day("02-27"), file.size, file.last_modified)
    world.in_dagster = False
    window = world.window("03-03 02:00")
    assert window.success
    assert world.published_run() == window.run_id
    assert world.is_true("01-01", "03-02")

"""Real runs of the job on a real instance: that they write the truth, say what they did, and fail without harm."""

from __future__ import annotations

import datetime as dt
import json

import dagster as dg
import pytest

from availability_pipeline.errors import RunError, UsageError
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.archive.servers import canned
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.simulator import Fault


def published_rows(site: Site) -> int:
    with AvailabilityQueries(site.settings.db_path) as queries:
        return len(queries.get_availability_range("2024-01-01", "2024-01-31"))


def statuses(site: Site) -> list[dg.DagsterRunStatus]:
    return [run.status for run in site.instance.get_runs()]


def test_a_range_is_listed_and_published_and_the_run_reports_its_numbers(site: Site) -> None:
    collected = site.run("2024-01-01", "2024-01-31").metadata["daily_availability"]
    truth = site.truth("2024-01-01", "2024-01-31")
    assert pipeline.table(site.settings) == truth
    assert site.server.requests.count("HEAD") == 0
    assert collected["mode"] == "list"
    assert published_rows(site) == collected["available"] == sum(row[2] for row in truth)
    assert collected["dagster/row_count"] == len(truth)
    assert collected["bytes"] == sum(row[3] or 0 for row in truth)
    assert collected["changed"] == 0
    assert collected["requests"] == collected["pages"] >= len(site.archive.symbols())
    done = site.instance.get_materialized_partitions(dg.AssetKey("daily_availability"))
    assert done == {f"2024-01-{day:02}" for day in range(1, 32)}


def test_one_day_is_probed_with_one_head_per_contract_and_has_the_rows_of_a_range(site: Site) -> None:
    report = site.run("2024-01-15")
    assert pipeline.table(site.settings) == site.truth("2024-01-15", "2024-01-15")
    assert site.server.requests.count("HEAD") == len(site.archive.symbols())
    assert report.metadata["daily_availability"]["mode"] == "head"
    by_head = pipeline.table(site.settings)
    pipeline.run(site.settings, dt.date(2024, 1, 15), dt.date(2024, 1, 16))
    assert [row for row in pipeline.table(site.settings) if row[0] == dt.date(2024, 1, 15)] == by_head


def test_a_changed_file_is_counted_and_the_lifecycle_derived_from_all_rows_and_both_published(
    site: Site,
) -> None:
    site.collected("2024-01-01", "2024-01-31")
    site.archive.remove_file("BTCUSDT", dt.date(2024, 1, 15))
    metadata = site.run("2024-01-15").metadata
    assert metadata["daily_availability"]["changes"] == "1 withdrawn"
    lifecycle = metadata["symbol_lifecycle"]
    january = {symbol for _, symbol, available, *_ in site.truth("2024-01-01", "2024-01-31") if available}
    assert lifecycle["dagster/row_count"] == lifecycle["symbols"] == len(january)
    # FTTUSDT has been flat since 2022.
    assert (lifecycle["gaps"], lifecycle["flat_days"], lifecycle["settled"]) == (1, 31, 1)
    with AvailabilityQueries(site.settings.db_path) as queries:
        found = queries._fetch(
            "SELECT date, symbol FROM published.availability_status WHERE status = 'missing'"
        )
        symbols = [row["symbol"] for row in queries.get_available_symbols_on_date("2024-01-15")]
    assert found == [(dt.date(2024, 1, 15), "BTCUSDT")]
    assert "BTCUSDT" not in symbols


def test_a_failed_run_changes_neither_database(site: Site) -> None:
    site.collected("2024-01-01", "2024-01-05")
    rows, published = pipeline.table(site.settings), site.settings.db_path.read_bytes()
    site.archive.remove_file("ETHUSDT", dt.date(2024, 1, 1))
    site.server.faults.inject(Fault.status(503), on="LIST", match="BTCUSDT")
    with pytest.raises(RunError, match=r"BTCUSDT.*HTTP 503"):
        site.run("2024-01-01", "2024-01-05")
    assert pipeline.table(site.settings) == rows
    assert site.settings.db_path.read_bytes() == published


def test_all_failures_of_a_run_are_in_its_metadata(site: Site) -> None:
    site.server.faults.inject(Fault.status(500), on="HEAD")
    count = len(site.archive.symbols())
    with pytest.raises(RunError, match=f"{count} of {count} symbols failed"):
        site.run("2024-01-15")
    [event] = site.instance.all_logs(
        site.instance.get_runs()[0].run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    )
    metadata = event.dagster_event.step_failure_data.user_failure_data.metadata
    assert metadata["failed_symbols"].value == count
    assert "SOLUSDT" in metadata["failures"].value


def test_an_unknown_contract_ends_the_run_before_anything_is_written(site: Site) -> None:
    with pytest.raises(UsageError, match="NOSUCHUSDT"):
        site.run("2024-01-01", "2024-01-31", ["NOSUCHUSDT"])
    assert not site.settings.working_path.exists()
    assert statuses(site) == [dg.DagsterRunStatus.FAILURE]


def test_a_run_can_be_restricted_to_contracts(site: Site) -> None:
    site.run("2024-01-01", "2024-01-10", ["BTCUSDT", "ethusdt"])
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-10", ["BTCUSDT", "ETHUSDT"])


def test_a_failed_run_frees_the_pool(site: Site) -> None:
    site.server.faults.inject(Fault.reset(), on="LIST")
    with pytest.raises(RunError, match="cannot be reached"):
        site.run("2024-01-01", "2024-01-10")
    site.server.faults.clear()
    site.run("2024-01-01", "2024-01-10")
    assert statuses(site) == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def test_what_exchange_info_does_not_say_is_null_and_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [
        {"symbol": "BTCUSDT", "contractType": None, "status": "TRADING", "onboardDate": 1569398400000},
        {"symbol": "ETHUSDT", "contractType": "PERPETUAL", "status": None, "onboardDate": 1569398400000000},
        {"contractType": "PERPETUAL"},
        "BNBUSDT",
    ]
    with canned(200, json.dumps({"symbols": listed}).encode()) as url:
        monkeypatch.setenv("AVAILABILITY_FAPI_URL", url)
        metadata = site.run("2024-01-15").metadata["symbols"]
    assert (metadata["exchange_info"], metadata["exchange_info_odd_entries"]) == ("2 contracts", 4)
    with connect(site.settings.working_path) as connection:
        rows = connection.execute(
            "SELECT symbol, contract_type, status, onboard_date FROM symbols WHERE seen_at IS NOT NULL ORDER BY symbol"
        ).fetchall()
    assert rows == [
        ("BTCUSDT", None, "TRADING", dt.date(2019, 9, 25)),
        ("ETHUSDT", "PERPETUAL", None, None),
    ]


def test_no_failure_of_exchange_info_fails_a_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_FAPI_URL", "https://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    metadata = site.run("2024-01-15").metadata["symbols"]
    assert str(metadata["exchange_info"]).startswith(
        "REQUESTS_CA_BUNDLE is '/nonexistent/ca.pem', from which no "
    )
    assert pipeline.table(site.settings) == site.truth("2024-01-15", "2024-01-15")

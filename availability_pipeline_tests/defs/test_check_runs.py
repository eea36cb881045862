"""Asset checks in real runs on a real instance: recorded with numbers, and in the way of bad publications."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import duckdb
import pytest

from availability_pipeline.collecting import collect
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.errors import RunError
from availability_pipeline.quality.check import all_checks
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SetClock
from availability_pipeline_tests.dagster_side import NOW, Site

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

WEEK = ("2024-01-10", "2024-01-16")


@pytest.fixture(autouse=True)
def _at_noon(set_clock: SetClock) -> None:
    set_clock(NOW.isoformat(" "))


def evaluations(site: Site, run_id: str | None = None) -> dict[str, dg.AssetCheckEvaluation]:
    """What the checks of a run said, by name; of the newest run by default."""
    run_id = run_id or site.instance.get_runs(limit=1)[0].run_id
    events = [entry.dagster_event for entry in site.instance.all_logs(run_id) if entry.dagster_event]
    found = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    return {evaluation.check_name: evaluation for evaluation in found}


def check_only(site: Site) -> dg.ExecuteInProcessResult:
    """A run of all checks and of nothing else, as the button of the UI starts it."""
    definitions = build_defs()
    job = definitions.resolve_implicit_global_asset_job_def()
    graph = definitions.resolve_asset_graph()
    return job.get_subset(
        asset_selection=set(), asset_check_selection=set(graph.asset_check_keys)
    ).execute_in_process(instance=site.instance, raise_on_error=False)


def published(site: Site) -> tuple[str, list[str]]:
    """Run and contracts of 15 January of what readers have."""
    with AvailabilityQueries(site.settings.db_path) as queries:
        rows = queries.get_available_symbols_on_date("2024-01-15")
        return queries.publication.run_id, [row["symbol"] for row in rows]


def test_a_sound_run_evaluates_every_check_with_numbers_and_publishes(site: Site) -> None:
    report = site.run(*WEEK)
    found = evaluations(site)
    assert {name for name, evaluation in found.items() if evaluation.blocking} == {
        "continuity", "row_invariants", "no_regression", "volume_consistency",
    }  # fmt: skip
    failed = {name for name, evaluation in found.items() if not evaluation.passed}
    # Nobody has collected the years before, and exchangeInfo speaks of today.
    assert failed == {"history_continuity"}
    assert found.keys() == {check.name for check in all_checks()} | {"service_levels"}
    assert published(site)[0] == report.run_id
    # What the UI can plot:
    for name, evaluation in found.items():
        numbers = [value for value in evaluation.metadata.values() if isinstance(value.value, int | float)]
        assert numbers, name
        assert evaluation.description, name
    assert found["completeness"].metadata["days"].value == 7


def test_a_run_for_some_contracts_is_judged_by_those_and_a_gap_elsewhere_does_not_block(site: Site) -> None:
    site.collected(*WEEK)
    site.run("2024-02-10", "2024-02-12", symbols=["BTCUSDT"])
    found = evaluations(site)
    assert found["continuity"].passed
    assert (found["history_continuity"].passed, found["history_continuity"].severity) == (
        False, dg.AssetCheckSeverity.ERROR,
    )  # fmt: skip
    assert site.instance.get_runs(limit=1)[0].status is dg.DagsterRunStatus.SUCCESS


def test_a_gap_in_the_window_of_the_run_blocks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.collected(*WEEK)
    write = collect.write

    def write_and_lose(connection: duckdb.DuckDBPyConnection, *rest: object) -> object:
        report = write(connection, *rest)  # type: ignore[arg-type]
        connection.execute("DELETE FROM availability WHERE symbol = 'BTCUSDT' AND date = '2024-02-02'")
        return report

    monkeypatch.setattr(collect, "write", write_and_lose)
    before = published(site)
    with pytest.raises(
        RunError, match="readers keep the last good generation; continuity: 1 row of 1 contract"
    ) as raised:
        site.run("2024-02-01", "2024-02-03")
    assert "`backfill --start 2024-02-02`" in str(raised.value)
    assert published(site) == before
    assert site.instance.get_runs(limit=1)[0].status is dg.DagsterRunStatus.FAILURE


def lose_half(site: Site) -> list[str]:
    """Take the files of 15 January of half the contracts away."""
    day = dt.date(2024, 1, 15)
    lost = [symbol for symbol in site.archive.symbols() if site.archive.file(symbol, day)][::2]
    for symbol in lost:
        site.archive.remove_file(symbol, day)
    return lost


def publish_alone(site: Site, *, accept_fewer_files: bool) -> dg.ExecuteInProcessResult:
    job = build_defs().resolve_implicit_global_asset_job_def()
    return job.get_subset(asset_selection={dg.AssetKey("published_database")}).execute_in_process(
        instance=site.instance,
        run_config={"ops": {"published_database": {"config": {"accept_fewer_files": accept_fewer_files}}}},
        raise_on_error=False,
    )


def test_a_run_that_publishes_alone_does_not_go_round_the_publish_guard(site: Site) -> None:
    site.collected(*WEEK)
    before, lost = published(site), lose_half(site)
    pipeline.run(site.settings, *map(dt.date.fromisoformat, WEEK))
    assert not publish_alone(site, accept_fewer_files=False).success
    assert published(site) == before
    assert publish_alone(site, accept_fewer_files=True).success
    assert not set(lost) & set(published(site)[1])
    site.run(*WEEK)
    assert evaluations(site)["no_regression"].passed


def test_a_run_that_only_checks_looks_at_the_whole_table(site: Site) -> None:
    site.collected(*WEEK)
    site.archive.remove_file("BTCUSDT", dt.date(2024, 1, 15))
    site.collected("2024-01-15")
    result = check_only(site)
    found = evaluations(site, result.run_id)
    assert not result.success  # the history before that week is missing, and here that blocks
    days = (dt.date.fromisoformat(WEEK[1]) - dt.date(2019, 9, 25)).days + 1
    assert found["continuity"].metadata["days"].value == days
    assert found["completeness"].metadata["days"].value == 7
    assert found["changed_files"].metadata["withdrawn"].value == 1
    assert found["equals_working"].passed

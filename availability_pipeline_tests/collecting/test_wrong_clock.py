"""A clock that was wrong: a run refuses to go on, and what an earlier one has done is healed by the next right one.

An archive that names the wrong moment as well is the same as one that names none: what a run did before it looked.
"""

from __future__ import annotations

import datetime as dt

import pytest

from availability_pipeline.dates import last_complete_day
from availability_pipeline.errors import PublicationError, RunError
from availability_pipeline.publishing.manifest import Place, ids
from availability_pipeline.quality.guard import AvailabilityValidator, publish_now
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.cli.commands import command, in_process
from availability_pipeline_tests.conftest import SetClock
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.simulator import Fault

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

NOON = "2024-03-01 12:00"
AHEAD = "2024-03-06 12:00"
BEHIND = "2024-02-25 12:00"

_MOMENTS = """
SELECT max(moment) FROM (
    SELECT probe_timestamp AS moment FROM daily_availability
    UNION ALL SELECT observed_at FROM availability_changes
    UNION ALL SELECT greatest(started_at, finished_at) FROM collection_runs
    UNION ALL SELECT greatest(first_seen, seen_at) FROM symbols
    UNION ALL SELECT greatest(valid_from, valid_to) FROM contract_history
    UNION ALL SELECT value::TIMESTAMP FROM database_info WHERE key = 'derived_at'
)
"""


def published(site: Site) -> tuple[dt.date, str]:
    """The last day that readers have, and the run that published it."""
    with AvailabilityQueries(settings=site.settings) as queries:
        return queries.publication.data_through, queries.publication.run_id


def failing(site: Site) -> set[str]:
    """The checks that fail with severity ERROR; of the history before the first day nothing is collected."""
    checks = AvailabilityValidator(site.settings).run_all_validations()["checks"]
    return {check["name"] for check in checks if not check["passed"] and check["severity"] == "ERROR"}


@pytest.fixture
def spoiled(site: Site, set_clock: SetClock) -> Site:
    """A site with days of the future, collected and published by a clock five days ahead; the clock is right again."""
    set_clock(NOON)
    site.collected("2024-02-10", "2024-02-29")
    moment = set_clock(AHEAD)
    site.archive.set_now(dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC))
    site.archive.replace_file("BTCUSDT", dt.date(2024, 2, 20), size=12_345)
    site.collected("2024-02-20", "2024-03-05")
    site.collected("2024-03-04")
    assert published(site)[0] == dt.date(2024, 3, 5)
    set_clock(NOON)
    assert pipeline.query(site.settings, _MOMENTS) == [(moment.replace(tzinfo=None),)]
    return site


@pytest.mark.parametrize(
    ("wrong", "days"), [(AHEAD, ("2024-02-29",)), (BEHIND, ("2024-02-20", "2024-02-29"))]
)
def test_a_run_with_a_wrong_clock_changes_nothing(
    site: Site, set_clock: SetClock, wrong: str, days: tuple[str, ...]
) -> None:
    right = set_clock(NOON)
    pipeline.run_and_publish(site.settings, dt.date(2024, 2, 10), dt.date(2024, 2, 27))
    before, had = pipeline.everything(site.settings), published(site)
    set_clock(wrong)
    site.archive.set_now(right)
    site.server.date = right
    with pytest.raises(RunError) as caught:
        site.run(*days)
    assert str(caught.value) == (
        f"this machine's clock says {wrong}:00 UTC and the archive's {NOON}:00 UTC, so nothing was written; "
        "set the machine's clock, then run the same again"
    )
    assert (pipeline.everything(site.settings), published(site)) == (before, had)


def test_publication_is_blocked_until_an_update_heals_both_databases_and_everything_goes_on(
    spoiled: Site, set_clock: SetClock
) -> None:
    with pytest.raises(PublicationError, match="set the machine's clock and run `update`"):
        publish_now(spoiled.settings)
    report = AvailabilityValidator(spoiled.settings).run_all_validations()
    [found] = [check for check in report["checks"] if check["name"] == "row_invariants"]
    assert not found["passed"]
    assert found["numbers"]["in_the_future"] == 5 * 8
    assert "backfill" not in found["summary"]
    spoiled.run("2024-02-29")
    assert pipeline.table(spoiled.settings) == spoiled.truth("2024-02-10", "2024-02-29")
    now = dt.datetime(2024, 3, 1, 12)  # noqa: DTZ001 - as the database stores UTC
    assert pipeline.query(spoiled.settings, _MOMENTS) == [(now,)]
    windows = "SELECT max(window_end), count(*) FROM collection_runs"
    assert pipeline.query(spoiled.settings, windows) == [(dt.date(2024, 2, 29), 3)]
    [run] = spoiled.instance.get_runs(limit=1)
    assert published(spoiled) == (dt.date(2024, 2, 29), run.run_id)
    [warning] = [
        entry.user_message
        for entry in spoiled.instance.all_logs(run.run_id)
        if "removed" in entry.user_message
    ]
    assert warning == (
        "removed 40 rows of 2024-03-01 to 2024-03-05, because these days are not over yet: the clock was ahead when "
        "they were collected"
    )
    assert failing(spoiled) == {"continuity", "history_continuity"}
    newest = publish_now(spoiled.settings).generation
    place = Place.of(spoiled.settings.db_file)
    assert newest in ids(place)
    assert place.database.samefile(place.generations / newest / "availability.duckdb")
    for day, collect in (("2024-03-02", spoiled.collected), ("2024-03-07", spoiled.run)):
        set_clock(f"{day} 12:00")  # the last is past all that was wrong
        yesterday = dt.date.fromisoformat(day) - dt.timedelta(days=1)
        collect("2024-02-25", str(yesterday))
        assert published(spoiled)[0] == yesterday
        assert pipeline.table(spoiled.settings) == spoiled.truth("2024-02-10", str(yesterday))
    assert failing(spoiled) == {"continuity", "history_continuity"}
    with AvailabilityQueries(settings=spoiled.settings) as queries:
        assert [row["kind"] for row in queries.get_changes()] == ["republished"]


def test_nothing_is_removed_by_a_clock_that_nobody_confirms(site: Site, set_clock: SetClock) -> None:
    """It may be behind, and the days may be over."""
    set_clock(NOON)
    pipeline.run_and_publish(site.settings, dt.date(2024, 2, 10), dt.date(2024, 2, 29))
    set_clock(BEHIND)
    site.archive.set_now(dt.datetime.fromisoformat(NOON))
    site.server.faults.inject(Fault.without_header("Date"), on="LIST")
    with pytest.raises(RunError, match="set the machine's clock and run `update`"):
        site.run("2024-02-20", "2024-02-24")
    assert pipeline.table(site.settings) == site.truth("2024-02-10", "2024-02-29")
    assert published(site)[0] == dt.date(2024, 2, 29)


def test_the_command_refuses_and_heals(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now, yesterday = dt.datetime.now(dt.UTC), last_complete_day()
    future = yesterday + dt.timedelta(days=5)
    site.archive.set_now(None)
    with monkeypatch.context() as wrong:
        site.server.date = now + dt.timedelta(days=5)
        wrong.setattr("availability_pipeline.dates._clock", lambda: now + dt.timedelta(days=5))
        site.collected(str(yesterday))
        rows = pipeline.table(site.settings)
        site.collected(str(future))
    refused = in_process(site, "update")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f" and the archive's {site.server.date:%Y-%m-%d %H:%M:%S} UTC" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert published(site)[0] == future
    site.server.date = None
    healed = command(site, "update")
    assert healed.returncode == 0, healed.stderr
    assert f"removed 10 rows of {future}, because" in healed.stderr
    assert published(site)[0] == yesterday
    assert pipeline.table(site.settings) == rows

"""`--dataset`, `datasets`, `query coverage`, and other datasets as schemas of `query sql`.

Two datasets lie in one data directory, with the same contracts and different gaps, published without Dagster.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from availability_pipeline import AvailabilityDatabase, AvailabilityQueries
from availability_pipeline.catalogue.datasets import DATASETS
from availability_pipeline.cli.main import cli
from availability_pipeline.errors import UsageError
from availability_pipeline.queries.columns import COVERAGE_COLUMNS, DatasetRow, columns_of
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.dagster_side import NOW
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

METRICS = "um/metrics"
FIRST, LAST = dt.date(2024, 2, 1), dt.date(2024, 2, 28)

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ObservedServer, Settings]]:
    """The archive, and the settings under which both datasets are published."""
    folder = tmp_path_factory.mktemp("datasets")
    metrics = ScriptedArchive.empty(NOW, DATASETS[METRICS])
    metrics.add_symbol("BTCUSDT", FIRST)
    for number in (10, 11):
        metrics.remove_file("BTCUSDT", dt.date(2024, 2, number))
    with (
        pytest.MonkeyPatch.context() as patch,
        serve(ScriptedArchive.recorded(["BTCUSDT", "ETHUSDT"], NOW), metrics) as server,
    ):
        patch.setattr("availability_pipeline.dates._clock", lambda: NOW)
        server.date = NOW
        settings = Settings.load(server.environment(), data_dir=str(folder))
        for each in (settings, settings.of_dataset(DATASETS[METRICS])):
            pipeline.run_and_publish(each, FIRST, LAST)
        yield server, settings


@pytest.fixture
def folder(site: tuple[ObservedServer, Settings]) -> Path:
    return site[1].data_dir


@pytest.fixture
def run(site: tuple[ObservedServer, Settings]) -> Run:
    def invoke(*arguments: str) -> Result:
        runner = CliRunner(env=site[1].environment())
        return runner.invoke(cli, list(arguments), catch_exceptions=False)

    return invoke


def rows_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_a_question_is_about_the_dataset_that_is_named(run: Run) -> None:
    days = {
        name: rows_of(run("query", "timeline", "btcusdt", *arguments))
        for name, arguments in {"default": (), "metrics": ("--dataset", METRICS)}.items()
    }
    lacking = [row["date"] for row in days["metrics"] if not row["available"]]
    assert (len(days["default"]), lacking) == (28, ["2024-02-10", "2024-02-11"])
    assert days["metrics"][0]["url"].endswith(
        "/data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-02-01.zip"
    )
    assert run("query", "snapshot", "--dataset", METRICS, "2024-02-01").exit_code == 0


def test_every_command_takes_a_dataset(run: Run, tmp_path: Path) -> None:
    chosen = ("--dataset", METRICS)
    status = json.loads(run("status", *chosen).stdout)
    assert (status["symbols"], status["files"]) == (1, 26)
    checks = json.loads(run("validate", *chosen).stdout)["checks"]
    names = {check["name"] for check in checks}
    assert not names & {"volume_consistency", "incomplete_files", "known_delistings"}
    gaps = next(check for check in checks if check["name"] == "gaps")
    assert "`backfill --start 2024-02-10 --end 2024-02-11 --dataset um/metrics`" in gaps["summary"]
    assert run("backup", str(tmp_path / "backups"), *chosen).exit_code == 0
    assert run("compact", *chosen).exit_code == 0
    assert "um/metrics" in run("publish", *chosen).output
    urls = run("urls", "--symbols", "BTCUSDT", *chosen)
    assert urls.stdout.count("-metrics-2024-02-") == 26
    assert run("export", str(tmp_path / "export"), *chosen).exit_code == 0


def test_an_unknown_dataset_is_refused_with_similar_names(run: Run) -> None:
    refused = run("query", "gaps", "--dataset", "um/metric")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "Error: --dataset is 'um/metric', which is not in the catalogue; similar names: um/metrics, cm/metrics; "
        "`datasets` lists it\n"
    )


def test_what_is_not_there_is_said_with_the_command_that_makes_it(run: Run) -> None:
    refused = run("query", "gaps", "--dataset", "spot/klines/1m")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "`binance-futures-availability backfill --dataset spot/klines/1m`" in refused.stderr
    ended = run("update", "2024-03-31", "--dataset", "um/bookTicker")
    assert (ended.exit_code, ended.stderr) == (
        2, "Error: um/bookTicker ended on 2024-03-30, so 2024-03-31 has no file; end there or earlier\n",
    )  # fmt: skip


def test_the_catalogue_is_listed_with_what_is_collected(run: Run) -> None:
    found = {row["dataset"]: row for row in rows_of(run("datasets"))}
    assert list(found) == list(DATASETS)
    assert tuple(found[METRICS]) == columns_of(DatasetRow)
    numbers = ("scheduled", "data_through", "symbols", "files")
    assert [found[METRICS][name] for name in numbers] == [False, "2024-02-28", 1, 26]
    assert [found["um/klines/1m"][name] for name in numbers] == [True, "2024-02-28", 2, 56]
    assert [found["spot/trades"][name] for name in numbers] == [False, None, None, None]
    assert found["um/bookTicker"]["last_day"] == "2024-03-30"
    table = run("datasets", "--format", "table").stdout
    assert table.startswith("125 datasets")


def test_coverage_goes_across_datasets(run: Run, site: tuple[ObservedServer, Settings]) -> None:
    found = rows_of(run("query", "coverage", "btcusdt"))
    assert [tuple(row) for row in found] == [COVERAGE_COLUMNS] * 2
    assert [(row["dataset"], row["file_count"], row["missing_days"]) for row in found] == [
        ("um/klines/1m", 28, 0), (METRICS, 26, 2),
    ]  # fmt: skip
    assert rows_of(run("query", "coverage", "BTCUSDT", "--dataset", METRICS)) == found
    assert [row["dataset"] for row in rows_of(run("query", "coverage", "ETHUSDT"))] == ["um/klines/1m"]
    refused = run("query", "coverage", "BTCUSDC")
    assert (refused.exit_code, "similar names: BTCUSDT" in refused.stderr) == (2, True)
    settings = site[1]
    with AvailabilityQueries(settings=settings, dataset=METRICS) as queries:
        assert queries.get_coverage("BTCUSDT")[0]["first_day"] == FIRST
        assert queries.get_coverage("BTCUSDT").arrow().num_rows == 2
    with pytest.raises(UsageError, match="similar names: um/metrics"):
        AvailabilityQueries(settings=settings, dataset="metrics")
    assert AvailabilityDatabase(settings, METRICS).get_last_update_date() == LAST
    # A file says itself what it is of.
    with AvailabilityQueries(settings.data_dir / "datasets" / METRICS / "availability.duckdb") as queries:
        assert "/metrics/" in queries.get_symbol_availability_timeline("BTCUSDT")[0]["url"]


def test_sql_sees_other_datasets_as_schemas(run: Run, site: tuple[ObservedServer, Settings]) -> None:
    both = f"""
        SELECT date FROM daily_availability AS klines ANTI JOIN
        (FROM "{METRICS}".daily_availability WHERE available) USING (date, symbol)
        WHERE available AND symbol = 'BTCUSDT' ORDER BY date
    """
    assert rows_of(run("query", "sql", both)) == [{"date": "2024-02-10"}, {"date": "2024-02-11"}]
    swapped = 'SELECT count(*) AS n FROM "um/klines/1m".symbols'
    assert rows_of(run("query", "sql", swapped, "--dataset", METRICS)) == [{"n": 2}]
    with AvailabilityQueries(settings=site[1]) as queries:
        assert len(queries.sql(both)) == 2
    for statement in ("DELETE FROM", "UPDATE"):
        text = f'{statement} "{METRICS}".symbols' + (" SET tracked = false" if statement == "UPDATE" else "")
        refused = run("query", "sql", f"{text}; SELECT 1")
        assert (refused.exit_code, "read-only" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["um/klines/1m", METRICS])
def test_beside_a_file_that_is_opened_by_its_path_are_the_other_datasets(
    site: tuple[ObservedServer, Settings], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever the environment says, even if it is of no use."""
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", "/nowhere")
    monkeypatch.setenv("AVAILABILITY_CONNECTIONS", "many")
    path = site[1].of_dataset(name).db_path
    [other] = {"um/klines/1m", METRICS} - {name}
    with AvailabilityQueries(path) as queries:
        assert queries.dataset.name == name
        assert len(queries.get_coverage("BTCUSDT")) == 2
        [found] = queries.sql(f'SELECT count(*) AS files FROM "{other}".daily_availability WHERE available')
        assert found["files"] == {"um/klines/1m": 56, METRICS: 26}[other]
        assert not queries.reload()


def test_a_damaged_database_holds_up_only_questions_about_it(run: Run, folder: Path) -> None:
    damaged = folder / "datasets" / "um" / "bookDepth" / "availability.duckdb"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no database")
    try:
        assert rows_of(run("query", "sql", "SELECT count(*) AS n FROM symbols")) == [{"n": 2}]
        refused = run("query", "sql", 'SELECT count(*) AS n FROM "um/bookDepth".symbols')
        assert (refused.exit_code, "is damaged or not a DuckDB database" in refused.stderr) == (1, True)
        assert run("query", "coverage", "BTCUSDT").exit_code == 1
        remarks = {row["dataset"]: row["remark"] for row in rows_of(run("datasets"))}
        assert "is damaged" in remarks["um/bookDepth"]
    finally:
        damaged.unlink()


def test_names_of_datasets_are_completed() -> None:
    complete = ShellComplete(cli, {}, "binance-futures-availability", "_COMPLETE")
    items = complete.get_completions(["query", "gaps", "--dataset"], "spot/a")
    assert [item.value for item in items] == ["spot/aggTrades"]
    assert "--dataset" in {item.value for item in complete.get_completions(["backup"], "--")}


def test_days_are_collected_in_a_process_of_their_own(
    site: tuple[ObservedServer, Settings], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = site
    # The worker goes by the machine's clock.
    monkeypatch.setattr(server, "date", None)
    done = run("backfill", "--start", "2024-02-27", "--end", "2024-02-28", "--dataset", METRICS)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2024-02-27 to 2024-02-28: 2 rows, 2 files, 0 changed, ")

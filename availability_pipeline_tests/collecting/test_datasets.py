"""The seam between the catalogue and everything else: a second, invented dataset runs whole beside the default one.

It differs in every field of an entry: market, kind, interval, first day, quotes, names of perpetuals, exchangeInfo, and
in that sizes say nothing. The truth is what the simulated archive answers to a HEAD of each row's URL.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest
import requests

from availability_pipeline import AvailabilityQueries
from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.names import FileKey, UnknownName, parse_folder, parse_key
from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, Dataset, Market
from availability_pipeline.collecting import collect
from availability_pipeline.dates import DayRange
from availability_pipeline.defs import launch
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.partitions import days_under_way, range_tags
from availability_pipeline.defs.runs import alone
from availability_pipeline.errors import StoreError
from availability_pipeline.settings import Settings
from availability_pipeline.simulator.listing import _STRAYS
from availability_pipeline.warehouse.database import connect, set_source
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.dagster_side import NOW
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

INVENTED = Dataset(
    market=Market(
        name="xm",
        path="futures/xm",
        quotes=("USD",),
        perpetual_ending="_PERP",
        tracked_quotes=("USD",),
        tracked_contracts=("perpetual", "delivery"),
        exchange_url="https://xapi.binance.com",
        exchange_info_path="/xapi/v1/exchangeInfo",
        exchange_status="contractStatus",
    ),
    kind="markPriceKlines",
    interval="1h",
    first_day=dt.date(2024, 2, 19),
    first_file_day=dt.date(2024, 2, 21),
)
WITHOUT_BARS = replace(DEFAULT_DATASET, kind="metrics", interval=None)

CONTRACTS = ["BTCUSD_240329", "BTCUSD_PERP", "ETHUSD_PERP"]
HISTORY = DayRange(INVENTED.first_day, dt.date(2024, 2, 28))
YESTERDAY = DayRange(dt.date(2024, 2, 29), dt.date(2024, 2, 29))

FLAT, ROWLESS = 8_000, 100
"""Sizes in bytes that mean something for 1-minute klines, and nothing here."""


def make_invented() -> ScriptedArchive:
    """Three contracts whose files are small, one of them tiny."""
    archive = ScriptedArchive.empty(NOW, INVENTED)
    archive.add_symbol("BTCUSD_PERP", INVENTED.first_file_day, live_zip_bytes=FLAT)
    archive.add_symbol("ETHUSD_PERP", INVENTED.first_file_day + dt.timedelta(days=1), live_zip_bytes=FLAT)
    archive.add_symbol(
        "BTCUSD_240329", INVENTED.first_file_day, dt.date(2024, 3, 29), live_zip_bytes=FLAT, kind="delivery"
    )
    for symbol in ("BTCUSD_PERP", "ETHUSD_PERP"):
        for number in range(24, 29):
            archive.replace_file(symbol, dt.date(2024, 2, number), size=FLAT)
    archive.replace_file("BTCUSD_PERP", dt.date(2024, 2, 23), size=ROWLESS)
    return archive


@dataclass(frozen=True)
class Both:
    """Two datasets of one bucket, one data directory and one Dagster instance."""

    server: ObservedServer
    default: Settings
    invented: Settings
    instance: dg.DagsterInstance

    def run(self, settings: Settings, days: DayRange) -> launch.Report:
        """Run the job of a dataset."""
        return launch.run_update(self.instance, settings, days, (), Progress())

    def evaluations(self, report: launch.Report) -> dict[str, dg.AssetCheckEvaluation]:
        """What the checks of a run said, by asset and name."""
        events = [
            entry.dagster_event for entry in self.instance.all_logs(report.run_id) if entry.dagster_event
        ]
        found = [
            event.asset_check_evaluation_data
            for event in events
            if event.event_type_value == "ASSET_CHECK_EVALUATION"
        ]
        return {f"{each.asset_key.to_user_string()}:{each.check_name}": each for each in found}


@pytest.fixture
def both(
    settings_for: SettingsFactory, new_instance: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Both]:
    monkeypatch.setitem(DATASETS, INVENTED.name, INVENTED)
    monkeypatch.setitem(_STRAYS, (INVENTED.root, "BTCUSD_PERP"), ("1h/part-00000-4a6f.zip",))
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: NOW)
    with serve(ScriptedArchive.recorded(["BTCUSDT", "ETHUSDT"], NOW), make_invented()) as server:
        server.date = NOW
        settings = settings_for(
            server, lock_timeout_seconds=0, datasets=f"{DEFAULT_DATASET.name},{INVENTED.name}"
        )
        for variable, value in settings.environment().items():
            monkeypatch.setenv(variable, value)
        shutil.copytree(new_instance, settings.data_dir / "dagster")
        with launch.open_instance(settings.data_dir / "dagster") as instance:
            yield Both(server, settings, settings.of_dataset(INVENTED), instance)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_invented_dataset_is_collected_checked_published_and_queried(both: Both) -> None:
    listed, probed = both.run(both.invented, HISTORY), both.run(both.invented, YESTERDAY)
    assert listed.metadata["daily_availability"]["mode"] == "list"
    assert probed.metadata["daily_availability"]["mode"] == "head"
    check_evaluations(both.evaluations(probed))
    assert listed.metadata["daily_availability"]["stray_keys"] == 1
    said = [entry.user_message for entry in both.instance.all_logs(listed.run_id)]
    [warning] = [text for text in said if text.startswith("Left out 1 key that names no file")]
    assert warning.endswith(": data/futures/xm/daily/markPriceKlines/BTCUSD_PERP/1h/part-00000-4a6f.zip")
    with AvailabilityQueries(settings=both.invented) as queries:
        result = queries.get_availability_range(HISTORY.start, YESTERDAY.end)
        lifecycle = queries.get_lifecycle()
    assert result.arrow().to_pylist() == list(result)
    assert {row["symbol"] for row in result} == set(CONTRACTS)
    seen = {record.path for record in both.server.requests if record.kind == "HEAD"}
    for row in result:
        symbol, day = row["symbol"], row["date"]
        path = f"/data/futures/xm/daily/markPriceKlines/{symbol}/1h/{symbol}-1h-{day}.zip"
        assert row["url"] == both.server.url + path
        assert (path in seen) == (day in YESTERDAY)
        answer = requests.head(row["url"], timeout=10)
        assert answer.status_code == 200
        assert int(answer.headers["Content-Length"]) == row["file_size_bytes"]
    assert [(life["symbol"], life["days"], life["flat_days"], life["end_reason"]) for life in lifecycle] == [
        ("BTCUSD_240329", 9, 0, None), ("BTCUSD_PERP", 9, 0, None), ("ETHUSD_PERP", 8, 0, None),
    ]  # fmt: skip


def check_evaluations(found: Mapping[str, dg.AssetCheckEvaluation]) -> None:
    """All checks of the dataset looked at its data; only the service levels of the last month can miss."""
    prefix = f"{INVENTED.name}/"
    keys = [node.key for node in build_defs().resolve_asset_graph().asset_check_nodes]
    own = {f"{key.asset_key.to_user_string()}:{key.name}" for key in keys if len(key.asset_key.path) > 1}
    assert found.keys() == own
    assert all(key.startswith(prefix) for key in own)
    named = {key.rpartition(":")[2]: evaluation for key, evaluation in found.items()}
    assert {name for name, evaluation in named.items() if not evaluation.passed} <= {"service_levels"}
    assert named["exchange_info"].metadata["recall"].value == 1.0
    assert named["exchange_info"].metadata["trading"].value == 2
    assert named["history_continuity"].metadata["days"].value == 11
    assert named["rowless_files"].metadata["rowless"].value == 0


def test_neither_touches_the_data_of_the_other(both: Both) -> None:
    days = DayRange(dt.date(2024, 2, 27), dt.date(2024, 2, 28))
    own = both.invented.dataset_dir
    pipeline.run_and_publish(both.invented, HISTORY.start, HISTORY.end)
    before = files_below(own)
    both.run(both.default, days)
    assert files_below(own) == before
    top = files_of_default(both)
    both.run(both.invented, YESTERDAY)
    assert files_of_default(both) == top
    assert own == both.default.data_dir / "datasets" / "xm" / "markPriceKlines" / "1h"
    held = [
        pipeline.query(settings, "SELECT DISTINCT symbol FROM daily_availability ORDER BY symbol")
        for settings in (both.default, both.invented)
    ]
    assert held == [[("BTCUSDT",), ("ETHUSDT",)], [(symbol,) for symbol in CONTRACTS]]
    with AvailabilityQueries(settings=both.default) as queries:
        assert all(
            "/um/daily/klines/" in row["url"] for row in queries.get_available_symbols_on_date("2024-02-28")
        )


def files_of_default(both: Both) -> dict[str, bytes]:
    found = files_below(both.default.data_dir)
    return {
        name: content for name, content in found.items() if not name.startswith(("dagster/", "datasets/"))
    }


def test_rows_of_another_dataset_are_refused(both: Both) -> None:
    pipeline.run(both.invented, YESTERDAY.start)
    before = pipeline.table(both.invented)
    refused = pytest.raises(
        StoreError, match="has rows of xm/markPriceKlines/1h, and these are of um/klines/1m"
    )
    with connect(both.invented.working_path) as connection, refused:
        set_source(connection, DEFAULT_DATASET, both.server.url)
    assert pipeline.table(both.invented) == before


@pytest.mark.usefixtures("both")
def test_definitions_of_both_load_side_by_side() -> None:
    repository = build_defs().get_repository_def()
    names = ("availability_update", "daily_availability_schedule", "publication_watch")
    job, schedule, sensor = ({name, f"xm_markPriceKlines_1h_{name}"} for name in names)
    assert set(repository.job_names) == {*job, "remove_old_runs", "__ASSET_JOB"}
    assert {each.name for each in repository.schedule_defs} == schedule
    assert {each.name for each in repository.sensor_defs} == {*sensor, "failure_alerts"}
    keys = {key.to_user_string() for key in build_defs().resolve_asset_graph().get_all_asset_keys()}
    assets = {"symbols", "daily_availability", "symbol_lifecycle", "published_database", "report"}
    assert keys == assets | {"daily_volume", "file_contents"} | {
        f"{INVENTED.name}/{asset}" for asset in assets
    }
    for name, pool, count in (
        ("availability_update", "working_database", 13),
        ("xm_markPriceKlines_1h_availability_update", "xm_markPriceKlines_1h_working_database", 9),
    ):
        nodes = build_defs().resolve_job_def(name).nodes
        assert {each for node in nodes for each in node.definition.pools} == {pool}
        assert len(nodes) == count


def test_a_run_of_one_neither_waits_for_the_other_nor_counts_as_its_own(both: Both) -> None:
    job = build_defs().resolve_job_def("availability_update")
    both.instance.create_run_for_job(job, tags=range_tags(HISTORY), status=dg.DagsterRunStatus.STARTED)
    assert days_under_way(both.instance, DEFAULT_DATASET) == set(HISTORY)
    assert days_under_way(both.instance, INVENTED) == set()
    with alone(both.instance, both.default, "another", lambda _: None):
        assert both.run(both.invented, YESTERDAY).run_id


def test_the_schedule_and_the_sensor_of_an_invented_dataset_look_at_its_data(both: Both) -> None:
    repository = build_defs().get_repository_def()
    pipeline.run_and_publish(both.invented, HISTORY.start, HISTORY.end - dt.timedelta(days=1))
    schedule = repository.get_schedule_def("xm_markPriceKlines_1h_daily_availability_schedule")
    with dg.build_schedule_context(
        instance=both.instance,
        scheduled_execution_time=dt.datetime(2024, 3, 1, 2, tzinfo=dt.UTC),
        resources=dict(build_defs().resources or {}),
        repository_def=repository,
    ) as context:
        requests_of_tick = schedule.evaluate_tick(context).run_requests or ()
    assert [request.partition_key for request in requests_of_tick] == ["2024-02-29", None]
    assert requests_of_tick[1].tags["dagster/asset_partition_range_start"] == "2024-02-19"
    sensor = repository.get_sensor_def("xm_markPriceKlines_1h_publication_watch")
    with dg.build_sensor_context(
        instance=both.instance, resources=dict(build_defs().resources or {}), repository_def=repository
    ) as context:
        requested = sensor.evaluate_tick(context).run_requests or ()
    assert {record.symbol for record in both.server.requests if record.kind == "HEAD"} <= set(CONTRACTS)
    assert len(requested) == 1


def test_settings_of_another_dataset_come_from_its_entry(tmp_path: Path) -> None:
    settings = Settings.load({"AVAILABILITY_PUBLISH_URL": "s3://bucket/data"}, data_dir=str(tmp_path))
    other = settings.of_dataset(INVENTED)
    assert settings.of_dataset(DEFAULT_DATASET) is settings
    assert (other.fapi_url, other.tracked_quotes) == ("https://xapi.binance.com", ("USD",))
    assert other.publish_url == "s3://bucket/data/datasets/xm/markPriceKlines/1h"
    assert other.db_path == tmp_path / "datasets/xm/markPriceKlines/1h/availability.duckdb"
    elsewhere = replace(settings, fapi_url="http://mirror").of_dataset(INVENTED)
    assert elsewhere.fapi_url == "http://mirror"


def test_files_without_an_interval_are_listed_and_probed_alike(
    settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, WITHOUT_BARS.name, WITHOUT_BARS)
    archive = ScriptedArchive.empty(NOW, WITHOUT_BARS)
    archive.add_symbol("BTCUSDT", dt.date(2024, 2, 20))
    archive.add_symbol("ETHUSDT", dt.date(2024, 2, 27))
    archive.remove_file("BTCUSDT", dt.date(2024, 2, 26))
    days = DayRange(dt.date(2024, 2, 25), dt.date(2024, 2, 28))
    tables = []
    with serve(archive) as server:
        for name, parts in {"listed": [days], "probed": [DayRange(day, day) for day in days]}.items():
            settings = settings_for(server, data_dir=f"{settings_for().data_dir}/{name}").of_dataset(
                WITHOUT_BARS
            )
            for part in parts:
                pipeline.run(settings, part.start, part.end)
            tables.append(pipeline.table(settings))
    assert tables[0] == tables[1]
    assert [(day.day, symbol) for day, symbol, available, *_ in tables[0] if not available] == [
        (25, "ETHUSDT"), (26, "BTCUSDT"), (26, "ETHUSDT"),
    ]  # fmt: skip


def test_stray_keys_are_told(settings_for: SettingsFactory) -> None:
    dataset = DATASETS["um/aggTrades"]
    archive = ScriptedArchive.recorded(["BTCUSDT", "LUNAUSDT"], NOW, dataset)
    with serve(archive) as server:
        settings = settings_for(server).of_dataset(dataset)
        pipeline.discover(settings)
        days = DayRange(dt.date(2022, 5, 1), NOW.date() - dt.timedelta(days=1))
        with connect(settings.working_path) as connection:
            plan = collect.plan_collection(connection, days)
        collected = collect.collect(plan, settings, Progress())
    names = "BTCUSDT/part-00000-4a6f5e8c-c000.zip", "LUNAUSDT/LUNAUSDT-aggTrades-2022-5.zip"
    assert collected.strays == tuple(f"{dataset.root}{name}" for name in names)
    assert collected.files.num_rows == len(days) + 13


@pytest.mark.parametrize(
    ("dataset", "key"),
    [
        (INVENTED, "data/futures/xm/daily/markPriceKlines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2024-02-29.zip"),
        (WITHOUT_BARS, "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-02-29.zip"),
    ],
)
def test_keys_of_other_shapes_are_built_and_read(dataset: Dataset, key: str) -> None:
    symbol = key.split("/")[5]
    day = dt.date(2024, 2, 29)
    assert dataset.key(symbol, day) == key
    assert parse_key(dataset, f"{key}.CHECKSUM") == FileKey(symbol, day, checksum=True)
    assert parse_folder(dataset, f"{dataset.root}{symbol}/").quote == dataset.market.tracked_quotes[0]
    assert dataset.file_url("http://host", symbol, day) == f"http://host/{key}"
    with pytest.raises(UnknownName):
        parse_key(DEFAULT_DATASET, key)

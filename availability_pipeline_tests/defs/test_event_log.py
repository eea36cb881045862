"""The storage of Dagster's records answers as Dagster's own does after the same runs, whatever ends its process."""

import ast
import hashlib
import inspect
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.events import DagsterEventBatchMetadata
from dagster._core.instance.methods.event_methods import EventMethods
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from availability_pipeline.defs.event_log import KEPT, BatchingEventLogStorage
from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.defs.batches import SIZE, Batch, batch_of

OURS = {"custom": {"module": "availability_pipeline.defs.event_log", "class": "BatchingSqliteStorage"}}
DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-21")
KEYS = DAYS.get_partition_keys()
CREATED = {"create_timestamp", "update_timestamp", "migration_completed"}
"""Columns with the moment at which a row was written."""

INTERNALS = {
    SqliteEventLogStorage._connect: "ce1472f28f00b5b0",
    SqliteEventLogStorage._initdb: "1e5ea18cef47392d",
    SqliteEventLogStorage.store_event: "ff734344bcd7fc14",
    SqlEventLogStorage._event_to_row: "a77fd2ed9747f760",
    SqlEventLogStorage._store_asset_event: "d575dd4cd9d82c75",
    SqlEventLogStorage._store_asset_event_tags: "40508d6663f8ca0a",
    DagsterSqliteStorage.__init__: "e5e3766fcdc627bb",
    EventMethods.handle_new_event: "e2d6f0db0c5ed265",
}
"""What the storage replaces, calls or relies on, and the digest of its code when that was last compared."""


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def days(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    for key in context.partition_keys:
        context.add_asset_metadata({"number": int(key[-2:])}, partition_key=key)
    context.log_event(dg.AssetObservation("days", partition=context.partition_keys[0], tags={"seen": "yes"}))
    if context.run.tags.get("fails"):
        raise dg.Failure("it was to fail")
    return dg.MaterializeResult(metadata={"rows": 7}, tags={"kind": "test"}, data_version=dg.DataVersion("1"))


@dg.asset(deps=[days])
def whole() -> None:
    """What depends on all days."""


@dg.asset_check(asset=days)
def even(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=context.run.tags.get("odd") is None, metadata={"number": 1})


@dg.asset_check(asset=whole, blocking=True)
def complete() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


JOB = dg.Definitions(
    assets=[days, whole], asset_checks=[even, complete], jobs=[dg.define_asset_job("job")]
).resolve_job_def("job")


@contextmanager
def opened(folder: Path, storage: dict[str, Any] | None) -> Iterator[dg.DagsterInstance]:
    """The instance of a folder, with Dagster's own storage if None."""
    folder.mkdir(exist_ok=True)
    config = {"telemetry": {"enabled": False}, **({"storage": storage} if storage else {})}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def ours_in(folder: Path) -> dict[str, Any]:
    return {"custom": {**OURS["custom"], "config": {"base_dir": str(folder)}}}


def run(instance: dg.DagsterInstance, first: int, last: int, **tags: str) -> str:
    """A run of the days with those numbers; its id."""
    result = JOB.execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": KEYS[first],
            "dagster/asset_partition_range_end": KEYS[last],
            **tags,
        },
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    assert result.success is ("fails" not in tags)
    return result.run_id


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """What an instance with Dagster's own storage was told by some runs, in its folder `stock`; batches of up to 8."""
    told: list[Batch] = []
    single, batch = SqliteEventLogStorage.store_event, SqliteEventLogStorage.store_event_batch
    inside = threading.local()

    def store_event(self: SqliteEventLogStorage, event: dg.EventLogEntry) -> None:
        if not getattr(inside, "batch", False):
            told.append([event])
        single(self, event)

    def store_event_batch(self: SqliteEventLogStorage, events: Sequence[dg.EventLogEntry]) -> None:
        told.append(list(events))
        inside.batch = True
        try:
            batch(self, events)
        finally:
            inside.batch = False

    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "8")
    with monkeypatch.context() as patched, opened(tmp_path / "stock", None) as instance:
        patched.setattr(SqliteEventLogStorage, "store_event", store_event)
        patched.setattr(SqliteEventLogStorage, "store_event_batch", store_event_batch, raising=False)
        run(instance, 0, 9)
        run(instance, 5, 12, odd="yes")
        run(instance, 13, 15, fails="yes")
        run(instance, 0, 0)
        instance.report_runless_asset_event(dg.AssetMaterialization("days", partition=KEYS[16]))
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=dg.AssetKey("whole"), check_name="complete", passed=False)
        )
    assert max(map(len, told)) == 8
    return told


def store(storage: SqliteEventLogStorage, batches: Sequence[Batch]) -> None:
    for batch in batches:
        if len(batch) == 1:
            storage.store_event(batch[0])
        else:
            storage.store_event_batch(batch)


def content(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """All rows of all tables of all databases of events, without the moment at which they were written."""
    found: dict[str, dict[str, list[Any]]] = {}
    for path in sorted((folder / "history" / "runs").glob("*.db")):
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            found[path.name] = {
                table: [
                    {key: row[key] for key in row.keys() if key not in CREATED}  # noqa: SIM118 - rows iterate values
                    for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")
                ]
                for table in tables
            }
    return found


def timeless(found: object) -> str:
    """What was found, without the moment at which it was written."""
    return re.sub(r"create_timestamp=[\d.]+", "", repr(found))


def answers(instance: dg.DagsterInstance) -> list[Any]:
    """What the UI, sensors and checks ask about runs, partitions, assets and checks."""
    storage, asset, keys = (
        instance.event_log_storage,
        dg.AssetKey("days"),
        [even.check_key, complete.check_key],
    )
    runs = sorted(run.run_id for run in instance.get_runs())
    kinds = dg.DagsterEventType
    return [
        instance.get_materialized_partitions(asset),
        instance.get_asset_keys(),
        storage.get_asset_records(),
        instance.get_latest_materialization_event(asset),
        instance.get_latest_materialization_events([asset, whole.key]),
        instance.fetch_materializations(asset, limit=100),
        instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=KEYS[3:8]), limit=3),
        instance.fetch_observations(asset, limit=100),
        instance.fetch_run_status_changes(kinds.RUN_SUCCESS, limit=100),
        instance.fetch_run_status_changes(kinds.RUN_FAILURE, limit=100),
        storage.get_latest_planned_materialization_info(asset, KEYS[14]),
        storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset),
        storage.get_latest_storage_id_by_partition(asset, kinds.ASSET_MATERIALIZATION),
        storage.get_latest_tags_by_partition(asset, kinds.ASSET_MATERIALIZATION, ["dagster/data_version"]),
        storage.get_event_tags_for_asset(asset),
        [timeless(storage.get_asset_check_execution_history(key, limit=100)) for key in keys],
        timeless(storage.get_latest_asset_check_execution_by_key(keys)),
        timeless(storage.get_asset_check_summary_records(keys)),
        storage.get_maximum_record_id(),
        [storage.get_logs_for_run(run) for run in runs],
        [
            storage.get_records_for_run(run, of_type=kinds.STEP_SUCCESS, limit=2, ascending=False)
            for run in runs
        ],
        [storage.get_stats_for_run(run) for run in runs],
        [storage.get_step_stats_for_run(run) for run in runs],
        [instance.get_event_records(dg.EventRecordsFilter(kinds.STEP_START), limit=7)],
    ]


@pytest.mark.filterwarnings("ignore:.*get_event_records")
def test_the_same_runs_leave_the_same_rows_and_answers(tmp_path: Path, history: list[Batch]) -> None:
    stock, ours = tmp_path / "stock", tmp_path / "ours"
    shutil.copytree(stock, ours, ignore=shutil.ignore_patterns("runs"))  # whose runs are in another storage
    with opened(stock, None) as theirs, opened(ours, ours_in(ours)) as instance:
        store(instance.event_log_storage, history)
        assert content(ours) == content(stock)
        assert answers(instance) == answers(theirs)
        for storage in (theirs.event_log_storage, instance.event_log_storage):
            storage.wipe_asset(dg.AssetKey("whole"))
            storage.wipe_asset_cached_status(dg.AssetKey("days"))
            storage.delete_events(history[0][0].run_id)
        assert answers(instance) == answers(theirs)
        for storage in (theirs.event_log_storage, instance.event_log_storage):
            storage.wipe()
        assert answers(instance) == answers(theirs)
    with opened(ours, None) as instance:
        assert instance.get_asset_keys() == []


@contextmanager
def writer(folder: Path, run_id: str, count: int, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that stores batches and prints a line after each."""
    program = f"""
from availability_pipeline.defs.event_log import BatchingSqliteStorage
from availability_pipeline_tests.defs.batches import batch_of
storage = BatchingSqliteStorage({str(folder)!r}).event_log_storage
for number in range({count}):
    {before or "pass"}
    storage.store_event_batch(batch_of({run_id!r}, number))
    print("stored", flush=True)
storage.dispose()
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def partitions_in(path: Path) -> list[str]:
    """The partitions of all events of a database, in order."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return [key for (key,) in connection.execute("SELECT partition FROM event_logs ORDER BY id")]


def expected(run_id: str, count: int) -> list[str]:
    return [f"{run_id}-{number}-{each}" for number in range(count) for each in range(SIZE)]


def test_two_processes_write_while_a_third_reads(tmp_path: Path) -> None:
    logs = tmp_path / "history" / "runs"
    with (
        opened(tmp_path, None) as instance,
        writer(tmp_path, "a", 10) as one,
        writer(tmp_path, "b", 10) as other,
    ):
        seen = 0
        assert one.stdout
        assert one.stdout.readline() == "stored\n"  # until then there is nothing to read
        while one.poll() is None or other.poll() is None:
            found = len(instance.get_materialized_partitions(dg.AssetKey("days")))
            assert found >= seen
            assert found % SIZE == 0
            seen = found
        assert (one.returncode, other.returncode) == (0, 0)
    assert partitions_in(logs / "a.db") == expected("a", 10)
    assert partitions_in(logs / "b.db") == expected("b", 10)
    assert sorted(partitions_in(logs / "index.db")) == sorted(expected("a", 10) + expected("b", 10))


def test_a_killed_process_leaves_whole_batches_and_the_next_goes_on(tmp_path: Path) -> None:
    logs = tmp_path / "history" / "runs"
    with writer(tmp_path, "a", 10_000) as process:
        assert process.stdout
        told = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert told == ["stored\n"] * 3
    in_run, in_index = partitions_in(logs / "a.db"), partitions_in(logs / "index.db")
    assert in_run == expected("a", len(in_run) // SIZE)
    assert len(in_run) >= 3 * SIZE
    assert len(in_run) - len(in_index) in (0, SIZE)
    assert in_run[: len(in_index)] == in_index
    with opened(tmp_path, ours_in(tmp_path)) as instance:
        run(instance, 0, 1)
        assert {*KEYS[:2], *in_index} == instance.get_materialized_partitions(dg.AssetKey("days"))


FULL = """
    import resource, os
    if number == 2:
        used = max(os.path.getsize(entry) for entry in os.scandir(storage._base_dir))
        resource.setrlimit(resource.RLIMIT_FSIZE, (used + 8192, resource.RLIM_INFINITY))
        try:
            storage.store_event_batch(batch_of("a", number))
        except Exception as error:
            print(type(error).__name__, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
""".strip()


def test_a_full_disk_takes_no_part_of_a_batch(tmp_path: Path) -> None:
    logs = tmp_path / "history" / "runs"
    with writer(tmp_path, "a", 4, FULL) as process:
        assert process.stdout
        told = process.stdout.read().split()
        assert process.wait() == 0
    assert told == ["stored", "stored", "OperationalError", "stored", "stored"]
    assert partitions_in(logs / "index.db") == expected("a", 4)
    assert partitions_in(logs / "a.db") == expected("a", 4)


def test_who_watches_a_run_is_told_of_what_another_process_stores(tmp_path: Path) -> None:
    told: list[str] = []
    enough = threading.Event()

    def tell(event: dg.EventLogEntry, _cursor: str) -> None:
        told.append(str(event.get_dagster_event().partition))
        if len(told) >= 2 * SIZE:
            enough.set()

    with opened(tmp_path, None) as instance, opened(tmp_path / "other", ours_in(tmp_path)) as other:
        other.event_log_storage.store_event_batch(batch_of("a", 0))
        instance.watch_event_logs("a", None, tell)
        other.event_log_storage.store_event_batch(batch_of("a", 1))
        assert enough.wait(120)
        instance.end_watch_event_logs("a", tell)
    assert told == expected("a", 2)


def test_what_it_rests_on_is_as_it_was() -> None:
    """Dagster changed what is named: compare it with event_log.py, and note the digest of the new code here."""
    found = {}
    for function in INTERNALS:
        [code] = ast.parse("if True:\n" + inspect.getsource(function)).body
        found[function] = hashlib.sha256(ast.unparse(code.body).encode()).hexdigest()[:16]  # type: ignore[attr-defined]
    assert found == INTERNALS


def test_dagster_hands_over_planned_and_recorded_days_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    sizes: list[int] = []
    stored = BatchingEventLogStorage.store_event_batch

    def store_event_batch(self: BatchingEventLogStorage, events: Batch) -> None:
        sizes.append(len(events))
        stored(self, events)

    monkeypatch.setattr(BatchingEventLogStorage, "store_event_batch", store_event_batch)
    with opened(tmp_path, ours_in(tmp_path)) as instance:
        run(instance, 0, 19)
    assert sizes == [len(KEYS) + 3, len(KEYS)]  # with the planned asset without partitions, and two checks


def test_a_closed_instance_has_no_file_open(tmp_path: Path) -> None:
    with opened(tmp_path, ours_in(tmp_path)) as instance:
        for day in range(KEPT + 1):
            run(instance, day, day)
        assert 0 < len(set(open_files(tmp_path / "history" / "runs"))) <= 3 * KEPT
    assert open_files(tmp_path) == []
    assert list(tmp_path.rglob("*-wal")) == []


def open_files(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [link for link in links if link.startswith(str(folder))]


def test_a_batch_that_fails_is_stored_event_by_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """So does Dagster; nothing of the batch may be there by then."""
    original = BatchingEventLogStorage._store_asset_event

    def fail_once(*_: object) -> None:
        monkeypatch.setattr(BatchingEventLogStorage, "_store_asset_event", original)
        raise sqlite3.OperationalError("it was to fail")

    with opened(tmp_path, ours_in(tmp_path)) as instance:
        monkeypatch.setattr(BatchingEventLogStorage, "_store_asset_event", fail_once)
        for event in (batch := batch_of("a", 0)):
            instance.handle_new_event(
                event, batch_metadata=DagsterEventBatchMetadata("a", event is batch[-1])
            )
    assert "it was to fail" in capfd.readouterr().err
    logs = tmp_path / "history" / "runs"
    assert partitions_in(logs / "a.db") == partitions_in(logs / "index.db") == expected("a", 1)


def test_the_events_alone_can_be_configured(tmp_path: Path) -> None:
    """With the records of runs elsewhere, as `event_log_storage` of dagster.yaml allows it."""
    ours = {"module": "availability_pipeline.defs.event_log", "class": "BatchingEventLogStorage"}
    config = {"event_log_storage": {**ours, "config": {"base_dir": str(tmp_path / "events")}}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run(instance, 0, 1)
        assert instance.get_materialized_partitions(dg.AssetKey("days")) == {*KEYS[:2]}
    assert (tmp_path / "events" / "index.db").exists()
    assert (tmp_path / "history" / "runs.db").exists()

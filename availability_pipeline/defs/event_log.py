"""Dagster's SQLite storage with kept connections and real batches: `storage` in dagster.yaml names it.

Files, tables and rows are those of `storage: sqlite`, so either of the two reads and continues what the other wrote.
Dagster's own opens a database anew for each access, and stores each event of a batch in two transactions of its own.

The only module that imports private modules of Dagster. It rests on this in them, which test_event_log.py watches:

- `SqliteEventLogStorage` opens a shard in `_connect` only, after `_initdb` if it is not in `_initialized_dbs`;
- `store_event` takes all its connections from there, and stores an event of an asset as `_event_to_row` of the run, the
  same in the index, its tags by `_store_asset_event_tags`, and what is known of the asset by `_store_asset_event`;
- `DagsterSqliteStorage` keeps it in `_event_log_storage`, in the folder `history/runs`;
- an instance sends batches if DAGSTER_EVENT_BATCH_SIZE is set, and their events one by one if a batch fails.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

BATCH_SIZE = 1000
"""Events of a batch where DAGSTER_EVENT_BATCH_SIZE does not say: what a `kill -9` loses at most."""

KEPT = 4
"""Databases kept open: the index and those of the last runs. Each takes three file descriptors."""


_OF_ASSETS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
}
"""Events that are in both databases and in the table of assets, and in no other."""


class BatchingEventLogStorage(SqliteEventLogStorage):
    """The events of runs: a database of each run, and the index of all.

    With `synchronous=NORMAL` and the write-ahead log, a crash of the machine can lose the last transactions but not
    damage a database; a crash of the process loses nothing that was stored.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._lock = threading.RLock()
        self._engines: dict[str, sqlalchemy.Engine] = {}
        self._in_use: dict[str, sqlalchemy.Connection] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)
        # Read by the instance at each event, in this process and in those that it starts.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> BatchingEventLogStorage:
        return cls(inst_data=inst_data, **config_value)

    def store_event(self, event: dg.EventLogEntry) -> None:
        super().store_event(event)
        self._announce(event.run_id)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events of a run as `store_event` does, in one transaction of its database and one of the index.

        The run's is committed first. Of each asset, only the newest event of a kind gets into the table of assets.
        """
        run_id = events[0].run_id
        # Held throughout, so that no other thread's event joins the transactions.
        with self._lock, self.index_connection() as index, self.run_connection(run_id) as run:
            for of_assets, some in groupby(events, lambda event: event.dagster_event_type in _OF_ASSETS):
                if of_assets:
                    self._store_asset_events(run, index, list(some))
                else:
                    for event in some:
                        super().store_event(event)
        self._announce(run_id)

    def _store_asset_events(
        self, run: sqlalchemy.Connection, index: sqlalchemy.Connection, events: Sequence[dg.EventLogEntry]
    ) -> None:
        """Store them in both databases, all rows of each by one statement."""
        rows = [self._event_to_row(event) for event in events]
        for connection in (run, index):
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        # No other transaction can write in between, so the ids are consecutive.
        last = index.execute(sqlalchemy.select(sqlalchemy.func.last_insert_rowid())).scalar_one()
        ids = range(last + 1 - len(rows), last + 1)
        self._store_asset_event_tags(index, events, ids)
        newest = {
            (row["asset_key"], row["dagster_event_type"]): each
            for row, each in zip(rows, zip(events, ids, strict=True), strict=True)
        }
        for event, event_id in newest.values():
            self._store_asset_event(index, event, event_id)

    def _announce(self, run_id: str) -> None:
        """Touch the run's file, which the UI watches; a transaction changes the write-ahead log only."""
        with suppress(FileNotFoundError):
            os.utime(self.path_for_shard(run_id))

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        """A transaction, which accesses to the same database within it join."""
        with self._lock:
            if shard in self._in_use:
                yield self._in_use[shard]
                return
            engine = self._kept(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                self._in_use[shard] = connection
                try:
                    yield connection
                finally:
                    del self._in_use[shard]

    def _kept(self, shard: str) -> sqlalchemy.Engine:
        engine = self._engines.pop(shard, None) or self._opened(shard)
        self._engines[shard] = engine
        while len(self._engines) > KEPT:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def _opened(self, shard: str) -> sqlalchemy.Engine:
        engine = sqlalchemy.create_engine(
            self.conn_string_for_shard(shard),
            pool_size=1,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
        )
        sqlalchemy.event.listen(engine, "connect", _synchronize_less)
        return engine

    def has_table(self, table_name: str) -> bool:
        """Whether the index has the table; no table is ever removed."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def delete_events(self, run_id: str) -> None:
        super().delete_events(run_id)
        self._close(run_id)  # its file may be removed now

    def wipe(self) -> None:
        self._close(*self._engines)
        super().wipe()

    def dispose(self) -> None:
        self._close(*self._engines)
        super().dispose()

    def _close(self, *shards: str) -> None:
        with self._lock:
            for shard in shards:
                if engine := self._engines.pop(shard, None):
                    engine.dispose()


def _synchronize_less(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


class BatchingSqliteStorage(DagsterSqliteStorage):
    """Dagster's records in SQLite, with the events in the storage above; configured like `sqlite`, by `base_dir`."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchingEventLogStorage(str(Path(base_dir, "history", "runs")))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> BatchingSqliteStorage:
        return cls.from_local(inst_data=inst_data, **config_value)

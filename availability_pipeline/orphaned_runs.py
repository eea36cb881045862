"""Runs that have the working database to themselves, and what those that died have left in Dagster's records.

The lock of the data directory decides whose turn it is; the pool shows it in the UI. Dagster keeps the slot of a run
that was killed, and sometimes of one that failed, and every later step would wait for it: the run that holds the lock
frees such slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import dagster as dg

from availability_pipeline.errors import DatabaseInUse
from availability_pipeline.settings import Settings
from availability_pipeline.store.lock import Holder, hold

WRITERS_POOL = "working_database"
"""The pool that all writers share; its limit is 1."""


@contextmanager
def alone(
    instance: dg.DagsterInstance, settings: Settings, run_id: str, tell: Callable[[str], object]
) -> Iterator[None]:
    """Hold the lock of the data directory for a run, with nothing in Dagster's records that it would wait for.

    Args:
        instance: Where the run is recorded.
        settings: Whose data directory, and how long to wait for another run.
        run_id: The run.
        tell: Called with a sentence about each run that is waited for or ended.

    Raises:
        DatabaseInUse: Another run holds the lock still.
        StoreError: The lock cannot be taken at all.
    """
    with hold(settings.working_path.parent, run_id, settings.lock_timeout_seconds, tell) as died:
        _end(instance, died, tell)
        _free_slots(instance, run_id)
        yield


def end_orphaned_run(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Do the same for a run whose process was killed, unless another one has begun meanwhile, which has done it.

    Raises:
        StoreError: The lock cannot be taken at all.
    """
    if not settings.working_path.parent.exists():
        return
    with (
        suppress(DatabaseInUse),
        alone(instance, replace(settings, lock_timeout_seconds=0), "", lambda _: None),
    ):
        pass


def _end(instance: dg.DagsterInstance, died: Holder | None, tell: Callable[[str], object]) -> None:
    run = instance.get_run_by_id(died.run_id) if died else None
    if run and not run.is_finished:
        instance.report_run_failed(
            run, "The process of this run is gone. What it had not completed was not written."
        )
        tell(f"Ended the {died}, whose process is gone.")


def _free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free what other runs hold of the pool or are waiting for: none of them can be writing now.

    One on another data directory that shares the instance goes on as before; it has no need of its slot.
    """
    storage = instance.event_log_storage
    pool = storage.get_concurrency_info(WRITERS_POOL)
    owners = {slot.run_id for slot in pool.claimed_slots} | {step.run_id for step in pool.pending_steps}
    for owner in owners - {run_id}:
        storage.free_concurrency_slots_for_run(owner)

"""The writers' lock of a data directory: who holds it, and waiting for that run.

The operating system releases the lock with its process (decision 19).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from availability_pipeline.dates import utc_now
from availability_pipeline.errors import DatabaseInUse, StoreError
from availability_pipeline.warehouse.opening import ELSEWHERE, make_folders

POLL_SECONDS = 0.5
"""Interval at which the lock is tried."""


@dataclass(frozen=True)
class Holder:
    """A run that holds the lock, or died while holding it."""

    run_id: str
    process: int
    """Process id, not unique across containers."""
    host: str
    since: str
    """UTC, such as `2026-11-26 02:00:05`."""

    def __str__(self) -> str:
        return f"run {self.run_id[:8]} (process {self.process} on {self.host}, since {self.since} UTC)"


@contextmanager
def hold(
    folder: Path, run_id: str, timeout_seconds: float, tell: Callable[[str], object] = lambda _: None
) -> Iterator[Holder | None]:
    """Hold the lock of a folder; reentrant within a process.

    Args:
        folder: That of the working database; created if missing.
        run_id: The run that holds it.
        timeout_seconds: How long to wait for another run.
        tell: Called with a sentence before waiting.

    Yields:
        The last holder if it died while holding the lock, otherwise None.

    Raises:
        DatabaseInUse: Another run still holds it.
        StoreError: The lock file cannot be used.
    """
    make_folders(folder, mode=0o700)
    # One object per process, so that a run within a process that holds the lock does not wait for itself.
    lock, note = FileLock(folder / "run.lock", is_singleton=True, thread_local=False), folder / "run.json"
    _acquire(lock, note, timeout_seconds, tell)
    try:
        if lock.lock_counter > 1:
            yield None
            return
        died = _noted(note)
        _write(note, run_id)
        try:
            yield died
        finally:
            with suppress(OSError):
                note.unlink()
    finally:
        lock.release()


def _acquire(lock: FileLock, note: Path, timeout_seconds: float, tell: Callable[[str], object]) -> None:
    try:
        with suppress(Timeout):
            lock.acquire(timeout=0)
            return
        tell(f"Waiting for the {_described(note)}, which is writing to the same database.")
        lock.acquire(timeout=timeout_seconds, poll_interval=POLL_SECONDS)
    except Timeout:
        raise DatabaseInUse(
            f"{note.parent} is still held by the {_described(note)} after {timeout_seconds:g} s; wait for that run or "
            "end it, or allow more time with AVAILABILITY_LOCK_TIMEOUT_SECONDS"
        ) from None
    except OSError as error:
        raise StoreError(f"{lock.lock_file} cannot be locked ({error.strerror}); {ELSEWHERE}") from error


def _described(note: Path) -> str:
    return str(_noted(note) or "run of another process")


def _noted(note: Path) -> Holder | None:
    try:
        return Holder(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # missing or incomplete
        return None


def _write(note: Path, run_id: str) -> None:
    holder = Holder(run_id, os.getpid(), socket.gethostname(), utc_now().isoformat(" ", "seconds"))
    # The note only improves messages; no run fails without it.
    with suppress(OSError):
        note.write_text(json.dumps(asdict(holder)), encoding="utf-8")

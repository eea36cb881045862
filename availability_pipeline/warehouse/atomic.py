"""Atomic writes: a draft beside the target that is renamed when complete, and removal of drafts of killed processes.

A writer holds a file lock beside its draft, which the operating system releases when the process dies, also in another
container. Only unlocked drafts are removed.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_DRAFT = re.compile(r"\.[0-9a-f]{8}\.new")


@contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """A path beside the target for a new file or folder, removed at the end unless it was renamed."""
    remove_dead_drafts(target)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.new")
    lock = _lock_of(draft)
    # Without a folder, writing the draft gives the better error; filelock would create it.
    if draft.parent.is_dir():
        with suppress(OSError):
            lock.acquire()
    try:
        yield draft
    finally:
        _remove_all(draft)
        lock.release()


def remove_dead_drafts(target: Path) -> None:
    """Remove the drafts of dead processes, with the files that DuckDB put beside them."""
    before = f".{target.name}"
    found = target.parent.glob(f"{glob.escape(before)}.*.new*")
    matches = ((file, _DRAFT.match(file.name, len(before))) for file in found)
    for draft in {file.with_name(file.name[: match.end()]) for file, match in matches if match}:
        with suppress(Timeout, OSError), _lock_of(draft).acquire(timeout=0):
            _remove_all(draft)


def _lock_of(draft: Path) -> FileLock:
    return FileLock(f"{draft}.lock")


def _remove_all(draft: Path) -> None:
    for file in draft.parent.glob(f"{glob.escape(draft.name)}*"):
        _remove(file)


def _remove(file: Path) -> None:
    # A leftover costs space only.
    with suppress(OSError):
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file, ignore_errors=True)  # also after a file that a thread has removed meanwhile
        else:
            file.unlink()


def sync(path: Path) -> None:
    """Fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Drafts: files and folders that are written beside their target and then take its name, and what a kill leaves behind.

Whoever writes a draft holds a lock on a file beside it, which the operating system releases when the process dies, in
every container: so those of processes that are gone can be removed, and no others.
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
    """A name beside the target for a file or folder that is gone afterwards, unless it was renamed."""
    remove_dead_drafts(target)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.new")
    lock = _lock_of(draft)
    # Where no file can be made, writing the draft says so better; filelock would make the folder.
    if draft.parent.is_dir():
        with suppress(OSError):
            lock.acquire()
    try:
        yield draft
    finally:
        _remove_all(draft)
        lock.release()


def remove_dead_drafts(target: Path) -> None:
    """Remove the drafts of a target, and what DuckDB put beside them, whose process is gone."""
    before = f".{target.name}"
    found = target.parent.glob(f"{glob.escape(before)}.*.new*")
    matches = ((file, _DRAFT.match(file.name, len(before))) for file in found)
    for draft in {file.with_name(file.name[: match.end()]) for file, match in matches if match}:
        # One that cannot be locked is left alone.
        with suppress(Timeout, OSError), _lock_of(draft).acquire(timeout=0):
            _remove_all(draft)


def _lock_of(draft: Path) -> FileLock:
    return FileLock(f"{draft}.lock")


def _remove_all(draft: Path) -> None:
    for file in draft.parent.glob(f"{glob.escape(draft.name)}*"):
        _remove(file)


def _remove(file: Path) -> None:
    # One that cannot be removed now costs space only, and no run has to fail for it.
    with suppress(OSError):
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()


def sync(path: Path) -> None:
    """See that the content of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

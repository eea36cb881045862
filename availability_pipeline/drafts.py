"""Drafts: files and folders that are written beside their target and then take its name, and what a kill leaves behind.

A draft's name tells the process that writes it, so that those of processes that are gone can be removed, and no others.
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

_PROCESS = re.compile(r"\.(\d+)\.[0-9a-f]{8}\.new")

_under_way: set[Path] = set()
"""The drafts of this process: in a container, a process before it may have had the same number."""


@contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """A name beside the target for a file or folder that is gone afterwards, unless it was renamed."""
    remove_dead_drafts(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.new")
    _under_way.add(draft)
    try:
        yield draft
    finally:
        for file in draft.parent.glob(f"{glob.escape(draft.name)}*"):
            _remove(file)
        _under_way.discard(draft)


def remove_dead_drafts(target: Path) -> None:
    """Remove the drafts of a target, and what DuckDB put beside them, whose process is gone."""
    before = f".{target.name}"
    for file in target.parent.glob(f"{glob.escape(before)}.*.new*"):
        match = _PROCESS.match(file.name, len(before))
        if match and not _is_written(file.with_name(file.name[: match.end()]), int(match[1])):
            _remove(file)


def _is_written(draft: Path, process: int) -> bool:
    if process == os.getpid():
        return draft in _under_way
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, but running
        pass
    return True


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

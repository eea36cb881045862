"""Making the working database compact: DuckDB reuses space that nothing uses, and does not give it back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from availability_pipeline.backups.failing import told
from availability_pipeline.drafts import draft_of
from availability_pipeline.errors import StoreError
from availability_pipeline.settings import Settings
from availability_pipeline.store.connection import check_version
from availability_pipeline.store.copies import copy_to, replace, without_writers
from availability_pipeline.store.opening import exists

LEAST_GAIN = 0.1
"""The part of the working database's size that must be gained for a compact copy to replace it."""


@dataclass(frozen=True)
class Compaction:
    """What making it compact came to."""

    path: Path
    before: int
    """Size of the working database, bytes."""
    after: int
    """Size of a compact copy, bytes."""
    replaced: bool
    """Whether the copy was worth it and is the working database now."""
    seconds: float


def compact(settings: Settings) -> Compaction:
    """Write the working database anew without the space that nothing uses, if that makes it much smaller.

    Raises:
        StoreError: It is missing, something else, or in use.
        BackupError: It could not be copied; it is as it was.
    """
    began = time.perf_counter()
    path = settings.working_path
    if not exists(path):
        raise StoreError(f"there is no working database {path}; `backfill` makes one")
    failed = f"{path} could not be made compact"
    with (
        told(failed, "it is as it was"),
        draft_of(path) as draft,
        without_writers(path, draft) as connection,
    ):
        check_version(connection, path, read_only=True)
        before = path.stat().st_size
        copy_to(connection, draft)
        after = draft.stat().st_size
        if worth_it := after <= before * (1 - LEAST_GAIN):
            replace(draft, path)
    return Compaction(path, before, after, worth_it, time.perf_counter() - began)

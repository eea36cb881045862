"""Removing generations from object storage: those that are too many, and what nobody finished.

Only what is in the folder of a generation is ever removed, and never one that `latest.json` names.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from availability_pipeline.object_storage.remote import folder_of
from availability_pipeline.object_storage.s3 import CONNECTIONS, Bucket
from availability_pipeline.object_storage.source import RequestFailed
from availability_pipeline.publishing import manifest as manifests
from availability_pipeline.publishing.place import FOLDER, is_id

ABANDONED_AFTER = dt.timedelta(days=1)
"""How much older than the newest object one must be for nobody to be still uploading beside it."""

_logger = logging.getLogger(__name__)

_Objects = dict[str, dict[str, dt.datetime]]
"""By generation, the names of its objects and when they were written."""


def prune(bucket: Bucket, listed: Collection[str], dropped: Collection[str]) -> list[str]:
    """Remove generations, and return which.

    What cannot be removed is a warning in the log, and removed by a later publication: it costs space only.

    Args:
        bucket: Where they are.
        listed: What `latest.json` names.
        dropped: What it does not name any longer because there are enough newer ones.
    """
    removed = []
    try:
        found = _found(bucket)
        for name in _superfluous(found, listed, dropped):
            _remove(bucket, name, found[name])
            removed.append(name)
    except RequestFailed as error:
        _logger.warning("old generations could not be removed from object storage: %s", error)
    return removed


def _found(bucket: Bucket) -> _Objects:
    found: _Objects = {}
    for path, written in bucket.objects(f"{FOLDER}/"):
        name = path.split("/")[1]
        if is_id(name):
            found.setdefault(name, {})[path] = written
    return found


def _superfluous(found: _Objects, listed: Collection[str], dropped: Collection[str]) -> list[str]:
    """Those that were dropped, and those that are not listed and that nobody can be at work on.

    The latter are what uploads left that died, what was rolled back, and what lost a race.
    """
    newest = {name: max(objects.values()) for name, objects in found.items()}
    limit = max(newest.values(), default=dt.datetime.now(dt.UTC)) - ABANDONED_AFTER
    return [
        name for name in sorted(found) if name not in listed and (name in dropped or newest[name] < limit)
    ]


def _remove(bucket: Bucket, name: str, paths: Collection[str]) -> None:
    """The manifest first, so that what is left, if the rest fails, does not look complete."""
    manifest = folder_of(name) + manifests.NAME
    if manifest in paths:
        bucket.delete(manifest)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(bucket.delete, [path for path in paths if path != manifest]):
            pass

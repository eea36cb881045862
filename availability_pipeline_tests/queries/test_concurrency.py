"""Readers and the pipeline never wait for each other, whatever one does while the other is at it."""

from __future__ import annotations

import json
import subprocess

import pytest

from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.dagster_side import Site

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

READERS = 2

READ_UNTIL_TOLD = """
    import json, select, sys
    from availability_pipeline import AvailabilityQueries

    seen = set()
    with AvailabilityQueries(sys.argv[1]) as queries:
        print("ready", flush=True)
        told = False
        while not told:
            told = bool(select.select([sys.stdin], [], [], 0.2)[0])
            queries.reload()
            publication = queries.publication
            rows = queries.get_availability_range(publication.first_day, publication.data_through)
            snapshot = queries.get_available_symbols_on_date(publication.data_through)
            assert len(rows) == publication.file_count, (len(rows), publication)
            assert [row for row in rows if row["date"] == publication.data_through] == snapshot
            seen.add((str(publication.published_at), len(rows)))
    print(json.dumps(sorted(seen)))
"""
"""Each look is at one generation as a whole: what it says of itself is what is in it."""


def test_readers_look_on_while_a_backfill_runs_and_publishes(site: Site) -> None:
    site.collected("2024-01-01", "2024-01-05")
    readers = [
        start_python(READ_UNTIL_TOLD, site.settings.db_path, stdin=subprocess.PIPE) for _ in range(READERS)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    site.run("2024-01-01", "2024-01-20")
    said = [reader.communicate("enough\n", timeout=120) for reader in readers]
    assert [(reader.returncode, errors) for reader, (_, errors) in zip(readers, said, strict=True)] == [
        (0, "")
    ] * READERS
    last = site.truth("2024-01-01", "2024-01-20")
    files = sum(row[2] for row in last)
    assert [json.loads(output)[-1][1] for output, _ in said] == [files] * READERS

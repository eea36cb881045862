"""The simulator is much faster than what it is there to measure, and the whole record fits into memory."""

from __future__ import annotations

import datetime as dt
import time

from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.listing import KeySpace
from availability_pipeline.simulator.objects import object_response
from availability_pipeline.simulator.s3 import list_objects
from availability_pipeline_tests.simulator.conftest import BUCKET, ROOT, key_of

ARCHIVE = SimulatedArchive.recorded(10)


def test_a_full_page_costs_milliseconds() -> None:
    # About 0.6 ms where this was written; the floor is 50,000 keys a second on a slow and busy machine.
    keys = KeySpace(ARCHIVE)
    started = time.process_time()
    for _ in range(20):
        assert b"<KeyCount>1000<" in list_objects(
            keys, BUCKET, {"list-type": "2", "prefix": f"{ROOT}BTCUSDT/1m/"}
        )
    assert time.process_time() - started < 20 * 0.02


def test_a_head_costs_microseconds() -> None:
    keys = KeySpace(ARCHIVE)
    started = time.process_time()
    for _ in range(500):
        assert object_response(keys, key_of("BTCUSDT", dt.date(2024, 1, 15)), head=True).raw_headers
    assert time.process_time() - started < 500 * 0.000_5

"""The benchmarks run and measure the same work on both sides; how fast it is, is theirs to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline_tests.dagster_side import root
from benchmarks.runner import Bench, bench


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(root()))
    with bench(tmp_path, symbols=3) as opened:
        yield opened


def test_both_listings_find_the_same_files(archive: Bench) -> None:
    stock, ours = archive.task("list_with_stock_boto3"), archive.task("list_with_ours")
    assert stock["files"] == ours["files"] > 0
    assert ours["seen"]["LIST"] == ours["pages"] + 1


def test_both_kinds_of_head_find_the_same_files(archive: Bench) -> None:
    single, ours = archive.task("head_with_one_connection_per_request"), archive.task("head_with_ours")
    assert (single["files"], single["seen"]["HEAD"]) == (ours["files"], ours["seen"]["HEAD"])
    assert ours["seen"]["HEAD"] == 3


def test_collecting_counts_what_it_writes(archive: Bench) -> None:
    everything, day = archive.task("collect_everything"), archive.task("collect_day")
    assert everything["rows"] % 3 == 0
    assert day["rows"] == 3

"""The benchmarks run and measure the same work on both sides; how fast it is, is theirs to say."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.settings import Settings
from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.demo_data import Demo
from availability_pipeline_tests.documents.schemas import load
from benchmarks import growth, patterns, questions, storing
from benchmarks.runner import Bench, bench


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(root()))
    with bench(tmp_path, symbols=3) as opened:
        yield opened


def test_both_ways_to_list_and_to_probe_find_the_same_files(archive: Bench) -> None:
    stock, ours = archive.task("list_with_stock_boto3"), archive.task("list_with_ours")
    assert stock["files"] == ours["files"] > 0
    assert ours["seen"]["LIST"] == ours["pages"] + 1
    single, ours = archive.task("head_with_one_connection_per_request"), archive.task("head_with_ours")
    assert (single["files"], single["seen"]["HEAD"]) == (ours["files"], ours["seen"]["HEAD"])
    assert ours["seen"]["HEAD"] == 3


def test_collecting_and_reading_count_what_they_write_and_read(archive: Bench) -> None:
    everything, day = archive.task("collect_everything"), archive.task("collect_day")
    assert everything["rows"] % 3 == 0
    assert day["rows"] == 3
    listed, probed = archive.task("asking.list_days", "2"), archive.task("asking.head_days", "2")
    assert listed["files"] == probed["files"] > 0
    assert (listed["seen"]["LIST"], probed["seen"]["HEAD"]) == (3, 6)
    assert listed["received"] > probed["received"] > 6 * 100
    month, day = archive.task("contents.read_month"), archive.task("contents.read_day")
    assert month["rows"] == month["files"] == month["seen"]["GET"] > 0
    assert day["rows"] == day["files"] == day["seen"]["GET"] == 3
    inspected = archive.task("contents.inspect")
    assert inspected["requests"] == inspected["seen"]["GET"] == 2 * inspected["files"] == 6


@pytest.fixture
def filled(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The demo's databases, with a data directory to work in."""
    monkeypatch.setattr(questions, "ASKED", 2)
    monkeypatch.setattr(storing, "WRITTEN_DAYS", 1)
    monkeypatch.setattr(patterns, "REPEATS", 2)
    (tmp_path / "working").symlink_to(demo.settings.working_path.parent)
    return dataclasses.replace(demo.settings, data_dir=tmp_path)


def test_every_way_to_keep_the_rows_answers_the_same(filled: Settings) -> None:
    found = {
        **{keys: storing.keep(filled, keys) for keys in storing.KEYS},
        **{form: storing.publish(filled, form) for form in storing.FORMS},
        "parquet": storing.parquet(filled),
        "sqlite": storing.sqlite(filled),
    }
    # 0GUSDT has no file on the first day that is asked for, and 429 in all.
    assert found.pop("files_only")["answered"] == [2, 429, 2516]
    assert found.pop("intervals")["answered"] == [2, 1, 2516]
    assert {tuple(figures["answered"]) for figures in found.values()} == {(20, 2613, 2613)}


@pytest.mark.parametrize("keys", ["primary", "secondary"])
def test_rows_that_are_replaced_are_looked_at(keys: str, filled: Settings) -> None:
    assert storing.replace(filled, keys) == {"wrong": 0}


def test_every_query_pattern_is_measured(filled: Settings) -> None:
    expected = {each["name"]: each["example"]["rows"] for each in load("queries.json")["patterns"]}
    assert {name: found["rows"] for name, found in patterns.ask(filled)["patterns"].items()} == expected


def test_growth_is_measured_by_another_day_of_several_times_the_contracts(demo: Demo, tmp_path: Path) -> None:
    settings = dataclasses.replace(
        demo.settings, data_dir=tmp_path, db_path=tmp_path / demo.settings.db_file.name
    )
    settings.working_path.parent.mkdir()
    shutil.copyfile(demo.settings.working_path, settings.working_path)
    with AvailabilityQueries(settings=demo.settings) as before:
        first = before.publication
    figures = growth.day_more(settings, "2")
    with AvailabilityQueries(settings=settings) as after:
        assert after.publication.data_through == first.data_through + dt.timedelta(days=1)
        assert after.publication.symbol_count == 2 * first.symbol_count
        assert after.publication.row_count == 2 * (first.row_count + first.symbol_count)
    assert len(figures) == 6
    assert min(figures.values()) > 0

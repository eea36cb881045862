"""`parquet_files`: whichever way it is asked, what other programs read there are the rows of the database."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from availability_pipeline import AvailabilityQueries, parquet_files
from availability_pipeline.errors import PublishedDatabaseError, UsageError
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.settings import Settings
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.remote.stores import Store, memory

QUERIES = {
    "daily_availability": "FROM daily_availability ORDER BY date, symbol",
    "latest": """
        FROM daily_availability WHERE available AND date = (SELECT max(date) FROM daily_availability WHERE available)
        ORDER BY symbol
    """,
    "volume_rankings": "FROM daily_volume ORDER BY date, symbol",  # of which the sample has none
    "contract_history": "FROM contract_history ORDER BY symbol, valid_from",
    "status_spans": "FROM status_spans ORDER BY symbol, first_day",
    "symbol_lifecycle": "FROM symbol_lifecycle ORDER BY symbol, episode",
}


@pytest.fixture
def locations(uploaded: Store, published: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in uploaded.environ.items():
        monkeypatch.setenv(name, value)
    return {
        "file": str(published / "availability.duckdb"),
        "s3": uploaded.s3_url,
        "http": uploaded.http_url,
    }


@pytest.fixture(scope="module")
def truth(published: Path) -> dict[str, list[dict[str, Any]]]:
    """By relation, the rows that the database has."""
    with AvailabilityQueries(published / "availability.duckdb") as queries:
        return {relation: queries.sql(query) for relation, query in QUERIES.items()}


def content(location: str) -> bytes:
    """The file of a location, read as any program would."""
    if location.startswith("s3://"):
        bucket, _, key = location.removeprefix("s3://").partition("/")
        found: bytes = memory().get_object(bucket, key).value
        return found
    if location.startswith("http"):
        answer = requests.get(location, timeout=60)
        answer.raise_for_status()
        return answer.content
    return Path(location).read_bytes()


def rows(locations: list[str]) -> list[dict[str, Any]]:
    tables = [pq.read_table(io.BytesIO(content(location))) for location in locations]
    return pa.concat_tables(tables).to_pylist()


@pytest.mark.parametrize("form", ["file", "s3", "http"])
def test_the_rows_are_those_of_the_database(
    locations: dict[str, str], uploaded: Store, form: str, truth: dict[str, list[dict[str, Any]]]
) -> None:
    location = locations[form]
    files = parquet_files(location)
    folder = f"{location.removesuffix('/availability.duckdb')}/generations/{uploaded.latest()['generation']}/"
    assert all(name.startswith(folder) for names in files.values() for name in names)
    assert sorted(files) == sorted(QUERIES)
    assert files["daily_availability"] == [f"{folder}daily_availability/2024.parquet"]
    for relation in QUERIES:
        assert rows(files[relation]) == truth[relation], relation


def test_polars_and_pandas_read_them_from_a_web_server(locations: dict[str, str]) -> None:
    [year] = parquet_files(locations["http"])["daily_availability"]
    count = len(sample.DAYS) * len(sample.SPANS)
    assert len(pd.read_parquet(year)) == len(pl.read_parquet(year)) == count


def test_the_settings_say_where_by_default(
    locations: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", locations["s3"])
    assert parquet_files() == parquet_files(locations["s3"])


def test_where_nothing_is_published_it_says_so(tmp_path: Path, locations: dict[str, str]) -> None:
    with pytest.raises(PublishedDatabaseError, match=r"there are no Parquet files beside .*publish` to make"):
        parquet_files(tmp_path / "availability.duckdb")
    with pytest.raises(PublishedDatabaseError, match=r"there is no latest\.json; check the address"):
        parquet_files(f"{locations['http']}/elsewhere")
    with pytest.raises(UsageError, match="the location is 'gs://x', which is no place to read from"):
        parquet_files("gs://x")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(PublishedDatabaseError, match="is not a manifest of this program"):
        parquet_files(str(tmp_path / "availability.duckdb"))


@pytest.mark.usefixtures("locations")
def test_programs_that_encode_nothing_can_ask_a_web_server_for_names_that_are_not_ascii(
    uploaded: Store, published: Path, truth: dict[str, list[dict[str, Any]]]
) -> None:
    bucket = f"s3://{uploaded.bucket}/größe"
    mirror(Settings.load({}, data_dir=str(published), publish_url=bucket))
    assert parquet_files(bucket)["latest"][0].startswith(f"{bucket}/generations/")
    [latest] = parquet_files(f"{uploaded.gateway.url}/{uploaded.bucket}/gr%C3%B6ße")["latest"]
    assert len(pd.read_parquet(latest)) == len(truth["latest"])

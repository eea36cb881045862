"""A small archive with every odd name, served over HTTP, and clients that share no code with the package."""

from __future__ import annotations

import datetime as dt
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config

from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

NOW = dt.datetime.fromisoformat("2024-03-10 12:00")
ROOT = "data/futures/um/daily/klines/"
BUCKET = "data.binance.vision"


def make_small_archive() -> ScriptedArchive:
    """Names of which one begins another, a stray object, and a name that is not ASCII."""
    archive = ScriptedArchive.empty(now=NOW)
    archive.add_symbol("BTCUSDT", dt.date(2024, 3, 1))
    archive.add_symbol("BTCUSDT_240329", dt.date(2024, 3, 4), dt.date(2024, 3, 29), kind="delivery")
    archive.add_symbol("A", dt.date(2024, 3, 6))
    archive.add_symbol("AB", dt.date(2024, 3, 5), dt.date(2024, 3, 7))
    archive.add_symbol("A_B&C", dt.date(2024, 3, 7))
    archive.add_symbol("龙虾USDT", dt.date(2024, 3, 6))
    archive.add_symbol("LATERUSDT", dt.date(2024, 4, 1))
    return archive


def all_keys(archive: ScriptedArchive) -> list[str]:
    """Every key of an archive in order, made without its listing code."""
    keys = []
    for symbol in archive.symbols():
        keys += [f"{ROOT}{symbol}//{symbol}--2021-03-01.zip"] if symbol == "BTCUSDT" else []
        zips = [
            f"{ROOT}{symbol}/{bars}/{symbol}-{bars}-{day}.zip"
            for bars in ("1d", "1m")
            for day in archive.files(symbol)
        ]
        keys += [*zips, *(f"{key}.CHECKSUM" for key in zips)]
    return sorted(keys, key=str.encode)


def parse_xml(xml: bytes | str) -> ET.Element:
    """The root of an answer that this machine's own server gave."""
    return ET.fromstring(xml)  # noqa: S314 - nobody else wrote it


def key_of(symbol: str, day: dt.date) -> str:
    """The key of one zip."""
    return f"{ROOT}{symbol}/1m/{symbol}-1m-{day}.zip"


def s3_client(url: str) -> Any:
    """A boto3 client that asks once."""
    config = Config(
        signature_version=UNSIGNED,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        connect_timeout=30,
        read_timeout=30,
    )
    return boto3.client("s3", endpoint_url=url, region_name="ap-northeast-1", config=config)


@pytest.fixture
def archive() -> ScriptedArchive:
    return make_small_archive()


@pytest.fixture
def server(archive: ScriptedArchive) -> Iterator[ObservedServer]:
    with serve(archive) as running:
        yield running


@pytest.fixture
def s3(server: ObservedServer) -> Iterator[Any]:
    client = s3_client(server.url)
    yield client
    client.close()


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def list_page(s3: Any) -> Callable[..., Any]:
    """One page of a version 2 listing through boto3."""
    return lambda **arguments: s3.list_objects_v2(Bucket=BUCKET, **arguments)

"""The file side: HEAD says what a listing says, GET gives a zip of that size that its CHECKSUM fits."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import zipfile
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest
import requests

from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve
from availability_pipeline_tests.simulator.conftest import (
    BUCKET,
    ROOT,
    all_keys,
    key_of,
    parse_xml,
    s3_client,
)

DAY = dt.date(2024, 3, 7)


def test_head_agrees_with_the_truth(server: ObservedServer, http: requests.Session) -> None:
    answer = http.head(f"{server.url}/{key_of('BTCUSDT', DAY)}")
    file = server.archive.file("BTCUSDT", DAY)
    assert file is not None
    assert answer.status_code == 200
    assert (int(answer.headers["Content-Length"]), answer.headers["ETag"]) == (file.size, file.etag)
    assert parsedate_to_datetime(answer.headers["Last-Modified"]).replace(tzinfo=None) == file.last_modified
    assert answer.headers["Content-Type"] == "application/zip"


def test_head_agrees_with_the_listing_for_every_key(server: ObservedServer, s3: Any) -> None:
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(listed) == len(all_keys(server.archive))
    for entry in listed:
        head = s3.head_object(Bucket=BUCKET, Key=entry["Key"])
        assert head["ContentLength"] == entry["Size"]
        assert (head["ETag"], head["LastModified"]) == (entry["ETag"], entry["LastModified"])


def test_names_that_are_not_ascii(server: ObservedServer, http: requests.Session) -> None:
    assert http.head(f"{server.url}/{quote(key_of('龙虾USDT', DAY))}").status_code == 200


def test_the_bucket_side_has_the_same_files(server: ObservedServer, http: requests.Session) -> None:
    assert http.head(f"{server.url}/{BUCKET}/{key_of('BTCUSDT', DAY)}").status_code == 200


def test_a_zip_holds_the_minutes_of_its_day(server: ObservedServer, http: requests.Session) -> None:
    body = http.get(f"{server.url}/{key_of('BTCUSDT', DAY)}").content
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == ["BTCUSDT-1m-2024-03-07.csv"]
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open(archive.namelist()[0]))))
    assert int(rows[0]["open_time"]) == 1_709_769_600_000
    assert len(rows) == 1_440
    assert sum(float(row["volume"]) > 0 for row in rows) > 1_000


def test_a_flat_zip_has_no_volume(server: ObservedServer, http: requests.Session) -> None:
    server.archive.replace_file("BTCUSDT", DAY, size=7_500)
    body = http.get(f"{server.url}/{key_of('BTCUSDT', DAY)}").content
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open(archive.namelist()[0]))))
    assert {(row["volume"], row["count"]) for row in rows} == {("0.0", "0")}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "龙虾USDT"])
def test_the_checksum_fits_the_zip(server: ObservedServer, http: requests.Session, symbol: str) -> None:
    url = f"{server.url}/{quote(key_of(symbol, DAY))}"
    digest = hashlib.sha256(http.get(url).content).hexdigest()
    checksum = http.get(f"{url}.CHECKSUM")
    assert checksum.content == f"{digest}  {symbol}-1m-2024-03-07.zip\n".encode()
    assert int(http.head(f"{url}.CHECKSUM").headers["Content-Length"]) == len(checksum.content)


def test_a_replaced_zip_has_another_body(server: ObservedServer, http: requests.Session) -> None:
    url = f"{server.url}/{key_of('BTCUSDT', DAY)}"
    before = http.get(url).content
    server.archive.replace_file("BTCUSDT", DAY)
    assert http.get(url).content != before


@pytest.mark.parametrize(
    "key",
    [
        key_of("BTCUSDT", dt.date(2024, 2, 29)),
        key_of("BTCUSDT", dt.date(2024, 3, 10)),
        key_of("NONE", DAY),
        key_of("BTCUSDT", DAY).replace("/1m/", "/1h/"),
        key_of("BTCUSDT", DAY).replace("2024-03-07", "20240307"),
        key_of("BTCUSDT", DAY).replace("2024-03-07", "2024-W10-4"),
        key_of("BTCUSDT", DAY).replace("2024-03-07", "2024-02-31"),
        key_of("BTCUSDT", DAY).removesuffix("07.zip"),
        key_of("BTCUSDT", DAY) + ".SHA",
        f"{ROOT}AB//AB--2021-03-01.zip",
        "data/spot/nothing.zip",
    ],
)
def test_what_is_not_there(server: ObservedServer, http: requests.Session, key: str) -> None:
    assert http.head(f"{server.url}/{key}").status_code == 404
    answer = http.get(f"{server.url}/{key}")
    assert answer.status_code == 404
    assert parse_xml(answer.content).findtext("Code") == "NoSuchKey"


def test_the_404_names_the_key_safely(server: ObservedServer, http: requests.Session) -> None:
    answer = http.get(f"{server.url}/data/a%26b%3C.zip")
    assert parse_xml(answer.content).findtext("Key") == "data/a&b<.zip"


def test_the_stray_object(server: ObservedServer) -> None:
    client = s3_client(server.url)
    head = client.head_object(Bucket=BUCKET, Key=f"{ROOT}BTCUSDT//BTCUSDT--2021-03-01.zip")
    assert head["ContentLength"] == 8_012
    client.close()


def test_a_recorded_file_over_http(http: requests.Session) -> None:
    archive = ScriptedArchive.recorded(["FTTUSDT"])
    with serve(archive) as server:
        answer = http.head(f"{server.url}/{key_of('FTTUSDT', dt.date(2023, 1, 1))}")
    assert 7_400 <= int(answer.headers["Content-Length"]) < 8_400

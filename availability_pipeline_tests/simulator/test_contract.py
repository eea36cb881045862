"""The simulator answers as another implementation of S3 does, in everything that the pipeline relies on.

The same keys are put into moto's server, and the same boto3 calls are made to both. What was learnt from one
of them can then be trusted to hold for the other; where both were wrong alike, only the real bucket tells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from availability_pipeline_tests.conftest import empty_moto
from availability_pipeline_tests.simulator import serve
from availability_pipeline_tests.simulator.conftest import (
    BUCKET,
    ROOT,
    all_keys,
    make_small_archive,
    s3_client,
)

RELIED_ON = (
    "KeyCount",
    "IsTruncated",
    "MaxKeys",
    "Prefix",
    "Delimiter",
    "StartAfter",
    "EncodingType",
    "Name",
)
KEYS = all_keys(make_small_archive())


class Both(NamedTuple):
    """Clients of the two servers, which have the same content."""

    simulator: Any
    moto: Any


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with serve(make_small_archive()) as server:
        moto_server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto_server.start()
        host, port = moto_server.get_host_and_port()
        moto = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="ap-northeast-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        simulator = s3_client(server.url)
        empty_moto(f"http://{host}:{port}")
        _copy(simulator, moto)
        yield Both(simulator, moto)
        simulator.close()
        moto.close()
        moto_server.stop()


def _copy(simulator: Any, moto: Any) -> None:
    """Put an object of the same size under every key."""
    moto.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    for key in KEYS:
        size = simulator.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        moto.put_object(Bucket=BUCKET, Key=key, Body=b"\0" * size)


def answer(client: Any, call: str, **arguments: Any) -> dict[str, Any]:
    """What is relied on in an answer, or the status and code of an error."""
    try:
        page = getattr(client, call)(Bucket=arguments.pop("Bucket", BUCKET), **arguments)
    except ClientError as error:
        return {
            "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
            "code": error.response["Error"]["Code"],
        }
    return {name: page[name] for name in RELIED_ON if name in page} | {
        "keys": [(entry["Key"], entry["Size"], entry["StorageClass"]) for entry in page.get("Contents", [])],
        "prefixes": [entry["Prefix"] for entry in page.get("CommonPrefixes", [])],
        "next": "NextContinuationToken" in page,
        "status": page["ResponseMetadata"]["HTTPStatusCode"],
    }


def same(both: Both, call: str, **arguments: Any) -> dict[str, Any]:
    """The answer that both give."""
    ours, theirs = (answer(client, call, **arguments) for client in both)
    assert ours == theirs
    return ours


PREFIXES = (
    "",
    "data/",
    ROOT,
    f"{ROOT}A",
    f"{ROOT}A/",
    f"{ROOT}BTCUSDT/",
    f"{ROOT}BTCUSDT/1m/",
    f"{ROOT}龙虾USDT/1m/",
    "none",
)


@pytest.mark.parametrize("delimiter", ["", "/", "-1m-"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix_and_delimiter(both: Both, prefix: str, delimiter: str) -> None:
    same(both, "list_objects_v2", Prefix=prefix, Delimiter=delimiter)


@pytest.mark.parametrize(
    "start", [*KEYS[::7], f"{ROOT}BTCUSDT", f"{ROOT}BTCUSDT/1m/BTCUSDT-1m-2024-03-05", "zzz"]
)
def test_start_after(both: Both, start: str) -> None:
    keys = same(both, "list_objects_v2", StartAfter=start)["keys"]
    assert [key for key, *_ in keys] == [key for key in KEYS if key.encode() > start.encode()]


@pytest.mark.parametrize("start", [f"{ROOT}AB/", f"{ROOT}AB", f"{ROOT}BTCUSDT_240329/", f"{ROOT}龙虾USDT/"])
def test_start_among_rolled_up_folders(both: Both, start: str) -> None:
    same(both, "list_objects_v2", Prefix=ROOT, Delimiter="/", StartAfter=start)


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000, 0])
def test_max_keys(both: Both, limit: int, delimiter: str) -> None:
    same(both, "list_objects_v2", Prefix=ROOT, Delimiter=delimiter, MaxKeys=limit)


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("limit", [2, 3, 7])
def test_whole_listings_page_by_page(both: Both, limit: int, delimiter: str) -> None:
    pages = [
        client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=ROOT, Delimiter=delimiter, PaginationConfig={"PageSize": limit}
        )
        for client in both
    ]
    for ours, theirs in itertools.zip_longest(*pages):
        for name, part in (("Contents", "Key"), ("CommonPrefixes", "Prefix")):
            assert [e[part] for e in ours.get(name, [])] == [e[part] for e in theirs.get(name, [])]
        assert (ours["KeyCount"], ours["IsTruncated"]) == (theirs["KeyCount"], theirs["IsTruncated"])


def test_url_encoding(both: Both) -> None:
    page = same(both, "list_objects_v2", Prefix=f"{ROOT}龙虾USDT/", EncodingType="url", MaxKeys=3)
    assert page["EncodingType"] == "url"
    assert "龙虾USDT" not in page["keys"][0][0]


def test_head_of_what_is_there(both: Both) -> None:
    for key in KEYS[::5]:
        sizes = [client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] for client in both]
        assert sizes[0] == sizes[1]


@pytest.mark.parametrize("bucket", [BUCKET, "another.bucket"])
def test_head_of_what_is_not_there(both: Both, bucket: str) -> None:
    assert same(both, "head_object", Bucket=bucket, Key=f"{ROOT}none") == {"status": 404, "code": "404"}


def test_an_unknown_bucket(both: Both) -> None:
    assert same(both, "list_objects_v2", Bucket="another.bucket") == {"status": 404, "code": "NoSuchBucket"}


def test_a_get_of_what_is_not_there(both: Both) -> None:
    assert same(both, "get_object", Key=f"{ROOT}none") == {"status": 404, "code": "NoSuchKey"}

"""Locations: what is taken for a place to publish to or to read from, and that no message shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.settings.values import bucket_and_prefix


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket", "s3://bucket"), ("s3://bucket/", "s3://bucket"), ("S3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://data.example.com/x", "s3://data.example.com/x"), ("s3://bucket/币安/a_b-c.d=e", "s3://bucket/币安/a_b-c.d=e"),
        ("s3://bucket/a/latest.json", "s3://bucket/a"),
    ],
)  # fmt: skip
def test_a_folder_of_a_bucket_can_be_published_to_and_read_from(text: str, url: str) -> None:
    settings = Settings.load({"AVAILABILITY_PUBLISH_URL": text, "AVAILABILITY_DB_PATH": text})
    assert (settings.publish_url, settings.db_path) == (url, url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://host.example/a/", "https://host.example/a"), ("HTTP://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://host.example/a/latest.json", "https://host.example/a"),
    ],
)  # fmt: skip
def test_a_web_server_can_be_read_from_only(text: str, url: str) -> None:
    assert Settings.load({"AVAILABILITY_DB_PATH": text}).db_path == url
    with pytest.raises(UsageError, match=r"AVAILABILITY_PUBLISH_URL is .* which is no folder of a bucket"):
        Settings.load({"AVAILABILITY_PUBLISH_URL": text})


@pytest.mark.parametrize(
    "text",
    [
        "s3://", "s3://b", "s3:///x", "s3://bucket//x", "s3://bucket/./x", "s3://bucket/../x", "s3://bucket/a b",
        "s3://bucket/x?y", "s3://bucket/x#y", "s3://bucket/a%20b", "s3://bucket/a*", "s3://bucket:9000/x", "gs://bucket/x",
        "bucket/x", "/a/path", "file:///x",
    ],
)  # fmt: skip
def test_what_is_no_folder_of_a_bucket_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"AVAILABILITY_PUBLISH_URL is .*; write it like s3://bucket/prefix"):
        Settings.load({"AVAILABILITY_PUBLISH_URL": text})


@pytest.mark.parametrize(
    "text", ["gs://bucket/x", "https://", "https://host:port/x", "https:// host/x", "ftp://host/x"]
)
def test_what_can_not_be_read_from_is_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"AVAILABILITY_DB_PATH is .*, which is no place to read from; write s3:"
    ):
        Settings.load({"AVAILABILITY_DB_PATH": text})


@pytest.mark.parametrize(
    "name", ["AVAILABILITY_DB_PATH", "AVAILABILITY_PUBLISH_URL", "AVAILABILITY_S3_ENDPOINT"]
)
@pytest.mark.parametrize(
    "text",
    ["s3://KEY:SECRET@bucket/x", "s3://KEY:SEC/SECRET@bucket/x", "https://user:SECRET@host/x",
     "https://user:S/SECRET@host/x", "https://host/x?X-Amz-Signature=SECRET"],
)  # fmt: skip
def test_no_message_shows_what_may_be_a_secret(name: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.load({name: text})
    assert "SECRET" not in str(caught.value)


def test_keys_begin_with_the_prefix_and_a_slash() -> None:
    assert bucket_and_prefix("s3://bucket") == ("bucket", "")
    assert bucket_and_prefix("s3://bucket/a/b") == ("bucket", "a/b/")


def test_writers_get_a_file_or_are_told_what_to_set() -> None:
    assert Settings.load({"AVAILABILITY_DB_PATH": "/a/b.duckdb"}).db_file == Path("/a/b.duckdb")
    with pytest.raises(UsageError, match=r"AVAILABILITY_DB_PATH is s3://b-1/x, .* AVAILABILITY_PUBLISH_URL"):
        _ = Settings.load({"AVAILABILITY_DB_PATH": "s3://b-1/x"}).db_file


@pytest.mark.parametrize("text", ["0", "-1", "many", "1001"])
def test_at_least_one_generation_is_kept(text: str) -> None:
    with pytest.raises(UsageError, match=r"AVAILABILITY_PUBLISH_KEEP is .* from 1 to 1,000"):
        Settings.load({"AVAILABILITY_PUBLISH_KEEP": text})


def test_another_process_has_the_same_places() -> None:
    environ = {"AVAILABILITY_PUBLISH_URL": "s3://bucket/x", "AVAILABILITY_PUBLISH_KEEP": "3"}
    assert Settings.load(Settings.load(environ).environment()) == Settings.load(environ)
    assert "AVAILABILITY_PUBLISH_URL" not in Settings.load({}).environment()

"""The bucket's client: one question, one answer, nothing borrowed from the user's AWS set-up.

What it makes of failures is in `test_faults`; here is what it asks, and the answers that only a broken server gives.
"""

from __future__ import annotations

import datetime as dt
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from availability_pipeline.archive import client
from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import Entries, ListingClient
from availability_pipeline.archive.listing import FolderQuery, list_files
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveError, ArchiveRefused, UnexpectedAnswer
from availability_pipeline_tests.archive.servers import canned, served
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import Fault, ScriptedArchive, serve

MOMENT = "2024-01-16T08:12:33.000Z"
DAYS = DayRange(dt.date(2024, 1, 1), dt.date(2024, 1, 31))
LISTING = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</ListBucketResult>'


def ask(settings_for: SettingsFactory, **arguments: Any) -> dict[str, Any]:
    """One page of the folder of BTCUSDT from any server."""
    bucket = ListingClient(settings_for(**arguments))
    try:
        return bucket.list_page("BTCUSDT", Prefix=DEFAULT_DATASET.folder("BTCUSDT"), MaxKeys=2)
    finally:
        bucket.close()


def test_a_page_has_entries_and_what_boto3_reads_besides(settings_for: SettingsFactory) -> None:
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        answer = ask(settings_for, server=server)
    assert isinstance(answer["Contents"], Entries)
    assert [key.decode() for key in answer["Contents"].keys] == [
        f"{DEFAULT_DATASET.folder('BTCUSDT')}BTCUSDT-1m-2019-12-31.zip{end}" for end in ("", ".CHECKSUM")
    ]
    assert (answer["IsTruncated"], answer["KeyCount"], answer["EncodingType"]) == (True, 2, "url")


def test_pages_are_waited_for_together(settings_for: SettingsFactory) -> None:
    """Although the threads take turns at reading them."""
    together, count = threading.Barrier(8), 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            together.wait(timeout=30)
            [prefix] = parse_qs(urlsplit(self.path).query)["prefix"]
            entry = f"<Key>{prefix}{prefix.split('/')[-3]}-1m-2024-01-15.zip</Key><LastModified>{MOMENT}</LastModified>"
            page = f"<IsTruncated>false</IsTruncated><Contents>{entry}<Size>7</Size></Contents>"
            body = (LISTING % page).encode()
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as url:
        bucket = ListingClient(settings_for(s3_endpoint=url))
        for _ in range(2):  # on new connections, and on those that are kept
            queries = [FolderQuery(f"S{number}USDT", DAYS) for number in range(8)]
            count += list_files(bucket, queries, connections=8, progress=Progress()).files.num_rows
        bucket.close()
    assert count == 16


def test_the_request_is_anonymous_path_style_and_url_encoded(settings_for: SettingsFactory) -> None:
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        ask(settings_for, server=server)
        [record] = server.requests
    assert record.path == "/data.binance.vision"
    assert record.query == {
        "list-type": "2", "prefix": DEFAULT_DATASET.folder("BTCUSDT"), "max-keys": "2", "encoding-type": "url",
    }  # fmt: skip


def test_the_users_aws_set_up_does_not_matter(
    settings_for: SettingsFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile broken\nregion = nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "missing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    client._unsigned.cache_clear()  # or that of an earlier test would be used
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        assert ask(settings_for, server=server)["KeyCount"] == 2


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failure_is_not_tried_again(settings_for: SettingsFactory, status: int) -> None:
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        server.faults.inject(Fault.status(status), on="LIST", times=1)
        with pytest.raises(ArchiveRefused):
            ask(settings_for, server=server)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(403, b"<html>no</html>"), (403, b""), (500, b"\xff\xfe"), (404, LISTING.encode()), (503, b"<html>busy</html>"),
     (400, b'<?xml version="1.0" encoding="big5"?><Error/>'), (301, b""), (451, b"no")],
)  # fmt: skip
def test_an_error_with_any_body_is_a_refusal_with_its_status(
    settings_for: SettingsFactory, status: int, body: bytes
) -> None:
    with canned(status, body) as url, pytest.raises(ArchiveRefused) as refusal:
        ask(settings_for, s3_endpoint=url)
    assert refusal.value.status == status
    assert f"BTCUSDT: the bucket answered HTTP {status}" in str(refusal.value)
    assert f"({url}/data.binance.vision?prefix={DEFAULT_DATASET.folder('BTCUSDT')})" in str(refusal.value)


@pytest.mark.parametrize(
    "inner",
    ["<IsTruncated>false</IsTruncated><KeyCount>some</KeyCount>", "<IsTruncated>false</IsTruncated><MaxKeys/>",
     "<IsTruncated>false</IsTruncated><KeyCount>1</KeyCount><KeyCount>2</KeyCount>", "<IsTruncated/>", "",
     "<Code>SlowDown</Code>"],
)  # fmt: skip
def test_numbers_that_are_none_and_truths_that_are_neither_are_refused(
    settings_for: SettingsFactory, inner: str
) -> None:
    with (
        canned(200, (LISTING % inner).encode()) as url,
        pytest.raises(UnexpectedAnswer, match=r"^BTCUSDT: the "),
    ):
        ask(settings_for, s3_endpoint=url)


@pytest.mark.parametrize("status", [301, 400])
def test_another_endpoint_is_not_tried(settings_for: SettingsFactory, status: int) -> None:
    error = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"
    with serve(ScriptedArchive.recorded(["BTCUSDT"])) as server:
        server.faults.inject(Fault.status(status, error), on="LIST")
        with pytest.raises(ArchiveRefused, match=f"HTTP {status} AuthorizationHeaderMalformed"):
            ask(settings_for, server=server)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [201, 204, 206])
def test_another_success_than_200_is_refused(settings_for: SettingsFactory, status: int) -> None:
    body = b"" if status == 204 else (LISTING % "<IsTruncated>false</IsTruncated>").encode()
    with canned(status, body) as url, pytest.raises(ArchiveError, match=f"HTTP {status}"):
        ask(settings_for, s3_endpoint=url)


def test_a_proxy_that_is_not_there_is_a_failure_in_one_line(
    settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ArchiveError, match="BTCUSDT: ") as failure:
        ask(settings_for, s3_endpoint="http://archive.invalid")
    assert "\n" not in str(failure.value)

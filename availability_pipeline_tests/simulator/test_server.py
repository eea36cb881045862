"""The server itself: log, latency, many connections, keep-alive, and an end that does not hang."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from availability_pipeline_tests.simulator import Fault, ObservedServer, RequestRecord, ScriptedArchive, serve
from availability_pipeline_tests.simulator.conftest import BUCKET, ROOT, make_small_archive

KEY = f"{ROOT}BTCUSDT/1m/BTCUSDT-1m-2024-03-07.zip"


def exchange(server: ObservedServer, sent: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def head_request(path: str = f"/{KEY}", more: str = "") -> bytes:
    return f"HEAD {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def test_the_environment_points_at_the_server(server: ObservedServer) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert server.environment() == {
        "AVAILABILITY_S3_ENDPOINT": server.url,
        "AVAILABILITY_ARCHIVE_URL": server.url,
        "AVAILABILITY_FAPI_URL": server.url,
        "AVAILABILITY_S3_BUCKET": BUCKET,
    }


def test_requests_are_logged(server: ObservedServer, http: requests.Session) -> None:
    http.get(
        f"{server.url}/{BUCKET}", params={"list-type": "2", "prefix": f"{ROOT}龙虾USDT/", "delimiter": "/"}
    )
    http.head(f"{server.url}/{KEY.replace('07', '31')}")
    http.get(f"{server.url}/fapi/v1/exchangeInfo")
    query = {"list-type": "2", "prefix": f"{ROOT}龙虾USDT/", "delimiter": "/"}
    assert server.requests.records() == [
        RequestRecord("LIST", f"/{BUCKET}", query, "龙虾USDT", 200),
        RequestRecord("HEAD", f"/{KEY.replace('07', '31')}", {}, "BTCUSDT", 404),
        RequestRecord("EXCHANGE_INFO", "/fapi/v1/exchangeInfo", {}, None, 200),
    ]


def test_the_log_counts_and_forgets(server: ObservedServer, http: requests.Session) -> None:
    for _ in range(3):
        http.head(f"{server.url}/{KEY}")
    http.get(f"{server.url}/{KEY}")
    counts = [server.requests.count(), server.requests.count("HEAD"), server.requests.count("GET", "BTCUSDT")]
    assert [*counts, server.requests.count(symbol="AB"), len(server.requests)] == [4, 3, 1, 0, 4]
    server.requests.clear()
    assert server.requests.counts() == {"LIST": 0, "HEAD": 0, "GET": 0, "EXCHANGE_INFO": 0}


def test_a_plus_in_a_query_is_a_space(server: ObservedServer, http: requests.Session) -> None:
    http.get(f"{server.url}/{BUCKET}?list-type=2&prefix=a+b%2Bc")
    assert server.requests.records()[0].query["prefix"] == "a b+c"


def test_an_unknown_bucket(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="another.bucket")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(server: ObservedServer, http: requests.Session, method: str) -> None:
    assert http.request(method, f"{server.url}/{BUCKET}/{KEY}", data=b"x" * 100).status_code == 405
    assert http.head(f"{server.url}/{KEY}").status_code == 200


def test_urllib_is_served_as_well(server: ObservedServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/nothing/here", timeout=30)
    with caught.value as error:
        assert (error.code, b"NoSuchKey" in error.read()) == (404, True)


def test_changes_show_at_once(server: ObservedServer, http: requests.Session) -> None:
    assert http.head(f"{server.url}/{KEY}").status_code == 200
    server.archive.remove_symbol("BTCUSDT")
    assert http.head(f"{server.url}/{KEY}").status_code == 404
    assert (
        b"BTCUSDT/"
        not in http.get(
            f"{server.url}/{BUCKET}", params={"list-type": "2", "delimiter": "/", "prefix": ROOT}
        ).content
    )


def test_latency_delays_every_answer(server: ObservedServer, http: requests.Session) -> None:
    server.latency = 1.5
    assert http.head(f"{server.url}/{KEY}").elapsed.total_seconds() >= 1.5
    server.latency = 0.0
    assert http.head(f"{server.url}/{KEY}").elapsed.total_seconds() < 1.5


def test_delays_run_side_by_side(server: ObservedServer) -> None:
    server.latency = 0.5
    started = time.monotonic()
    with ThreadPoolExecutor(96) as pool:
        answers = list(
            pool.map(lambda _: exchange(server, head_request(more="Connection: close\r\n")), range(96))
        )
    assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers)
    assert time.monotonic() - started < 96 * 0.5 / 4


def test_a_connection_is_kept(server: ObservedServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(head_request())
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_requests_sent_together_are_answered_in_order(server: ObservedServer) -> None:
    answers = exchange(
        server, head_request() + head_request("/nothing/here") + head_request(more="Connection: close\r\n")
    )
    assert [line.split()[1] for line in answers.split(b"\r\n") if line.startswith(b"HTTP")] == [
        b"200",
        b"404",
        b"200",
    ]


def test_requests_sent_together_wait_for_each_other(server: ObservedServer) -> None:
    server.latency = 0.02
    answers = exchange(server, head_request() + head_request("/no/thing", more="Connection: close\r\n"))
    assert [line.split()[1] for line in answers.split(b"\r\n") if line.startswith(b"HTTP")] == [
        b"200",
        b"404",
    ]


def test_a_request_may_arrive_in_pieces(server: ObservedServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for piece in (b"HEAD /", KEY.encode(), b" HTTP/1.1\r\nHost: x\r", b"\n\r\n"):
            connection.sendall(piece)
            time.sleep(0.01)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_http_1_0_is_closed_after_the_answer(server: ObservedServer) -> None:
    assert exchange(server, f"HEAD /{KEY} HTTP/1.0\r\n\r\n".encode()).startswith(b"HTTP/1.1 200")


def test_only_this_machine_is_served(server: ObservedServer) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port), timeout=1)


def test_the_end_does_not_wait_for_connections() -> None:
    with serve(make_small_archive()) as server:
        kept = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        kept.sendall(head_request())
        assert kept.recv(65_536)
        server.faults.inject(Fault.hang(), on="HEAD")
        kept.sendall(head_request())
        while server.requests.count("HEAD") < 2:
            time.sleep(0.005)
        started = time.monotonic()
    assert time.monotonic() - started < 20
    with kept:
        assert _ended(kept)


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_nothing_is_left_behind() -> None:
    with serve(ScriptedArchive.empty()) as server:
        assert "simulator" in [thread.name for thread in threading.enumerate()]
    assert "simulator" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_an_error_in_the_block_ends_the_server() -> None:
    with pytest.raises(ZeroDivisionError), serve(ScriptedArchive.empty()) as server:
        raise ZeroDivisionError
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)

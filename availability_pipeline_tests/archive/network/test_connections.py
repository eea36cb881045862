"""Kept connections that the server closes: what may be sent again is, once, on a new connection; nothing else is."""

from __future__ import annotations

import datetime as dt
import io
import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import requests

from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.http import FAILURES, Session
from availability_pipeline.archive.listing import list_folders
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.errors import ArchiveUnreachable
from availability_pipeline_tests.archive.network.asking import DAY, settings
from availability_pipeline_tests.archive.network.servers import (
    Address,
    Authority,
    closing,
    http_proxy,
    listening,
    read_head,
    socks_proxy,
)
from availability_pipeline_tests.simulator import ScriptedArchive, serve

RESET = pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])


@RESET
@pytest.mark.parametrize("answers", [1, 3])
def test_no_head_fails_by_a_connection_that_is_closed(reset: bool, answers: int) -> None:
    archive = ScriptedArchive.recorded(60, now=dt.datetime.fromisoformat("2026-10-06 12:00"))
    day = dt.date(2026, 9, 1)
    with serve(archive) as server, closing(("127.0.0.1", server.port), answers, reset=reset) as front:
        expected = probe_files(settings(server.url), archive.symbols(), day).sort_by("symbol")
        found = probe_files(settings(front.url), archive.symbols(), day).sort_by("symbol")
    assert found == expected
    assert front.answered == 60
    assert front.closed


@RESET
def test_no_page_of_a_listing_fails_by_it(address: Address, reset: bool) -> None:
    with closing(address, 1, reset=reset) as front:
        bucket = ListingClient(settings(front.url))
        assert [len(list_folders(bucket).symbols) for _ in range(3)] == [2, 2, 2]
        bucket.close()
    assert (front.answered, front.closed, front.connections) == (3, 2, 3)


def by_requests(session: Session, url: str) -> bytes:
    return session.get(url, timeout=5).content


def by_wire(session: Session, url: str) -> bytes:
    return session.ask("GET", url, 5).raw.read(10_000_000)


Get = Callable[[Session, str], bytes]

GET = pytest.mark.parametrize("get", [by_requests, by_wire])


@RESET
@GET
@pytest.mark.parametrize("way", ["TLS", "tunnel", "SOCKS"])
def test_nor_behind_tls_and_proxies(
    address: Address, authority: Authority, monkeypatch: pytest.MonkeyPatch, get: Get, reset: bool, way: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    with ExitStack() as stack, Session(8) as session:
        front = stack.enter_context(closing(address, 1, reset=reset, context=authority.context()))
        if way != "TLS":
            proxy = stack.enter_context({"tunnel": http_proxy, "SOCKS": socks_proxy}[way](front.address))
            monkeypatch.setenv("ALL_PROXY", proxy.url)
        for _ in range(3):
            url = f"https://localhost:{front.address[1]}/fapi/v1/exchangeInfo"
            assert b"BTCUSDT" in get(session, url)
        if way != "TLS":
            assert len(proxy.asked) == 3
    assert (front.answered, front.connections) == (3, 3)


@RESET
def test_a_failure_on_a_new_connection_stays_one(address: Address, reset: bool) -> None:
    with closing(address, 0, reset=reset) as front:
        with pytest.raises(ArchiveUnreachable, match="the connection failed"):
            probe_files(settings(front.url), ["BTCUSDT"], DAY)
        bucket = ListingClient(settings(front.url))
        with pytest.raises(ArchiveUnreachable, match="the connection failed"):
            list_folders(bucket)
        bucket.close()
    assert (front.connections, front.closed) == (2, 2)


@RESET
@GET
def test_it_is_sent_once_more_and_no_oftener(address: Address, reset: bool, get: Get) -> None:
    with closing(address, [1, 0, 0, 0], reset=reset) as front, Session() as session:
        get(session, f"{front.url}/")
        with pytest.raises(FAILURES):
            get(session, f"{front.url}/")
    assert (front.connections, front.closed) == (2, 2)


@RESET
@GET
@pytest.mark.parametrize("partly", [b"H", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_has_begun_is_not_asked_for_again(
    address: Address, reset: bool, get: Get, partly: bytes
) -> None:
    with closing(address, 1, reset=reset, partly=partly) as front, Session() as session:
        get(session, f"{front.url}/")
        with pytest.raises(FAILURES):
            get(session, f"{front.url}/")
    assert (front.connections, front.closed) == (1, 1)


@pytest.mark.parametrize("way", ["direct", "TLS", "tunnel", "SOCKS"])
def test_connections_are_kept_whatever_the_way(
    address: Address, authority: Authority, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    is_encrypted = way in ("TLS", "tunnel")
    with ExitStack() as stack, Session() as session:
        context = authority.context() if is_encrypted else None
        front = stack.enter_context(closing(address, 100, context=context))
        if way in ("tunnel", "SOCKS"):
            proxy = stack.enter_context((socks_proxy if way == "SOCKS" else http_proxy)(front.address))
            monkeypatch.setenv("ALL_PROXY", proxy.url)
        url = f"{'https' if is_encrypted else 'http'}://localhost:{front.address[1]}/fapi/v1/exchangeInfo"
        bodies = set()
        for _ in range(4):
            answer = session.ask("GET", url, 5)
            bodies.add(answer.raw.read(10_000_000))
    [body] = bodies
    assert b"BTCUSDT" in body
    assert (front.answered, front.connections) == (4, 1)


@RESET
def test_what_is_not_idempotent_is_not_sent_again(address: Address, reset: bool) -> None:
    with closing(address, 1, reset=reset) as front, Session() as session:
        session.get(front.url, timeout=5)
        with pytest.raises(requests.ConnectionError):
            session.post(front.url, data=b"", timeout=5)
    assert (front.connections, front.closed) == (1, 1)


@RESET
@pytest.mark.parametrize("as_file", [False, True])
def test_a_body_is_sent_again_in_whole(reset: bool, as_file: bool) -> None:
    content = os.urandom(300_000)
    received: list[bytes] = []

    def talk(client: socket.socket) -> None:
        for attempt in range(2):
            read_head(client)
            body = b""
            while len(body) < len(content):
                part = client.recv(65536)
                if not part:
                    return
                body += part
            received.append(body)
            if attempt:
                break
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(talk) as (host, port), Session() as session:
        for _ in range(3):
            body = io.BytesIO(content) if as_file else content
            assert session.put(f"http://{host}:{port}", data=body, timeout=5).status_code == 200
    assert received == [content] * 5

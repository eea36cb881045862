"""Answers on a connection that is open: what http.client reads of them is read, and of others nothing."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import IncompleteRead, ProtocolError

from availability_pipeline.archive.wire import NoByte, exchange, request_head

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")


class Pieces:
    """A socket that receives an answer in given pieces, and then nothing more."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.sent = b""

    def sendall(self, content: bytes) -> None:
        self.sent += content

    def recv(self, amount: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces[0][:amount]
        self.pieces[0] = self.pieces[0][amount:]
        if not self.pieces[0]:
            self.pieces.pop(0)
        return piece


class Read(NamedTuple):
    """What was read, and what was said of the connection after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    kept: list[bool]


def read(pieces: list[bytes], request: bytes = GET) -> Read:
    kept: list[bool] = []
    answer = exchange(cast("socket.socket", Pieces(pieces)), request, kept.append)
    body = b"".join(answer.raw.stream())
    return Read(answer.status_code, dict(answer.headers), body, kept)


def by_http_client(content: bytes, method: str) -> Read:
    class Socket:
        def makefile(self, _mode: str) -> io.BufferedReader:
            return io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]

    answer = HTTPResponse(cast("Any", Socket()), method=method)
    answer.begin()
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return Read(answer.status, headers, answer.read(), [not answer.will_close])


NAMES = st.sampled_from(["ETag", "x-a", "X-Long", "Last-Modified"])
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=("Cc", "Zs", "Zl")), max_size=8)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer as servers write it, up to the end of the connection."""
    body = draw(st.binary(max_size=300))
    status = draw(st.sampled_from([200, 204, 206, 304, 403, 404, 503]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    # http.client waits for chunks even where there can be no body.
    framing = draw(
        st.sampled_from(["length", "end"] if status in (204, 304) else ["length", "chunked", "end"])
    )
    if draw(st.booleans()):
        headers.append(("Connection", draw(st.sampled_from(["close", "keep-alive", "Close"]))))
    if framing == "length":
        headers.append(("content-length", str(len(body))))
    elif framing == "chunked":
        headers.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
        body = draw(chunked(body))
    if status in (204, 304):
        body = b""
    before = b"HTTP/1.1 100 Continue\r\n\r\n" if draw(st.booleans()) else b""
    first = f"HTTP/1.1 {status} {draw(st.sampled_from(['OK', 'Not Found', '']))}\r\n".encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    return before + first + lines + b"\r\n" + body


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    written, rest = b"", body
    while rest:
        size = draw(st.integers(1, len(rest)))
        extension = draw(st.sampled_from(["", ";a=b"]))
        written += f"{size:{draw(st.sampled_from('xX'))}}{extension}\r\n".encode() + rest[:size] + b"\r\n"
        rest = rest[size:]
    trailers = draw(st.sampled_from([b"", b"X-Checksum: 1\r\n"]))
    return written + b"0\r\n" + trailers + b"\r\n"


@st.composite
def in_pieces(draw: st.DrawFn) -> list[bytes]:
    content = draw(answers())
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=6)))
    return [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]


@given(pieces=in_pieces(), method=st.sampled_from(["GET", "HEAD"]))
def test_an_answer_is_read_as_by_http_client(pieces: list[bytes], method: str) -> None:
    content = b"".join(pieces)
    if method == "HEAD":  # such an answer ends with its head
        head, end, _ = content.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
        pieces, content = [head, end], head + end
    expected = by_http_client(content, method)
    found = read(pieces, GET if method == "GET" else HEAD)
    assert found[:3] == expected[:3]
    # http.client closes after an answer to a HEAD that does not tell a length.
    assert found.kept == expected.kept or (method == "HEAD" and found.kept == [True])


@given(content=answers(), data=st.data())
def test_an_answer_that_breaks_off_is_an_error_or_ends_with_the_connection(
    content: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(content) - 1))
    kept: list[bool] = []
    try:
        answer = exchange(cast("socket.socket", Pieces([content[:cut]])), GET, kept.append)
        body = b"".join(answer.raw.stream())
    except (NoByte, ProtocolError, IncompleteRead):
        assert kept == [False]
        return
    whole = by_http_client(content, "GET")
    assert whole.body.startswith(body)
    assert (body, kept) == (whole.body, whole.kept) or kept == [False]
    if "content-length" in answer.headers or "transfer-encoding" in answer.headers:
        assert body == whole.body


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"<html>\r\n\r\n",
        OK + b"no header\r\n\r\n",
        OK + b" folded: 1\r\n\r\n",
        OK + b"name : 1\r\n\r\n",
        OK + b"a: " + b"x" * 200_000,
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        OK + "Content-Length: ²\r\n\r\n".encode("latin-1"),
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_an_error_and_ends_the_connection(content: bytes) -> None:
    kept: list[bool] = []
    with pytest.raises(ProtocolError):
        list(exchange(cast("socket.socket", Pieces([content])), GET, kept.append).raw.stream())
    assert kept == [False]


@contextmanager
def connected(content: bytes) -> Iterator[socket.socket]:
    """A real connection whose other end has sent something and stays open."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(content)
        ours.settimeout(5)
        yield ours


def test_a_body_that_is_not_read_to_its_end_ends_the_connection() -> None:
    kept: list[bool] = []
    with connected(OK + b"Content-Length: 9\r\n\r\nabcdefghi") as sock:
        answer = exchange(sock, GET, kept.append)
        assert answer.raw.read(4) == b"abcd"
        assert answer.raw.read(4) == b"efgh"
        assert kept == []
        answer.close()
        answer.close()
    assert kept == [False]


def test_a_body_that_is_not_begun_ends_the_connection() -> None:
    kept: list[bool] = []
    with connected(OK + b"Content-Length: 3\r\n\r\nabc") as sock:
        exchange(sock, GET, kept.append).close()
    assert kept == [False]


def test_bytes_behind_an_answer_are_not_the_beginning_of_the_next() -> None:
    kept: list[bool] = []
    with connected(OK + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 404 Not Found\r\n\r\n") as sock:
        answer = exchange(sock, GET, kept.append)
        assert answer.raw.read(100) == b"abc"
    assert kept == [False]


def test_a_truncated_body_says_how_much_came() -> None:
    with pytest.raises(IncompleteRead) as failure:
        read([OK + b"Content-Length: 9\r\n\r\nabcd"])
    assert (failure.value.partial, failure.value.expected) == (4, 5)


def test_a_silent_server_is_a_timeout() -> None:
    kept: list[bool] = []
    with connected(b"HTTP/1.1 200") as sock:
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            exchange(sock, GET, kept.append)
    assert kept == [False]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: 1", {}),
        ("/龙虾USDT", {}),
        ("/", {"User-Agent": "a\r\nX: 1"}),
        ("/", {"User-Agent": "a\nX: 1"}),
        ("/", {"User-Agent": "a\rX: 1"}),
        ("/", {"User-Agent\r\nX": "1"}),
    ],
)
def test_what_is_not_for_a_line_is_left_to_requests(target: str, headers: dict[str, str]) -> None:
    assert request_head("GET", target, "localhost", headers) is None


def test_a_request_is_written_as_http_has_it() -> None:
    assert request_head("GET", "/a?b=%20", "[::1]:80", {"Accept": "*/*"}) == (
        b"GET /a?b=%20 HTTP/1.1\r\nHost: [::1]:80\r\nAccept: */*\r\n\r\n"
    )

"""HTTP/1.1 over asyncio: requests read from a connection, answers written to it.

Belongs here: framing, keep-alive, delays, and answers that are cut off on purpose. Does not belong here: what
is answered (`server.py`) and which answers are spoiled (`faults.py`).

The standard library's own HTTP server reads headers with its mail parser and starts a thread for every
connection; both cost more than an answer does here.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, unquote

from availability_pipeline.simulator.stamps import header_time

_LARGEST_HEAD = 65_536
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {451: "Unavailable For Legal Reasons"}
_request_numbers = itertools.count(1)


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        method: `GET`, `HEAD`, …
        target: Path and query as they were sent.
        close: Whether the client wants the connection closed afterwards.
    """

    method: str
    target: str
    close: bool = False

    @cached_property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.target.partition("?")[0], errors="replace")

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters, decoded; a `+` is a space."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True, errors="replace"))


@dataclass(frozen=True)
class Response:
    """One answer, and how it is delivered.

    Args:
        status: The HTTP status.
        content_type: The media type of the body.
        body: The body; it is not sent to a HEAD request.
        headers: Further headers.
        length: The Content-Length where it is not that of the body, in bytes.
        hidden: Headers that are left out, in lower case.
        delay: Seconds before it is sent; infinite for never.
        delivery: Sent `whole`, `cut` in the middle with the connection closed, or a `reset` in its place.
    """

    status: int
    content_type: str = "application/xml"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    hidden: frozenset[str] = frozenset()
    delay: float = 0.0
    delivery: Literal["whole", "cut", "reset"] = "whole"

    def head(self, now: float) -> bytes:
        """Status line and headers, sent at a moment in seconds since 1970."""
        number = next(_request_numbers)
        headers = (
            ("x-amz-id-2", "simulator"),
            ("x-amz-request-id", f"{number:016X}"),
            ("Date", _date(int(now))),
            ("Content-Type", self.content_type),
            ("Server", "AmazonS3"),
            ("Content-Length", str(len(self.body) if self.length is None else self.length)),
        )
        # A header of the answer's own takes the place of the usual one.
        own = {name.lower(): (name, value) for name, value in headers + self.headers}
        shown = "".join(
            f"{name}: {value}\r\n" for key, (name, value) in own.items() if key not in self.hidden
        )
        return f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\n{shown}\r\n".encode()


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return header_time(second)


Answer = Callable[[Request], Response]
Seconds = Callable[[], float]


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other in the order they came.

    Args:
        answer: Gives the answer to a request.
        latency: Gives the seconds to wait before each answer.
        clock: Gives the moment that answers name, in seconds since 1970.
        connections: Where open connections are registered, so that the server can close them.
    """

    def __init__(
        self, answer: Answer, latency: Seconds, clock: Seconds, connections: set[Connection]
    ) -> None:
        self._answer = answer
        self._latency = latency
        self._clock = clock
        self._connections = connections
        self._received = b""
        self._waiting: asyncio.TimerHandle | None = None
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio has set TCP_NODELAY on it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Forget the connection and what it still waited for."""
        self._connections.discard(self)
        self._transport = None
        if self._waiting is not None:
            self._waiting.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and answer if a request is whole and none is being answered."""
        self._received += data
        if not self._busy:
            self._next()

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        while not self._busy and self._transport is not None:
            request = self._take()
            if request is None:
                return
            self._busy = True
            self._after(self._latency(), lambda request=request: self._prepare(request))  # type: ignore[misc]

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something now, later, or for an infinite delay never."""
        if seconds <= 0:
            action()
        elif math.isfinite(seconds):
            self._waiting = asyncio.get_running_loop().call_later(seconds, self._resume, action)

    def _resume(self, action: Callable[[], None]) -> None:
        action()
        if not self._busy:
            self._next()

    def _take(self) -> Request | None:
        """The next whole request from what was received, with its body skipped."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _LARGEST_HEAD:
                self.close()
            return None
        head = self._received[:end].decode("latin-1")
        line, _, fields = head.partition("\r\n")
        fields = fields.lower()
        total = end + 4 + _content_length(fields)
        if len(self._received) < total:
            return None
        self._received = self._received[total:]
        return _parse(line, fields)

    def _prepare(self, request: Request) -> None:
        response = self._answer(request)
        self._after(response.delay, lambda: self._send(request, response))

    def _send(self, request: Request, response: Response) -> None:
        transport = self._transport
        if transport is None:
            return
        self._busy = False
        if response.delivery == "reset":
            _reset(transport)
            return
        head, body = response.head(self._clock()), b"" if request.method == "HEAD" else response.body
        if response.delivery == "cut":
            head, body = (head, body[: len(body) // 2]) if body else (head[: len(head) // 2], b"")
        # One write for headers and body: two would wait for each other's acknowledgement.
        transport.write(head + body)
        if request.close or response.delivery == "cut" or "content-length" in response.hidden:
            transport.close()


def _reset(transport: asyncio.Transport) -> None:
    """End the connection with a TCP reset instead of an orderly end."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _content_length(fields: str) -> int:
    if "content-length:" not in fields:
        return 0
    value = fields.partition("content-length:")[2].partition("\r\n")[0].strip()
    return int(value) if value.isdecimal() else 0


def _parse(line: str, fields: str) -> Request:
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    return Request(method, target, close=version == "HTTP/1.0" or "connection: close" in fields)

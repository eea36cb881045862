"""Faults that are injected into answers: which requests they meet, how often, and what becomes of the answer.

How the XML of a listing is spoiled is in `defects.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.s3 import S3Error
from availability_pipeline.simulator.server import Kind, kind_of
from availability_pipeline_tests.simulator import defects
from availability_pipeline_tests.simulator.journal import KINDS

_S3_ERRORS = {
    403: ("AccessDenied", "Access Denied"),
    404: ("NoSuchKey", "The specified key does not exist."),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    503: ("SlowDown", "Please reduce your request rate."),
}
_BINANCE_ERRORS = {
    418: (-1003, "Way too many requests; IP banned until 1893456000000."),
    429: (-1003, "Too many requests; current limit of IP is 2400 requests per minute."),
    451: (0, "Service unavailable from a restricted location according to 'b. Eligibility' in the terms."),
}
_HTML = b"<!DOCTYPE html><html><head><title>Please wait</title></head><body><h1>Checking</h1></body></html>"


class Delayed(Response):
    """An answer that comes after some seconds, or never."""

    def __init__(self, right: Response, seconds: float) -> None:
        super().__init__()
        self.status_code = right.status_code
        self._right = right
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then answer."""
        if math.isinf(self.seconds):
            await _gone(receive)
            return
        await asyncio.sleep(self.seconds)
        await self._right(scope, receive, send)


class Reset(Response):
    """A TCP reset in place of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """End the connection without an orderly end."""
        transport = _transport(send)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _gone(receive)


class Cut(Response):
    """An answer of which half is sent under the Content-Length of the whole, then the end of the connection."""

    def __init__(self, right: Response) -> None:
        super().__init__(right.body, right.status_code)
        self.raw_headers = right.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the body, or half of the headers where there is no body."""
        transport = _transport(send)
        head = b"".join(b"%b: %b\r\n" % header for header in self.raw_headers)
        head = b"HTTP/1.1 %d Simulated\r\n%b\r\n" % (self.status_code, head)
        body = b"" if scope["method"] == "HEAD" else bytes(self.body)
        transport.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
        transport.close()
        await _gone(receive)


def _transport(send: Send) -> asyncio.Transport:
    """The connection below: what ASGI has no word for is done to it directly."""
    cycle: Any = send.__self__  # type: ignore[attr-defined]
    transport: asyncio.Transport = cycle.transport
    return transport


async def _gone(receive: Receive) -> None:
    """Wait for the end of the connection, so that nothing else is sent."""
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()


_COMMON = ("x-amz-id-2", "x-amz-request-id", "date", "server")
"""Headers that every answer has, right or wrong."""


def _changed(right: Response, body: bytes | None = None, **headers: str | None) -> Response:
    """A right answer with another body or other headers; None takes a header away."""
    changed = Response(right.body if body is None else body, right.status_code, headers=dict(right.headers))
    if body is not None:
        headers = {"Content-Length": str(len(body)), **headers}
    for name, value in headers.items():
        if value is None:
            del changed.headers[name]
        else:
            changed.headers[name] = value
    return changed


def _instead(right: Response, status: int, body: bytes | str, content_type: str) -> Response:
    """Another answer in the place of the right one."""
    headers = {name: right.headers[name] for name in _COMMON}
    return Response(body, status, headers={**headers, "Content-Type": content_type})


@dataclass(frozen=True)
class Fault:
    """One way in which an answer goes wrong.

    Args:
        name: What it is called.
        spoil: Makes the wrong answer from the request and the right answer.
    """

    name: str
    spoil: Callable[[Request, Response], Response]

    @classmethod
    def status(cls, status: int, body: bytes | str | None = None, content_type: str | None = None) -> Fault:
        """Another HTTP status; by default with the body that S3 or Binance sends with it."""
        return cls(
            f"status {status}", lambda request, right: _error(request, right, status, body, content_type)
        )

    @classmethod
    def reset(cls) -> Fault:
        """A TCP reset in place of an answer."""
        return cls("reset", lambda *_: Reset())

    @classmethod
    def hang(cls, seconds: float = math.inf) -> Fault:
        """No answer for some seconds, or never."""
        return cls("hang", lambda _, right: Delayed(right, seconds))

    @classmethod
    def cut(cls) -> Fault:
        """Half of the body under the Content-Length of the whole, then the end of the connection."""
        return cls("cut", lambda _, right: Cut(right))

    @classmethod
    def cut_short(cls) -> Fault:
        """Half of the body under a Content-Length that fits it."""
        return cls("cut short", lambda _, right: _changed(right, bytes(right.body[: len(right.body) // 2])))

    @classmethod
    def html(cls) -> Fault:
        """Status 200 with a page for people."""
        return cls("html", lambda _, right: _instead(right, 200, _HTML, "text/html"))

    @classmethod
    def without_header(cls, name: str) -> Fault:
        """The right answer without one of its headers."""
        return cls(f"without {name}", lambda _, right: _changed(right, **{name: None}))

    @classmethod
    def with_header(cls, name: str, value: str) -> Fault:
        """The right answer with another value of a header, or one header more."""
        return cls(f"with {name}", lambda _, right: _changed(right, **{name: value}))

    @classmethod
    def truncated_without_token(cls) -> Fault:
        """A page that says more follows, but not where."""
        return _defect("truncated without token", lambda _, xml: defects.truncated_without_token(xml))

    @classmethod
    def repeated_token(cls) -> Fault:
        """Pages that never end: each gives the token it was asked with."""
        return _defect("repeated token", defects.repeated_token)

    @classmethod
    def out_of_order(cls) -> Fault:
        """A page with its keys in reverse order."""
        return _defect("out of order", lambda _, xml: defects.reversed_entries(xml))

    @classmethod
    def duplicate_keys(cls) -> Fault:
        """A page with every key twice."""
        return _defect("duplicate keys", lambda _, xml: defects.doubled_entries(xml))

    @classmethod
    def without_is_truncated(cls) -> Fault:
        """A page that does not say whether more follows."""
        return _defect("without IsTruncated", lambda _, xml: defects.without_is_truncated(xml))

    @classmethod
    def empty_listing(cls) -> Fault:
        """A well-formed page of an empty bucket."""
        return _defect("empty listing", lambda _, xml: defects.empty(xml))

    @classmethod
    def half_missing(cls) -> Fault:
        """A well-formed page that lacks every second entry while its KeyCount speaks of all."""
        return _defect("half missing", lambda _, xml: defects.half_missing(xml))


def _defect(name: str, spoil: Callable[[Request, bytes], bytes]) -> Fault:
    return Fault(name, lambda request, right: _changed(right, spoil(request, bytes(right.body))))


def _error(
    request: Request, right: Response, status: int, body: bytes | str | None, content_type: str | None
) -> Response:
    default_type, default_body = _error_body(request, status)
    return _instead(right, status, default_body if body is None else body, content_type or default_type)


def _error_body(request: Request, status: int) -> tuple[str, bytes]:
    if kind_of(request) == "EXCHANGE_INFO":
        code, message = _BINANCE_ERRORS.get(status, (-1000, "An unknown error occurred."))
        return "application/json", json.dumps({"code": code, "msg": message}).encode()
    s3_code, message = _S3_ERRORS.get(status, ("Error", f"HTTP status {status}"))
    return "application/xml", S3Error(status, s3_code, message).body


@dataclass
class Injection:
    """A fault with the requests that it meets.

    Args:
        fault: The fault.
        on: The kind of requests.
        match: A symbol, or a part of the path or prefix; None for every request of the kind.
        remaining: How often it still happens; None for ever.
        spared: How many requests it still lets through.
        fired: How often it happened.
    """

    fault: Fault
    on: Kind
    match: str | None
    remaining: int | None
    spared: int
    fired: int = 0

    def meets(self, kind: Kind, symbol: str | None, text: str) -> bool:
        """Whether it is about a request; a match that is its symbol does not meet longer names."""
        if self.on != kind or self.remaining == 0:
            return False
        if self.match is None or self.match == symbol:
            return True
        # Only what cannot be a symbol is looked for in the text: BTCUSDT is also in BTCUSDT_210326.
        return any(mark in self.match for mark in "/-.") and self.match in text


class Faults:
    """The faults of a server. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._injections: list[Injection] = []

    def inject(
        self, fault: Fault, on: Kind, match: str | None = None, times: int | None = None, after: int = 0
    ) -> Injection:
        """Let a fault happen.

        Args:
            fault: The fault, such as `Fault.status(503)`.
            on: The kind of requests that it meets.
            match: Only requests about this symbol, or, with one of `/-.` in it, with this in their path or prefix.
            times: How often; None until `clear`.
            after: How many of these requests are answered rightly before.
        """
        if on not in KINDS:
            raise UsageError(f"a fault cannot be injected on {on!r}; the kinds are {', '.join(KINDS)}")
        injection = Injection(fault, on, match, times, after)
        with self._lock:
            self._injections.append(injection)
        return injection

    def clear(self) -> None:
        """Let no fault happen any more."""
        with self._lock:
            self._injections.clear()

    def take(self, kind: Kind, symbol: str | None, text: str) -> Fault | None:
        """The fault that a request meets, counted as having happened.

        Args:
            kind: The kind of the request.
            symbol: What it is about.
            text: Its path, and the prefix of a listing.
        """
        if not self._injections:
            return None
        with self._lock:
            for injection in self._injections:
                if not injection.meets(kind, symbol, text):
                    continue
                if injection.spared > 0:
                    injection.spared -= 1
                    continue
                injection.fired += 1
                injection.remaining = None if injection.remaining is None else injection.remaining - 1
                return injection.fault
        return None

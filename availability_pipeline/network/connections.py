"""Connections for which it is no failure that the server closes one that it had kept open.

An idempotent request that was sent on a used connection, and of whose answer no byte came, is sent once more on a new
one (RFC 9110, section 9.2.2). A failure on a new connection stays a failure.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache, partial
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any, TypeVar

from urllib3 import HTTPConnectionPool, PoolManager, Retry
from urllib3 import HTTPResponse as Answer
from urllib3.connection import HTTPConnection
from urllib3.util.request import rewind_body, set_file_position

_CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

Manager = TypeVar("Manager", bound=PoolManager)


class _NoByte(RemoteDisconnected):
    """The connection ended before the first byte of an answer."""


class _Answer(HTTPResponse):
    def begin(self) -> None:
        try:
            is_there = self.fp.peek(1)
        except _CLOSED as error:
            raise _NoByte(str(error)) from error
        if not is_there:
            raise _NoByte("Remote end closed connection without response")
        super().begin()


class _Resending(HTTPConnection):
    response_class = _Answer
    _is_used = False
    """Whether an answer has come on it since it was opened."""
    _to_tunnel: Callable[[], None] | None = None
    """How the proxy is told where to connect to, if it is to."""
    _again: Callable[[], None] | None = None
    """How the request under way is sent once more, if it may be."""

    def set_tunnel(self, *arguments: Any, **options: Any) -> None:
        self._to_tunnel = partial(super().set_tunnel, *arguments, **options)
        self._to_tunnel()

    def connect(self) -> None:
        self._is_used = False
        try:
            super().connect()
        except HTTPException:
            self.close()  # by which urllib3 knows that it was the proxy that did not answer
            raise

    def request(self, method: str, url: str, body: Any = None, *arguments: Any, **options: Any) -> None:
        send = partial(super().request, method, url, body, *arguments, **options)
        may_be_resent = self._is_used and method in Retry.DEFAULT_ALLOWED_METHODS
        self._again = _once_more(send, body) if may_be_resent else None
        try:
            send()
        except _CLOSED:
            if self._again is None:
                raise

    def getresponse(self) -> Answer:  # type: ignore[override]  # as urllib3 has it
        try:
            answer = super().getresponse()
        except _NoByte:
            if self._again is None:
                raise
            self._send_again(self._again)
            answer = super().getresponse()
        self._is_used = True
        return answer

    def _send_again(self, again: Callable[[], None]) -> None:
        self.close()
        if self._to_tunnel:
            self._to_tunnel()
        again()


def _once_more(send: Callable[[], None], body: Any) -> Callable[[], None] | None:
    """How to send a request for the second time; None if its body is gone by then."""
    if body is None or isinstance(body, bytes):
        return send
    position = set_file_position(body, None)
    if not isinstance(position, int):
        return None

    def again() -> None:
        rewind_body(body, position)
        send()

    return again


def resending(manager: Manager) -> Manager:
    """Let the connections of a manager, which are opened from now on, be such connections."""
    manager.pool_classes_by_scheme = {
        scheme: _resending(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager


@cache
def _resending(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    if issubclass(pool.ConnectionCls, _Resending):
        return pool
    connection = type(pool.ConnectionCls.__name__, (_Resending, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})

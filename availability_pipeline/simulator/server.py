"""The loopback server: which answer a request gets, and the thread that gives it.

Belongs here: routing, and starting and stopping. Does not belong here: framing (`wire.py`), the content of
answers (`s3.py`, `objects.py`, `exchange.py`), and how they are spoiled (`faults.py`).

It speaks three sides at one address: S3 at `/{bucket}`, files at `/{key}`, and the futures API at `/fapi`.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.content import Clock, SimulatedArchive, seconds_by
from availability_pipeline.simulator.exchange import exchange_info
from availability_pipeline.simulator.faults import Faults, Kind
from availability_pipeline.simulator.journal import RequestLog, RequestRecord
from availability_pipeline.simulator.keys import symbol_of
from availability_pipeline.simulator.listing import KeySpace
from availability_pipeline.simulator.objects import object_response
from availability_pipeline.simulator.s3 import S3Error, list_objects, no_such_bucket
from availability_pipeline.simulator.wire import Connection, Request, Response

EXCHANGE_INFO_PATH = "/fapi/v1/exchangeInfo"
CONTROL_PATH = "/_simulator/"
DEFAULT_BUCKET = "data.binance.vision"
_BACKLOG = 512
_HIGHEST_PORT = 65_535
_LATENCY = re.compile(r"\d{1,3}(\.\d{1,9})?")


class _Route(NamedTuple):
    """What a request is about: its kind, its key or bucket, and the symbol."""

    kind: Kind
    name: str
    symbol: str | None


class SimulatorServer:
    """An archive served over HTTP at a loopback address.

    Args:
        archive: What is served.
        latency: Seconds to wait before each answer; may be set at any time.
        port: The port, 0 for a free one.
        bucket: The bucket's name.
    """

    def __init__(self, archive: SimulatedArchive, latency: float, port: int, bucket: str) -> None:
        self.archive = archive
        self.latency = latency
        self.date: Clock = None
        """What the header Date of answers says, whatever moment the archive shows; the real time if None."""
        self.bucket = bucket
        self.requests = RequestLog()
        self.faults = Faults()
        self._keys = KeySpace(archive)
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="simulator", daemon=True
        )

    @property
    def url(self) -> str:
        """Where all three sides are."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The settings that make the pipeline use this server."""
        return {
            "AVAILABILITY_S3_ENDPOINT": self.url,
            "AVAILABILITY_ARCHIVE_URL": self.url,
            "AVAILABILITY_FAPI_URL": self.url,
            "AVAILABILITY_S3_BUCKET": self.bucket,
        }

    def start(self) -> None:
        """Answer requests from a thread of its own."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close every connection, whatever it is waiting for, and end the thread."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _run(self) -> None:
        connections: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        listener = await self._loop.create_server(
            lambda: Connection(self.answer, lambda: self.latency, lambda: seconds_by(self.date), connections),
            sock=self._socket,
            backlog=_BACKLOG,
        )
        self._ready.set()
        await self._stopping.wait()
        listener.close()
        for connection in tuple(connections):
            connection.close()
        # Aborted transports close their sockets in the next turns of the loop.
        while connections:
            await asyncio.sleep(0)
        await listener.wait_closed()

    def answer(self, request: Request) -> Response:
        """The answer to a request, spoiled if a fault meets it, and logged."""
        if request.path.startswith(CONTROL_PATH):
            return self._control(request)
        route = self._route(request)
        response = self._right_answer(request, route)
        fault = self.faults.take(
            route.kind, route.symbol, f"{request.path}?{request.query.get('prefix', '')}"
        )
        if fault is not None:
            response = fault.spoil(request, response)
        lost = response.delivery == "reset" or math.isinf(response.delay)
        status = 0 if lost else response.status
        self.requests.add(RequestRecord(route.kind, request.path, request.query, route.symbol, status))
        return response

    def _route(self, request: Request) -> _Route:
        name = request.path.removeprefix("/")
        first, _, rest = name.partition("/")
        kind: Kind = "HEAD" if request.method == "HEAD" else "GET"
        if request.path == EXCHANGE_INFO_PATH:
            return _Route("EXCHANGE_INFO", "", None)
        if first == self.bucket and rest:
            return _Route(kind, rest, symbol_of(rest))
        if rest:
            return _Route(kind, name, symbol_of(name))
        return _Route("LIST" if kind == "GET" else kind, "", symbol_of(request.query.get("prefix", "")))

    def _right_answer(self, request: Request, route: _Route) -> Response:
        head = request.method == "HEAD"
        try:
            if request.method not in ("GET", "HEAD"):
                raise S3Error(
                    405, "MethodNotAllowed", "The specified method is not allowed against this resource."
                )
            if route.kind == "EXCHANGE_INFO":
                return Response(200, "application/json", _json(exchange_info(self.archive)))
            if route.name:
                return object_response(self.archive, route.name, head=head)
            return self._bucket_answer(request)
        except S3Error as error:
            return Response(error.status, "application/xml", error.body)

    def _bucket_answer(self, request: Request) -> Response:
        name = request.path.strip("/")
        if name != self.bucket:
            raise no_such_bucket(name)
        headers = (("x-amz-bucket-region", "ap-northeast-1"),)
        if request.method == "HEAD":
            return Response(200, "application/xml", headers=headers)
        return Response(200, "application/xml", list_objects(self._keys, name, request.query), headers)

    def _control(self, request: Request) -> Response:
        """Statistics and settings for other processes; not logged itself."""
        command = request.path.removeprefix(CONTROL_PATH)
        if command == "reset":
            self.requests.clear()
        elif command == "latency" and _LATENCY.fullmatch(request.query.get("seconds", "")):
            self.latency = float(request.query["seconds"])
        elif command != "stats":
            return Response(404, "application/json", _json({"error": f"cannot do {request.target}"}))
        return Response(200, "application/json", _json(self.requests.counts()))


def _listen(port: int) -> socket.socket:
    # Checked before the socket is made, which would otherwise be left open.
    if not 0 <= port <= _HIGHEST_PORT:
        raise UsageError(f"the port {port} cannot be used; it is not from 0 to {_HIGHEST_PORT}")
    try:
        return socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"the port {port} cannot be used ({error}); choose another one, or 0 for any"
        ) from error


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@contextmanager
def serve(
    archive: SimulatedArchive, *, latency: float = 0.0, port: int = 0, bucket: str = DEFAULT_BUCKET
) -> Iterator[SimulatorServer]:
    """Serve an archive on 127.0.0.1 while the block runs.

    Args:
        archive: What is served; it may be changed meanwhile.
        latency: Seconds to wait before each answer.
        port: The port, 0 for a free one.
        bucket: The bucket's name.
    """
    server = SimulatorServer(archive, latency, port, bucket)
    server.start()
    try:
        yield server
    finally:
        server.stop()

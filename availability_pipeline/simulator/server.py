"""The archive over HTTP on 127.0.0.1: which answer a request gets, and the thread that gives it.

Belongs here: routing, and starting and stopping. Does not belong here: the content of answers (`s3.py`, `objects.py`,
`exchange.py`).

It speaks three sides at one address: S3 at `/{bucket}`, files at `/{key}`, and the exchanges' APIs, such as `/fapi`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from availability_pipeline.simulator.bars import bar_archives
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.exchange import exchange_info
from availability_pipeline.simulator.listing import KeyNames, KeySpace
from availability_pipeline.simulator.objects import object_response
from availability_pipeline.simulator.s3 import S3Error, list_objects
from availability_pipeline.simulator.shape import header_time

EXCHANGE_INFO = "/exchangeInfo"
"""How the path of exchangeInfo ends, whatever the market."""

BUCKET = "data.binance.vision"
_BACKLOG = 512
_KEEP_ALIVE_SECONDS = 3_600
"""How long an idle connection stays open: no client should meet its end while it asks."""

Kind = Literal["LIST", "HEAD", "GET", "EXCHANGE_INFO"]
"""What a request is about."""

Answer = Callable[[Request], Response]
Answering = Callable[[Request, Answer], Awaitable[Response]]
"""Gives the response to a request; the second argument is what would answer it rightly and at once."""


async def _answering(request: Request, answer: Answer) -> Response:
    return answer(request)


def path_of(request: Request) -> str:
    """The path of a request, percent-decoded."""
    path: str = request.scope["path"]
    return path


def key_of(request: Request) -> str:
    """The key that a request is about on either side, or the empty string for one about a bucket."""
    first, _, rest = path_of(request).removeprefix("/").partition("/")
    return rest if first == BUCKET or not rest else f"{first}/{rest}"


def kind_of(request: Request) -> Kind:
    """What a request is about."""
    if path_of(request).endswith(EXCHANGE_INFO):
        return "EXCHANGE_INFO"
    if request.method == "HEAD":
        return "HEAD"
    return "GET" if key_of(request) else "LIST"


class _Uvicorn(uvicorn.Server):
    """A server that starts and stops at once: the original looks ten times a second whether it should stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Serve until `stop`."""
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        await self._stopping.wait()

    def stop(self) -> None:
        """Let the server's own thread end the main loop."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection, whatever it is waiting for; the original lets requests finish."""
        for listener in self.servers:
            listener.close()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        # Aborted transports close their sockets in the next turns of the loop.
        while self.server_state.connections:
            await asyncio.sleep(0)
        for each in sockets or ():
            each.close()


class SimulatorServer:
    """An archive served over HTTP at a free port of 127.0.0.1.

    Args:
        archive: What is served.
        answering: Gives the responses; by default the right ones at once.
        beside: The same bucket's files of other datasets.
    """

    def __init__(
        self,
        archive: SimulatedArchive,
        answering: Answering = _answering,
        beside: Sequence[SimulatedArchive] = (),
    ) -> None:
        self._answering = answering
        self._archives = archive, *beside
        self._spaces = list(self._key_spaces(self._archives))
        self._numbers = itertools.count(1)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._serve_one,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server = _Uvicorn(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="simulator", daemon=True
        )

    def _key_spaces(self, archives: Iterable[SimulatedArchive]) -> Iterator[KeySpace]:
        """One for each root, with the files of daily bars in the same folders."""
        given = list(archives)
        roots: dict[str, dict[str, SimulatedArchive]] = {}
        for each in (*given, *(bars for archive in given for bars in self.bars_of(archive))):
            names = KeyNames(each.dataset)
            # Files of daily bars can be those of a dataset of their own, or belong to several.
            roots.setdefault(names.root, {}).setdefault(names.inner, each)
        return (KeySpace(*each.values()) for each in roots.values())

    def bars_of(self, archive: SimulatedArchive) -> Sequence[SimulatedArchive]:
        """The files of daily bars that are there beside an archive's."""
        return bar_archives(archive)

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
            "AVAILABILITY_S3_BUCKET": BUCKET,
        }

    def start(self) -> None:
        """Answer requests from a thread of its own."""
        self._thread.start()
        self._server.ready.wait()

    def stop(self) -> None:
        """Close every connection, whatever it is waiting for, and end the thread."""
        self._server.stop()
        self._thread.join()

    async def _serve_one(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What is still under way when the server stops is cancelled.
        with suppress(asyncio.CancelledError):
            response = await self._answering(Request(scope), self.answer)
            await response(scope, receive, send)

    def answer(self, request: Request) -> Response:
        """The right response to a request."""
        try:
            response = self._right_answer(request)
        except S3Error as error:
            response = Response(error.body, error.status, media_type="application/xml")
        response.headers["x-amz-id-2"] = "simulator"
        response.headers["x-amz-request-id"] = f"{next(self._numbers):016X}"
        response.headers["Date"] = header_time(int(time.time()))
        response.headers["Server"] = "AmazonS3"
        return response

    def _right_answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            message = "The specified method is not allowed against this resource."
            raise S3Error(405, "MethodNotAllowed", message)
        if kind_of(request) == "EXCHANGE_INFO":
            return Response(
                _json(exchange_info(*self._market(path_of(request)))), media_type="application/json"
            )
        key = key_of(request)
        if key:
            return object_response(self.space(key), key, head=request.method == "HEAD")
        bucket = path_of(request).strip("/")
        if bucket != BUCKET:
            message = "The specified bucket does not exist"
            raise S3Error(404, "NoSuchBucket", message, BucketName=bucket)
        query = dict(request.query_params)
        return Response(
            list_objects(self.space(query.get("prefix", "")), bucket, query),
            headers={"x-amz-bucket-region": "ap-northeast-1"},
            media_type="application/xml",
        )

    def space(self, path: str) -> KeySpace:
        """The keys among which a key or a prefix is; those of the first archive for one above its root."""
        within = (space for space in self._spaces if path.startswith(space.names.root))
        return next(within, self._spaces[0])

    def _market(self, path: str) -> list[SimulatedArchive]:
        market = [each for each in self._archives if each.dataset.market.exchange_info_path == path]
        if not market:
            raise S3Error(404, "NoSuchKey", "No exchange is simulated there.", Key=path)
        return market


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@contextmanager
def serve(
    archive: SimulatedArchive, *beside: SimulatedArchive, answering: Answering = _answering
) -> Iterator[SimulatorServer]:
    """Serve archives on 127.0.0.1 while the block runs; see `SimulatorServer`."""
    server = SimulatorServer(archive, answering, beside)
    server.start()
    try:
        yield server
    finally:
        server.stop()

"""A bucket of moto's server, and a gateway in front of it that can refuse, wait, cut off and damage."""

from __future__ import annotations

import http.client
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from availability_pipeline_tests.archive.servers import served

PREFIX = "team/availability"
KEY_ID, SECRET, TOKEN = "AKIAKNOWNTOTESTS", "secret-of-the-tests", "token-of-the-tests"

_numbers = itertools.count(1)

_PUBLIC = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}
        ],
    }
)


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a server of moto's."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def memory() -> Any:
    """What moto's servers in this process hold."""
    return s3_backends["123456789012"]["aws"]


def keys_of(bucket: str) -> list[str]:
    """The names of all objects of a bucket."""
    return sorted(key.name for key in memory().buckets[bucket].keys.values())


@dataclass(frozen=True)
class Request:
    """A request that the gateway got."""

    method: str
    path: str
    """Within the server, decoded, without its query."""
    headers: dict[str, str]


Answer = Callable[[BaseHTTPRequestHandler], None]
"""Answers a request instead of the server behind the gateway."""


@dataclass
class Gateway:
    """A server that hands everything on, but for what a test wants otherwise."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    instead: Callable[[Request], Answer | None] = lambda _: None
    """What to do with a request other than to hand it on."""
    change: Callable[[Request, bytes], bytes] = lambda _, body: body
    """What to make of the body of an answer; the length that is announced stays."""

    def count(self, method: str, ending: str = "") -> int:
        return sum(request.method == method and request.path.endswith(ending) for request in self.requests)


@contextmanager
def gateway_to(url: str) -> Iterator[Gateway]:
    """A gateway in front of a server."""
    gateway, behind = Gateway(), urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, unquote(urlsplit(self.path).path), dict(self.headers))
            gateway.requests.append(request)
            if answer := gateway.instead(request):
                answer(self)
                return
            # An answer cut off must not leave its connection to another request.
            self.close_connection = True
            with closing(http.client.HTTPConnection(behind, timeout=60)) as connection:
                connection.request(self.command, self.path, body, dict(self.headers))
                given = connection.getresponse()
                content = gateway.change(request, given.read())
            self.send_response_only(given.status)
            for name, value in given.getheaders():
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with served(Handler, _Server) as gateway.url:
        yield gateway


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed here."""


def saying(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer of its own."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@dataclass(frozen=True)
class Store:
    """A bucket of its own, seen through the gateway, with one prefix to publish to."""

    bucket: str
    gateway: Gateway

    @property
    def s3_url(self) -> str:
        return f"s3://{self.bucket}/{PREFIX}"

    @property
    def http_url(self) -> str:
        return f"{self.gateway.url}/{self.bucket}/{PREFIX}"

    @property
    def environ(self) -> dict[str, str]:
        """How programs find and may use the bucket."""
        return {
            "AWS_ENDPOINT_URL": self.gateway.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_CONFIG_FILE": "/nonexistent",
        }

    def keys(self, under: str = "") -> list[str]:
        """The names of the objects below a folder of the prefix, relative to the prefix."""
        folder = f"{PREFIX}/{under}"
        return [name.removeprefix(f"{PREFIX}/") for name in keys_of(self.bucket) if name.startswith(folder)]

    def object(self, path: str) -> Any:
        """What moto holds of an object: its `value`, `last_modified`, `metadata`."""
        return memory().get_object(self.bucket, f"{PREFIX}/{path}")

    def put(self, path: str, content: bytes) -> None:
        memory().put_object(self.bucket, f"{PREFIX}/{path}", content)

    def latest(self) -> dict[str, Any]:
        """What `latest.json` says."""
        found: dict[str, Any] = json.loads(self.object("latest.json").value)
        return found

    def generations(self) -> list[str]:
        """The generations that have objects, oldest first."""
        return sorted({key.split("/")[1] for key in self.keys("generations/")})


def new_store(gateway: Gateway) -> Store:
    """The store of an empty bucket."""
    bucket = f"bucket-{next(_numbers)}"
    new_bucket(bucket)
    return Store(bucket, gateway)


def new_bucket(name: str) -> None:
    """Make a bucket that everybody may read, if it is not there."""
    if name in memory().buckets:
        return
    memory().create_bucket(name, "us-east-1")
    memory().put_bucket_policy(name, _PUBLIC.encode())

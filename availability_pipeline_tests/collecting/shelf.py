"""An archive of a few small files in memory, served over HTTP with their checksums, and a publication about it."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

from availability_pipeline.archive.names import parse_symbol
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.publishing.write import publish
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.writes import Block, write_collection, write_symbols
from availability_pipeline_tests.archive.servers import served
from availability_pipeline_tests.publishing import sample

DAYS = sample.DAYS[:5]
NAMES = ("BTCUSDT", "ETHUSDT", "币安人生USDT")

Answer = Callable[[BaseHTTPRequestHandler], None]


def key(symbol: str, day: dt.date) -> str:
    return DEFAULT_DATASET.key(symbol, day)


@dataclass
class Shelved:
    """A file."""

    body: bytes
    modified: dt.datetime
    checksum: bytes | None
    """The body of its `.CHECKSUM`, if it has one."""


@dataclass
class Shelf:
    """The files by key, what was asked for, and answers that are wrong."""

    url: str = ""
    files: dict[str, Shelved] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Keys in order, those of checksums as well."""
    instead: dict[str, Answer] = field(default_factory=dict)
    """By key, another answer than the right one."""

    def fill(self) -> None:
        """Have the files that the tests begin with, and nothing else."""
        self.files, self.instead = {}, {}
        for symbol in NAMES:
            for day in DAYS:
                modified = dt.datetime(day.year, day.month, day.day, 7, 30) + dt.timedelta(days=1)  # noqa: DTZ001
                self.put(symbol, day, f"{symbol} {day} ".encode() * (500 + day.day), modified)
        self.asked = []

    def put(self, symbol: str, day: dt.date, body: bytes, modified: dt.datetime) -> None:
        """Have a file with its right checksum."""
        name = key(symbol, day)
        line = f"{hashlib.sha256(body).hexdigest()}  {name.rpartition('/')[2]}\n".encode()
        self.files[name] = Shelved(body, modified, line)

    def replace(self, symbol: str, day: dt.date, body: bytes = b"other") -> None:
        """Replace a file by a newer one."""
        self.put(symbol, day, body, self.files[key(symbol, day)].modified + dt.timedelta(days=3))

    def bodies(self) -> dict[str, bytes]:
        return {name: file.body for name, file in self.files.items()}

    def publish(self, folder: Path) -> Path:
        """Publish a database about the files as they are now."""
        rows: sample.Files = {}
        for symbol in NAMES:
            for day in DAYS:
                if file := self.files.get(key(symbol, day)):
                    rows[day, symbol] = (len(file.body), file.modified)
        with connect(folder / "working" / "availability.duckdb") as connection:
            symbols = [parse_symbol(DEFAULT_DATASET, name) for name in NAMES]
            write_symbols(connection, symbols, [], tracked=set(NAMES), now=sample.COLLECTED_AT)
            blocks = [Block(DAYS, NAMES)]
            write_collection(connection, blocks, sample.arrow(rows), self.url, sample.record("run-1"))
            publish(connection, folder / "availability.duckdb", "run-1")
        return folder / "availability.duckdb"


@contextmanager
def serving() -> Iterator[Shelf]:
    """A filled shelf that is served."""
    shelf = Shelf()
    shelf.fill()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = unquote(self.path).lstrip("/")
            shelf.asked.append(name)
            if name in shelf.instead:
                shelf.instead[name](self)
                return
            file = shelf.files.get(name.removesuffix(".CHECKSUM"))
            body = file and (file.checksum if name.endswith(".CHECKSUM") else file.body)
            if file is None or body is None:
                say(self, 404, b"<Error/>")
            else:
                say(self, 200, body, modified=file.modified)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with served(Handler) as shelf.url:
        yield shelf


def say(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    *,
    modified: dt.datetime | None = None,
    length: int | None = None,
) -> None:
    """Send an answer, which may announce another length than it has."""
    handler.send_response_only(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    if modified is not None:
        moment = modified.replace(tzinfo=dt.UTC)
        handler.send_header("Last-Modified", format_datetime(moment, usegmt=True))
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = length is not None


def held_back(file: Shelved, begun: threading.Event, released: threading.Event) -> Answer:
    """An answer that stops after half of the body until it is released."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        half = len(file.body) // 2
        say(handler, 200, file.body[:half], modified=file.modified, length=len(file.body))
        handler.wfile.flush()
        begun.set()
        released.wait(60)

    return answer

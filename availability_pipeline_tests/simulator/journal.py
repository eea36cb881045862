"""What a server was asked: one record for each request, and counts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, get_args

from availability_pipeline.simulator.server import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)


class RequestRecord(NamedTuple):
    """One request that was answered.

    Args:
        kind: `LIST`, `HEAD`, `GET` or `EXCHANGE_INFO`.
        path: The path, percent-decoded.
        query: The parameters, decoded.
        symbol: What it was about, where that is one symbol.
        status: The HTTP status of the answer; 0 if no status was sent.
    """

    kind: Kind
    path: str
    query: dict[str, str]
    symbol: str | None
    status: int


class RequestLog:
    """The requests of a server in the order of their answers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def add(self, record: RequestRecord) -> None:
        """Note a request."""
        with self._lock:
            self._records.append(record)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._records.clear()

    def records(self) -> list[RequestRecord]:
        """All requests so far."""
        with self._lock:
            return list(self._records)

    def count(self, kind: Kind | None = None, symbol: str | None = None) -> int:
        """How many requests there were, of one kind or of all, about one symbol or any."""
        return sum(
            kind in (None, record.kind) and symbol in (None, record.symbol) for record in self.records()
        )

    def counts(self) -> dict[str, int]:
        """How many requests there were of each kind."""
        counter = Counter(record.kind for record in self.records())
        return {kind: counter[kind] for kind in KINDS}

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self.records())

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)

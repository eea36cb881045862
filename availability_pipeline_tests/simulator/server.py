"""The package's server with what tests hold on to: faults, a log, latency, and another date."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from starlette.requests import Request
from starlette.responses import Response

from availability_pipeline.simulator.bars import bar_periods
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.server import Answer, SimulatorServer, key_of, kind_of, path_of
from availability_pipeline.simulator.shape import header_time
from availability_pipeline_tests.simulator.faults import Delayed, Faults, Reset
from availability_pipeline_tests.simulator.journal import RequestLog, RequestRecord
from availability_pipeline_tests.simulator.scripted import ScriptedArchive
from availability_pipeline_tests.simulator.scripting import Clock, seconds_by


class ObservedServer(SimulatorServer):
    """A scripted archive served over HTTP.

    Args:
        archive: What is served; it may be changed meanwhile.
        beside: Other datasets of the same bucket.
    """

    def __init__(self, archive: ScriptedArchive, *beside: ScriptedArchive) -> None:
        super().__init__(archive, self._observed, beside)
        self.archive = archive
        self._locks = [each.lock for each in (archive, *beside)]
        self.latency = 0.0
        """Seconds to wait before each answer; may be set at any time."""
        self.date: Clock = None
        """What the header Date of answers says, whatever moment the archive shows; the real time if None."""
        self.requests = RequestLog()
        self.faults = Faults()

    def bars_of(self, archive: SimulatedArchive) -> Sequence[SimulatedArchive]:
        """The scripted files of daily bars, where there are other klines."""
        assert isinstance(archive, ScriptedArchive)
        periods = bar_periods(archive)
        return [each for each in archive.bars if each.dataset.period in periods] if periods else ()

    async def _observed(self, request: Request, answer: Answer) -> Response:
        if self.latency:
            await asyncio.sleep(self.latency)
        with ExitStack() as held:
            for lock in self._locks:
                held.enter_context(lock)
            response = answer(request)
        if self.date is not None:
            response.headers["Date"] = header_time(int(seconds_by(self.date)))
        kind, path, query = kind_of(request), path_of(request), dict(request.query_params)
        about = key_of(request) or query.get("prefix", "")
        symbol = self.space(about).names.symbol_of(about)
        fault = self.faults.take(kind, symbol, f"{path}?{query.get('prefix', '')}")
        if fault is not None:
            response = fault.spoil(request, response)
        self.requests.add(RequestRecord(kind, path, query, symbol, status_of(response)))
        return response


def status_of(response: Response) -> int:
    """The status that a client gets to see, 0 for none."""
    lost = isinstance(response, Reset) or (isinstance(response, Delayed) and math.isinf(response.seconds))
    return 0 if lost else response.status_code


@contextmanager
def serve(archive: ScriptedArchive, *beside: ScriptedArchive) -> Iterator[ObservedServer]:
    """Serve an archive on 127.0.0.1 while the block runs, with other datasets beside it."""
    server = ObservedServer(archive, *beside)
    server.start()
    try:
        yield server
    finally:
        server.stop()

"""`python -m benchmarks.archive`: the simulated archive in a process of its own, with latency and a count of requests.

It is asked over HTTP at `/_control/…`: `stats` gives the requests of each kind, `reset` forgets them, and
`latency?seconds=…` lets every later answer wait. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.server import Answer, kind_of, path_of, serve

CONTROL = "/_control/"


class Watch:
    """Counts requests, and lets them wait."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._latency = 0.0

    async def answering(self, request: Request, answer: Answer) -> Response:
        """The right answer after the latency, or an answer to a question about what was asked."""
        if path_of(request).startswith(CONTROL):
            return self._control(request)
        if self._latency:
            await asyncio.sleep(self._latency)
        self._seen[kind_of(request)] += 1
        return answer(request)

    def _control(self, request: Request) -> Response:
        command = path_of(request).removeprefix(CONTROL)
        if command == "reset":
            self._seen.clear()
        elif command == "latency":
            self._latency = float(request.query_params["seconds"])
        kinds = ("LIST", "HEAD", "GET", "EXCHANGE_INFO")
        return JSONResponse({kind: self._seen[kind] for kind in kinds})


if __name__ == "__main__":
    symbols = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with serve(SimulatedArchive.recorded(symbols), answering=Watch().answering) as server:
        print(json.dumps({"url": server.url, "environment": server.environment()}), flush=True)
        sys.stdin.read()

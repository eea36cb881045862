"""Processes for the benchmarks: the simulated archive, and one fresh Python for each task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """A simulated archive and a data directory to work in."""

    url: str
    environment: dict[str, str]
    data_dir: Path

    def task(self, name: str, *arguments: str) -> Figures:
        """Run a function of `tasks`, or `module.function`, in a fresh process; adds what the archive was asked."""
        self._control("reset")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.tasks", name, *arguments],
            env=self.environ(),
            check=True,
            stdout=subprocess.PIPE,
        )
        return {**json.loads(done.stdout), "seen": self._seen()}

    def command(self, *arguments: str) -> Figures:
        """Run a command of the command line; wall seconds, and how many requests the archive saw."""
        self._control("reset")
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "availability_pipeline", *arguments],
            env=self.environ(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return {"wall": time.perf_counter() - began, "seen": self._seen()}

    def set_latency(self, seconds: float) -> None:
        """Let every answer of the archive come that much later."""
        self._control(f"latency?seconds={seconds}")

    def environ(self) -> dict[str, str]:
        """The environment of a process that works in the data directory on the archive."""
        home = {"AVAILABILITY_DATA_DIR": str(self.data_dir), "DAGSTER_HOME": str(self.data_dir / "dagster")}
        # Or each process would compile an editable checkout anew, but not a version that pip installed.
        compiled = {"PYTHONDONTWRITEBYTECODE": ""}
        return {**os.environ, **compiled, **self.environment, **home}

    def _control(self, action: str) -> None:
        request = urllib.request.Request(f"{self.url}/_control/{action}", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def _seen(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/_control/stats", timeout=10) as answer:
            seen: dict[str, int] = json.load(answer)
        return seen


@contextmanager
def bench(data_dir: Path, symbols: int | None) -> Iterator[Bench]:
    """The simulated archive with all folders, or a reduced one, for the time of the block."""
    command = [sys.executable, "-m", "benchmarks.archive", *([str(symbols)] if symbols else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            hello = json.loads(server.stdout.readline() if server.stdout else "")
            yield Bench(hello["url"], hello["environment"], data_dir)
        finally:
            server.terminate()

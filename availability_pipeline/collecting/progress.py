"""The progress of a run on stderr: a bar on a terminal, plain lines elsewhere, or logged."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from availability_pipeline.archive.batch import Progress
from availability_pipeline.collecting.reporting import PACKAGE, console

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_progress(stream: TextIO = sys.stderr, log_format: str = "text") -> Iterator[Progress]:
    """The reporter for a stream; with the format json it logs instead."""
    if log_format == "json":
        yield LoggedProgress(stream)
        return
    if not stream.isatty():
        yield PlainProgress(stream)
        return
    with TerminalProgress(console(stream)) as progress:
        yield progress


class PlainProgress(Progress):
    """A line per stage, and one every `SECONDS_BETWEEN_LINES` within it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()
        self._text, self._unit, self._done, self._total = "", "", 0, 0
        self._began = self._said = 0.0

    def stage(self, text: str, total: int | None = None, unit: str = "") -> None:
        self._text, self._unit, self._done, self._total = text, unit, 0, total or 0
        self._began = self._said = time.monotonic()
        self._say(f"{text} …")

    def grow(self, count: int) -> None:
        with self._lock:
            self._total += count

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._said < SECONDS_BETWEEN_LINES and self._done < self._total:
                return
            self._said = now
            rate = self._done / max(now - self._began, 1e-6)
            left = (self._total - self._done) / rate
        self._say(
            f"{self._text}: {self._done:,} of {self._total:,} {self._unit}, {rate:,.0f} a second, {left:.0f} s left"
        )

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LoggedProgress(PlainProgress):
    """As `PlainProgress`, logged."""

    def _say(self, line: str) -> None:
        logging.getLogger(f"{PACKAGE}.progress").info(line)


class _RateColumn(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed and task.total else "", style="progress.data.speed")


class TerminalProgress(Progress):
    """A progress bar per stage, with rate and time left."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._lock = Lock()
        self._total = 0

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self._finish()
        self._bars.stop()

    def stage(self, text: str, total: int | None = None, unit: str = "") -> None:
        self._finish()
        self._total = total or 0
        self._task = self._bars.add_task(f"{text} ({unit})" if unit else text, total=total)

    def _finish(self) -> None:
        if self._task is not None:
            done = self._bars.tasks[self._task].completed or 1
            self._bars.update(self._task, total=done, completed=done)

    def grow(self, count: int) -> None:
        with self._lock:
            self._total += count
            if self._task is not None:
                self._bars.update(self._task, total=self._total)

    def advance(self, count: int = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, count)

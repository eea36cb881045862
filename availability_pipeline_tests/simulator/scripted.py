"""An archive that a test changes: its clock, its folders and single files.

Every method may be called from any thread while a server serves the archive.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Self

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset
from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.content import Files, Folder
from availability_pipeline.simulator.datasets import recorded_content
from availability_pipeline.simulator.facts import FolderFacts, Gap
from availability_pipeline.simulator.shape import SECONDS_PER_DAY, SILENT_BYTES, day_number, day_of
from availability_pipeline_tests.simulator.scripted_bars import ScriptedBars
from availability_pipeline_tests.simulator.scripting import (
    Change,
    Clock,
    FileScript,
    Scripted,
    changed_files,
    moment_of,
    seconds_by,
)


class ScriptedFolder(Scripted, Folder):
    """A folder with changes.

    Args:
        facts: The record.
        market_gaps: Days on which the whole market was late.
        last_published: Gives the number of the last published day, or None for what the clock allows.
        dataset: What its files are of.
    """

    def __init__(
        self,
        facts: FolderFacts,
        market_gaps: Iterable[Gap],
        last_published: Callable[[], int | None],
        dataset: Dataset,
    ) -> None:
        Folder.__init__(self, facts, market_gaps, dataset)
        Scripted.__init__(self)
        self._last_published = last_published
        self._shown: Files | None = None
        self._shown_at: tuple[float, int | None] = (0, None)

    def change(self, day: int, change: Change | None) -> None:
        """Set one file, or take it away."""
        super().change(day, change)
        self._shown = None

    def moment(self, now: float) -> float:
        """The end of the day after the last published one if that is set."""
        published = self._last_published()
        return now if published is None else (published + 2) * SECONDS_PER_DAY - 1

    def silent_since(self, day: int) -> int | None:
        """As recorded; of a 1-minute file with a scripted size, the size tells."""
        change = self.changes.get(day)
        if change is None or self.bars_of != "1m":
            return super().silent_since(day)
        least, most = SILENT_BYTES
        return day if least <= change.size <= most else None

    def default_size(self, day: int) -> int:  # noqa: ARG002 - the same on every day
        """Bytes of a median day."""
        return self.facts.live_zip_bytes

    def body(self, name: str, files: Files, at: int) -> bytes:
        """The scripted content, or what is recorded."""
        scripted = self.scripted_body(files.days[at])
        return super().body(name, files, at) if scripted is None else scripted

    def checksum(self, name: str, files: Files, at: int) -> bytes:
        """The scripted CHECKSUM, or the right one."""
        return self.checksums.get(files.days[at]) or super().checksum(name, files, at)

    def visible(self, now: float) -> Files:
        """The files that can be seen at a moment in seconds."""
        at = now, self._last_published()
        if not self.changes and at[1] is None:
            return super().visible(now)
        if self._shown is None or at != self._shown_at:
            self._shown, self._shown_at = self._select(*at), at
        return self._shown

    def has_files(self, now: float) -> bool:
        """Whether any file can be seen."""
        if self.changes or self._last_published() is not None:
            return len(self.visible(now)) > 0
        return super().has_files(now)

    def _select(self, now: float, published: int | None) -> Files:
        today = int(now // SECONDS_PER_DAY)
        files = changed_files(self.known(today if published is None else max(today, published)), self.changes)
        return files.take([at for at in range(len(files)) if self._shows(files, at, now, published)])

    def _shows(self, files: Files, at: int, now: float, published: int | None) -> bool:
        day, change = files.days[at], self.changes.get(files.days[at])
        appeared = (files.modified[at] if change is None else change.visible_from) <= now
        if published is None:
            return appeared
        late = change is not None or any(day_of(day) in gap.days for gap in self.gaps)
        return day <= published and (appeared or not late)


class ScriptedArchive(FileScript):
    """A simulated archive, and a script's hold on it.

    Args:
        folders: What is recorded of each folder.
        market_gaps: Days on which the whole market was late.
        now: The archive's clock.
        dataset: What the files are of.
    """

    def __init__(
        self,
        folders: Iterable[FolderFacts],
        market_gaps: Sequence[Gap] = (),
        now: Clock = None,
        dataset: Dataset = DEFAULT_DATASET,
    ) -> None:
        self.dataset = dataset
        self.lock = threading.RLock()
        self._last_published: int | None = None
        self._clock = now
        self._scripted = {facts.symbol: self._new_folder(facts, market_gaps) for facts in folders}
        self._put_together()

    @classmethod
    def recorded(
        cls,
        symbols: int | Sequence[str] | None = None,
        now: Clock = None,
        dataset: Dataset = DEFAULT_DATASET,
    ) -> Self:
        """The archive as it is recorded; see `SimulatedArchive.recorded`.

        Args:
            symbols: Which folders.
            now: Its clock; the real one by default.
            dataset: What its files are of.
        """
        content = recorded_content(dataset, symbols)
        return cls(content.folders, content.market_gaps, now, dataset)

    @classmethod
    def empty(cls, now: Clock = None, dataset: Dataset = DEFAULT_DATASET) -> Self:
        """An archive without a folder."""
        return cls((), (), now, dataset)

    def now(self) -> dt.datetime:
        """The moment of the archive's clock, naive in UTC."""
        return moment_of(int(self.seconds()))

    def seconds(self) -> float:
        """The moment of the archive's clock in seconds since 1970."""
        return seconds_by(self._clock)

    def set_now(self, now: Clock) -> None:
        """Set the archive's clock: a moment, a function that gives one, or None for the real time."""
        self._clock = now

    def set_last_published_day(self, day: dt.date | None) -> None:
        """Show every file up to this day and none after it, whatever the hour; None goes back to the clock."""
        self._last_published = None if day is None else day_number(day)

    @cached_property
    def bars(self) -> tuple[ScriptedBars, ScriptedBars]:
        """The daily and the monthly files with daily bars; a script can change them on their own."""
        return ScriptedBars(self, "daily"), ScriptedBars(self, "monthly")

    @property
    def daily_bars(self) -> ScriptedBars:
        """The daily files with a bar."""
        return self.bars[0]

    @property
    def monthly_bars(self) -> ScriptedBars:
        """The monthly files with daily bars."""
        return self.bars[1]

    def exchange_day(self) -> dt.date:
        """Today, or the day after the last published one if that is set."""
        return super().exchange_day() if self._last_published is None else day_of(self._last_published + 1)

    def add_symbol(
        self,
        name: str,
        first_day: dt.date,
        last_day: dt.date | None = None,
        live_zip_bytes: int = 46_000,
        kind: str = "perpetual",
        status: str = "TRADING",
    ) -> None:
        """Add a folder with a file for every day from the first to the last, or without an end.

        Args:
            name: The symbol; it ends in its quote asset.
            first_day: Day of its first file.
            last_day: Day of its last file.
            live_zip_bytes: Bytes of a median day.
            kind: `perpetual`, `tradifi_perpetual`, `settled`, `delivery`, `pair` or `index`.
            status: What exchangeInfo says of it.
        """
        with self.lock:
            if name in self._scripted:
                raise UsageError(f"the folder {name} exists already; remove_symbol() comes first")
            quote = quote_of(name, self.dataset)
            facts = FolderFacts(name, kind, quote, first_day, last_day, live_zip_bytes, None, status)
            self._scripted[name] = self._new_folder(facts)
            self._put_together()

    def remove_symbol(self, name: str) -> None:
        """Take a folder away with all its files."""
        with self.lock:
            self._folder(name)
            del self._scripted[name]
            self._put_together()

    def _put_together(self) -> None:
        super().__init__(self._scripted.values(), self.dataset)

    def _new_folder(self, facts: FolderFacts, market_gaps: Iterable[Gap] = ()) -> ScriptedFolder:
        return ScriptedFolder(facts, market_gaps, lambda: self._last_published, self.dataset)


def quote_of(name: str, dataset: Dataset = DEFAULT_DATASET) -> str:
    """The quote asset at the end of a symbol's name, the first of the dataset's if none is known there."""
    plain = name.split("_", maxsplit=1)[0].removesuffix("SETTLED").removesuffix("SETTLED")
    return next((quote for quote in dataset.market.quotes if plain.endswith(quote)), dataset.market.quotes[0])

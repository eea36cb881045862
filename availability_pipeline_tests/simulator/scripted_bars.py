"""Files with daily bars that a test changes on their own: without a 1-minute file, broken, replaced, short of days.

archive.monthly_bars.omit_days("BTCUSDT", [dt.date(2024, 1, 5)])
archive.daily_bars.replace_file("BTCUSDT", dt.date(2024, 1, 6), body=b"no zip")
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from availability_pipeline.simulator.bars import BarArchive, BarFolder, MonthFolder
from availability_pipeline.simulator.content import Files, Folder
from availability_pipeline.simulator.shape import day_number
from availability_pipeline_tests.simulator.scripting import Change, FileScript, Scripted, changed_files


class _ScriptedBarFolder(Scripted, BarFolder):
    """The daily files of one contract, with changes."""

    def __init__(self, source: Folder, first: int) -> None:
        BarFolder.__init__(self, source, first)
        Scripted.__init__(self)
        self._shown: Files | None = None
        self._shown_of: tuple[Files, float] | None = None
        self.omitted: set[int] = set()

    def change(self, day: int, change: Change | None) -> None:
        """Set one file, or take it away."""
        super().change(day, change)
        self._shown_of = None

    def visible(self, now: float) -> Files:
        """The files that can be seen at a moment in seconds."""
        ordinary = super().visible(now)
        if not self.changes:
            return ordinary
        if self._shown is None or self._shown_of is None or self._shown_of != (ordinary, now):
            current = {
                day: change
                for day, change in self.changes.items()
                if change is None or change.visible_from <= now
            }
            self._shown, self._shown_of = changed_files(ordinary, current), (ordinary, now)
        return self._shown

    def has_files(self, now: float) -> bool:
        """Whether any file can be seen."""
        return len(self.visible(now)) > 0 if self.changes else super().has_files(now)

    def default_size(self, day: int) -> int:
        """Bytes of an added file."""
        return self.size(day, max(1, len(self.days(day))))

    def days(self, day: int) -> Sequence[int]:
        """The numbers of the days whose bars are in a file."""
        return [each for each in super().days(day) if each not in self.omitted]

    def body(self, name: str, files: Files, at: int) -> bytes:
        """The scripted content, or what is recorded."""
        scripted = self.scripted_body(files.days[at])
        return super().body(name, files, at) if scripted is None else scripted

    def checksum(self, name: str, files: Files, at: int) -> bytes:
        """The scripted CHECKSUM, or the right one."""
        return self.checksums.get(files.days[at]) or super().checksum(name, files, at)


class _ScriptedMonthFolder(_ScriptedBarFolder, MonthFolder):
    """The monthly files of one contract, with changes."""


class ScriptedBars(BarArchive, FileScript):
    """The files with daily bars of an archive, and a script's hold on them.

    Args:
        source: The archive of 1-minute files.
        period: `daily` or `monthly`; a month is named by its first day.
    """

    def __init__(self, source: FileScript, period: str) -> None:
        super().__init__(source, period)
        self.lock = source.lock
        self._kept: dict[str, _ScriptedBarFolder] = {}

    def omit_days(self, symbol: str, days: Iterable[dt.date]) -> None:
        """Leave days out of a contract's monthly files, from the first version on."""
        with self.lock:
            folder = self._folder(symbol)
            assert isinstance(folder, _ScriptedMonthFolder)
            folder.omitted |= set(map(day_number, days))

    def _made(self, source: Folder) -> BarFolder:
        kept = self._kept.get(source.facts.symbol)
        if kept is None or kept.source is not source:
            kind = _ScriptedBarFolder if self.dataset.period == "daily" else _ScriptedMonthFolder
            kept = kind(source, day_number(self.dataset.first_file_day))
            self._kept[source.facts.symbol] = kept
        return kept

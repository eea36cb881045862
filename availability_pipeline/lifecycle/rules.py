"""The numbers in the rules, and where they come from. Sizes are bytes of a day's 1-minute zip."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from availability_pipeline.dates import utc_today
from availability_pipeline.settings import Settings

ONE_ROW_BYTES = 153
"""The smallest zip of one row, without the symbol, whose bytes are in it twice. It is 98 for the local header (30), the
central directory (46) and its end (22), twice 18 for the rest of the entry's name (`-1m-2024-01-15.csv`), and 19 for
the row: no twelve columns with the times of a minute are deflated to less. BTCUSDT needs 167 bytes, real rows more."""

LEAST_WHOLE_DAY_BYTES = 7_000
"""A smaller file has no whole day in it, so it says nothing of one without a trade: the smallest of those that were
measured has 7,400."""

SMALL_BYTES = 9_500
"""Files from there up to this size are small. It lies between the largest file without a trade that was measured
(8,900) and the smallest with nine tenths of its minutes without one (10,500)."""

NO_TRADE_BYTES = 8_900
"""The largest file without a trade; the limit where a contract has no live day to compare with."""

FLAT_FILES = 5
"""So many small files in a row are no coincidence: a quiet weekend has three at most."""

TRADIFI_FLAT_FILES = 14
"""The same for stock and index perpetuals, whose exchanges have holidays of more than a week."""

LEVEL_FILES = 30
"""The live level of a contract is the median size of so many live files before a small run."""

PUBLICATION_DAYS = 3
"""Age in days up to which a missing file is only pending: most appear on the next day, some on the second or third."""


@dataclass(frozen=True)
class Rules:
    """What the rules are applied with.

    Args:
        episode_gap_days: Days without a file after which a contract has ended and further files are another episode.
        today: The current UTC day, which decides what is young. What exchangeInfo said later does not count.
    """

    episode_gap_days: int = Settings.episode_gap_days
    today: dt.date = field(default_factory=utc_today)

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """The rules of the settings, today."""
        return cls(settings.episode_gap_days)

    @property
    def oldest_young_day(self) -> dt.date:
        """The first day that is too young to be judged."""
        return self.today - dt.timedelta(days=PUBLICATION_DAYS)

    def values(self) -> dict[str, object]:
        """The values of the parameters in the .sql files."""
        return {
            "one_row_bytes": ONE_ROW_BYTES,
            "least_bytes": LEAST_WHOLE_DAY_BYTES,
            "small_bytes": SMALL_BYTES,
            "no_trade_bytes": NO_TRADE_BYTES,
            "flat_files": FLAT_FILES,
            "tradifi_flat_files": TRADIFI_FLAT_FILES,
            "level_files": LEVEL_FILES,
            "publication_days": PUBLICATION_DAYS,
            "episode_gap_days": self.episode_gap_days,
            "today": self.today,
            "oldest_young_day": self.oldest_young_day,
        }

"""What the rules are applied with: the numbers of the dataset and of the settings, and the day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, fields

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset, SizeRules
from availability_pipeline.dates import utc_today
from availability_pipeline.settings import Settings

PUBLICATION_DAYS = 3
"""Age in days up to which a missing file is only pending: most appear on the next day, some on the second or third."""


IDLE_FILES = 8
"""Length in files from which a run without a trade is an end; after a shorter one, a halt, there is trade again."""

TRADIFI_IDLE_FILES = 15
"""The same length for stock and index perpetuals, whose exchanges have holidays of more than a week."""


@dataclass(frozen=True)
class Rules:
    """What the rules are applied with.

    Args:
        episode_gap_days: Days without a file after which a contract has ended and, where names come back, further files
            are another episode.
        today: The current UTC day, which decides what is young. What exchangeInfo said later does not count.
        dataset: What the files are of: whether names come back for another listing, and what sizes say of trade.
    """

    episode_gap_days: int = Settings.episode_gap_days
    today: dt.date = field(default_factory=utc_today)
    dataset: Dataset = DEFAULT_DATASET

    @classmethod
    def of(cls, settings: Settings, today: dt.date | None = None) -> Rules:
        """The rules of the settings and their dataset, today by default."""
        return cls(settings.episode_gap_days, today or utc_today(), settings.dataset)

    @property
    def oldest_young_day(self) -> dt.date:
        """The first day that is too young to be judged."""
        return self.today - dt.timedelta(days=PUBLICATION_DAYS)

    def values(self) -> dict[str, object]:
        """The values of the parameters in the .sql files; those of sizes are NULL where sizes say nothing."""
        return {
            **{each.name: getattr(self.dataset.sizes, each.name, None) for each in fields(SizeRules)},
            "relists": self.dataset.relists,
            "idle_files": IDLE_FILES,
            "tradifi_idle_files": TRADIFI_IDLE_FILES,
            "publication_days": PUBLICATION_DAYS,
            "episode_gap_days": self.episode_gap_days,
            "today": self.today,
            "oldest_young_day": self.oldest_young_day,
        }

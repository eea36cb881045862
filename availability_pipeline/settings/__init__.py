"""Settings: argument over environment over default, each value checked once (`values`).

A data directory holds either real or simulated data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset, dataset_named
from availability_pipeline.errors import UsageError
from availability_pipeline.settings.values import (
    alert_urls,
    base_url,
    bucket_name,
    bucket_url,
    database_path,
    folder_path,
    one_of,
    path_or_url,
    whole_number,
    words,
)

CONTRACTS = ("perpetual", "settled", "delivery")
"""Kinds of contract, by the name of the folder."""

INSPECTIONS = ("new", "off")
"""Which files the schedule inspects: those of the days that it collects, or none."""

LOG_FORMATS = ("text", "json")
"""Formats of stderr: text, or one JSON object per line."""


def _contracts(name: str, text: str) -> tuple[str, ...]:
    found = words(name, text)
    for word in found:
        if word not in CONTRACTS:
            raise UsageError(f"{name} names {word!r}; allowed are {', '.join(CONTRACTS)}")
    return found


def _datasets(name: str, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(dataset_named(word, name).name for word in words(name, text)))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the program works with; make one with `Settings.load()`."""

    data_dir: Path = Path("~/.cache/binance-futures")
    """Where everything is kept."""
    db_path: Path | str = field(default=Path("availability.duckdb"))
    """The published database, which readers open; or the URL of published generations, which can only be read."""
    s3_endpoint: str = "https://s3.ap-northeast-1.amazonaws.com"
    """Where the bucket is listed (path-style)."""
    s3_bucket: str = "data.binance.vision"
    """The bucket's name."""
    archive_url: str = "https://data.binance.vision"
    """Where files are served; the base of every `url`."""
    fapi_url: str = DEFAULT_DATASET.market.exchange_url or ""
    """Where exchangeInfo is served."""
    datasets: tuple[str, ...] = (DEFAULT_DATASET.name,)
    """The datasets that Dagster collects, by their names in the catalogue."""
    connections: int = 64
    """Requests under way at once."""
    timeout_seconds: int = 20
    """Seconds without a byte after which a request has failed."""
    lookback_days: int = 20
    """Days up to yesterday that are listed again every day for late, replaced and withdrawn files."""
    episode_gap_days: int = 30
    """Days without a file after which a contract has ended, and files after them are another episode. Single files were
    late by up to three weeks, so less would make delistings of delays."""
    lock_timeout_seconds: int = 1800
    """Seconds that a run waits for another one that writes to the same database."""
    retry_seconds: int = 30
    """Seconds before a step that failed is tried again; twice as many before each further try."""
    inspect: str = "new"
    """Which files the schedule inspects, one of `INSPECTIONS`."""
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    """Where alerts go, in apprise's notation; secrets."""
    log_format: str = "text"
    """How logs are written on stderr, one of `LOG_FORMATS`."""
    publish_url: str | None = None
    """Where in object storage generations are published as well, `s3://bucket/prefix`."""
    publish_keep: int = 10
    """How many generations are kept there."""
    mirror_dir: Path | None = None
    """Where `download` puts files of the archive unless it is told."""
    tracked_quotes: tuple[str, ...] = DEFAULT_DATASET.market.tracked_quotes
    """Quote assets whose contracts have rows in `daily_availability`."""
    tracked_contracts: tuple[str, ...] = DEFAULT_DATASET.market.tracked_contracts
    """Kinds of contract that have rows in `daily_availability`."""
    dataset: Dataset = DEFAULT_DATASET
    """Which dataset of the catalogue is meant; set by `of_dataset`."""
    of_default: Settings | None = field(default=None, repr=False, compare=False)
    """Those of the default dataset that these were made of; None for those themselves."""

    def of_dataset(self, dataset: Dataset | str | None) -> Settings:
        """These settings for another dataset, by name or entry; None leaves them as they are.

        Another dataset has a folder of its own below the data directory.
        What variables say of the published file and of tracked contracts is about the default dataset; another one goes
        by its entry in the catalogue. An address of exchangeInfo that was set is taken to serve all markets.

        Raises:
            UsageError: The catalogue has no such name.
        """
        if dataset is None:
            return self
        if isinstance(dataset, str):
            dataset = dataset_named(dataset)
        if self.of_default:
            return self.of_default.of_dataset(dataset)
        if dataset.is_default:
            return self
        folder, market = f"datasets/{dataset.name}", dataset.market
        is_set = self.fapi_url != DEFAULT_DATASET.market.exchange_url
        return replace(
            self,
            of_default=self,
            dataset=dataset,
            db_path=f"{self.db_path}/{folder}"
            if isinstance(self.db_path, str)
            else self.data_dir / folder / "availability.duckdb",
            fapi_url=self.fapi_url if is_set else market.exchange_url or "",
            publish_url=self.publish_url and f"{self.publish_url}/{folder}",
            tracked_quotes=market.tracked_quotes,
            tracked_contracts=market.tracked_contracts,
        )

    @property
    def dataset_dir(self) -> Path:
        """Where what belongs to the dataset is kept: the data directory, or a folder below it."""
        return self.data_dir if self.dataset.is_default else self.data_dir / "datasets" / self.dataset.name

    @property
    def working_path(self) -> Path:
        """The working database, which only the pipeline opens."""
        return self.dataset_dir / "working" / "availability.duckdb"

    @property
    def db_file(self) -> Path:
        """The published database where it is a file, for those who write it.

        Raises:
            UsageError: It is the URL that readers were given.
        """
        if isinstance(self.db_path, Path):
            return self.db_path
        raise UsageError(
            f"AVAILABILITY_DB_PATH is {self.db_path}, which can only be read; set it to a file or unset it, and set "
            "AVAILABILITY_PUBLISH_URL to publish to object storage"
        )

    @property
    def demo_marker(self) -> Path:
        """The file that says that the data directory holds simulated data."""
        return self.data_dir / "SIMULATED"

    @property
    def is_demo(self) -> bool:
        """Whether the data directory holds simulated data."""
        return self.demo_marker.exists()

    def environment(self) -> dict[str, str]:
        """The environment variables that load as these settings, or as those that they were made of."""
        if self.of_default:
            return self.of_default.environment()
        values = {variable: getattr(self, name) for name, (variable, _) in VARIABLES.items()}
        return {
            variable: (" " if variable == _ALERT_URLS else ",").join(value)
            if isinstance(value, tuple)
            else str(value)
            for variable, value in values.items()
            if value not in (None, ())
        }

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: str | None) -> Settings:
        """Read the settings.

        Args:
            environ: The environment; `os.environ` if none is given.
            arguments: Values that override it, by field name; None means not given.

        Raises:
            UsageError: A value is not usable; the message names where it came from.
        """
        environ = os.environ if environ is None else environ
        unknown = arguments.keys() - VARIABLES.keys()
        if unknown:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {}
        for name, (variable, read) in VARIABLES.items():
            argument = arguments.get(name)
            if argument is not None:
                values[name] = read(name, str(argument))
            elif environ.get(variable, "").strip():
                text = environ[variable]
                values[name] = read(variable, text if read in _OF_PATHS else text.strip())
        values.setdefault("data_dir", database_path("data_dir", str(cls.data_dir)))
        values.setdefault("db_path", values["data_dir"] / "availability.duckdb")
        return cls(**values)


_ALERT_URLS = "AVAILABILITY_ALERT_URLS"

VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "data_dir": ("AVAILABILITY_DATA_DIR", database_path),
    "db_path": ("AVAILABILITY_DB_PATH", path_or_url),
    "datasets": ("AVAILABILITY_DATASETS", _datasets),
    "s3_endpoint": ("AVAILABILITY_S3_ENDPOINT", base_url),
    "s3_bucket": ("AVAILABILITY_S3_BUCKET", bucket_name),
    "archive_url": ("AVAILABILITY_ARCHIVE_URL", base_url),
    "fapi_url": ("AVAILABILITY_FAPI_URL", base_url),
    "connections": ("AVAILABILITY_CONNECTIONS", whole_number(1000)),
    "timeout_seconds": ("AVAILABILITY_TIMEOUT_SECONDS", whole_number(3600)),
    "lookback_days": ("AVAILABILITY_LOOKBACK_DAYS", whole_number(10_000)),
    "episode_gap_days": ("AVAILABILITY_EPISODE_GAP_DAYS", whole_number(10_000)),
    "lock_timeout_seconds": ("AVAILABILITY_LOCK_TIMEOUT_SECONDS", whole_number(86_400, minimum=0)),
    "retry_seconds": ("AVAILABILITY_RETRY_SECONDS", whole_number(3600, minimum=0)),
    "inspect": ("AVAILABILITY_INSPECT", one_of(*INSPECTIONS)),
    "alert_urls": (_ALERT_URLS, alert_urls),
    "log_format": ("AVAILABILITY_LOG_FORMAT", one_of(*LOG_FORMATS)),
    "publish_url": ("AVAILABILITY_PUBLISH_URL", bucket_url),
    "publish_keep": ("AVAILABILITY_PUBLISH_KEEP", whole_number(1000)),
    "mirror_dir": ("AVAILABILITY_MIRROR_DIR", folder_path),
    "tracked_quotes": ("AVAILABILITY_TRACKED_QUOTES", words),
    "tracked_contracts": ("AVAILABILITY_TRACKED_CONTRACTS", _contracts),
}
"""The environment variable of each setting and how its text is read and checked."""


_OF_PATHS = (database_path, folder_path, path_or_url)
"""Readers that get the text unstripped: a path may begin and end with blanks."""


def log_format(environ: Mapping[str, str] | None = None) -> str:
    """The log format while other settings may be invalid; text if this one is."""
    text = (os.environ if environ is None else environ).get(VARIABLES["log_format"][0], "").strip()
    return text if text in LOG_FORMATS else Settings.log_format


def datasets_of_environment(environ: Mapping[str, str] | None = None) -> tuple[Dataset, ...]:
    """The datasets that Dagster collects, while other settings may be invalid; raises UsageError for an unknown one."""
    variable, read = VARIABLES["datasets"]
    text = (os.environ if environ is None else environ).get(variable, "").strip()
    return tuple(map(dataset_named, read(variable, text) if text else Settings.datasets))


_OTHER = "choose another folder with AVAILABILITY_DATA_DIR (or `demo --data-dir`)"


def check_kind(settings: Settings, *, simulated: bool) -> None:
    """Raise UsageError if the data directory holds the other kind of data."""
    if settings.is_demo and not simulated:
        raise UsageError(f"{settings.data_dir} holds the demo's simulated data, and this is real; {_OTHER}")
    both = settings, settings.of_default or settings
    held = any(each.working_path.exists() or each.db_file.exists() for each in both)
    if simulated and not settings.is_demo and held:
        raise UsageError(f"{settings.data_dir} holds real data, and this is simulated; {_OTHER}")


def mark_simulated(settings: Settings) -> None:
    """Mark the data directory as one of simulated data.

    Raises:
        UsageError: It holds real data, or cannot be written to.
    """
    try:
        check_kind(settings, simulated=True)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        settings.demo_marker.write_text("The data in this folder is simulated.\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{settings.data_dir} cannot be written to ({error.strerror}); {_OTHER}") from error

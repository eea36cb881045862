"""Settings: argument over environment over default, each value checked once, here.

Nothing here is read at import, and nothing below receives an environment variable in any other way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from availability_pipeline.errors import UsageError
from availability_pipeline.locations import (
    BUCKET,
    bucket_url,
    has_usable_port,
    is_base_url,
    is_url,
    published_url,
    shown,
)
from availability_pipeline.paths import database_path

CONTRACTS = ("perpetual", "settled", "delivery")
"""The kinds of contract that a folder's name tells apart."""

LOG_FORMATS = ("text", "json")
"""How logs are written on stderr: for people, or one JSON object a line."""


def _url(name: str, text: str) -> str:
    if not is_base_url(text):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no URL; write it like https://data.binance.vision, without user name "
            "and query"
        )
    if not has_usable_port(text):
        raise UsageError(f"{name} is {shown(text)!r}, whose port is no number from 0 to 65535")
    return text.rstrip("/")


def _alert_urls(name: str, text: str) -> tuple[str, ...]:
    """URLs in apprise's notation, each a secret in whole, so the message says nothing of it.

    Only their shape is looked at: to know them, apprise loads some 270 modules, which would double the time that a
    query takes.
    """
    urls = tuple(text.split())
    for number, url in enumerate(urls, 1):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S*", url):
            raise UsageError(
                f"{name} has no URL at position {number} of {len(urls)} (its value is a secret and not shown); write "
                "URLs in apprise's notation, such as slack://TokenA/TokenB/TokenC, separated by spaces"
            )
    return urls


def _log_format(name: str, text: str) -> str:
    if text not in LOG_FORMATS:
        raise UsageError(f"{name} is {text!r}; allowed are {', '.join(LOG_FORMATS)}")
    return text


def _up_to(maximum: int, minimum: int = 1) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise UsageError(f"{name} is {text!r}; it must be a whole number from {minimum} to {maximum:,}")
        return value

    return read


def _path_or_url(name: str, text: str) -> Path | str:
    return published_url(name, text.strip()) if is_url(text.strip()) else database_path(name, text)


def _words(name: str, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise UsageError(f"{name} is {text!r}; it must name at least one value, separated by commas")
    return words


def _contracts(name: str, text: str) -> tuple[str, ...]:
    words = _words(name, text)
    for word in words:
        if word not in CONTRACTS:
            raise UsageError(f"{name} names {word!r}; allowed are {', '.join(CONTRACTS)}")
    return words


def _bucket(name: str, text: str) -> str:
    if not BUCKET.fullmatch(text):
        raise UsageError(
            f"{name} is {text!r}, which is no bucket's name; it has 3 to 63 letters, digits, dots, hyphens or _"
        )
    return text


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
    fapi_url: str = "https://fapi.binance.com"
    """Where exchangeInfo is served."""
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
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    """Where alerts go, in apprise's notation; secrets."""
    log_format: str = "text"
    """How logs are written on stderr, one of `LOG_FORMATS`."""
    publish_url: str | None = None
    """Where in object storage generations are published as well, `s3://bucket/prefix`."""
    publish_keep: int = 10
    """How many generations are kept there."""
    tracked_quotes: tuple[str, ...] = ("USDT",)
    """Quote assets whose contracts have rows in `daily_availability`."""
    tracked_contracts: tuple[str, ...] = ("perpetual", "settled")
    """Kinds of contract that have rows in `daily_availability`."""

    @property
    def working_path(self) -> Path:
        """The working database, which only the pipeline opens."""
        return self.data_dir / "working" / "availability.duckdb"

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
        """The environment variables that load as these settings, for another process."""
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
    "db_path": ("AVAILABILITY_DB_PATH", _path_or_url),
    "s3_endpoint": ("AVAILABILITY_S3_ENDPOINT", _url),
    "s3_bucket": ("AVAILABILITY_S3_BUCKET", _bucket),
    "archive_url": ("AVAILABILITY_ARCHIVE_URL", _url),
    "fapi_url": ("AVAILABILITY_FAPI_URL", _url),
    "connections": ("AVAILABILITY_CONNECTIONS", _up_to(1000)),
    "timeout_seconds": ("AVAILABILITY_TIMEOUT_SECONDS", _up_to(3600)),
    "lookback_days": ("AVAILABILITY_LOOKBACK_DAYS", _up_to(10_000)),
    "episode_gap_days": ("AVAILABILITY_EPISODE_GAP_DAYS", _up_to(10_000)),
    "lock_timeout_seconds": ("AVAILABILITY_LOCK_TIMEOUT_SECONDS", _up_to(86_400, minimum=0)),
    "retry_seconds": ("AVAILABILITY_RETRY_SECONDS", _up_to(3600, minimum=0)),
    "alert_urls": (_ALERT_URLS, _alert_urls),
    "log_format": ("AVAILABILITY_LOG_FORMAT", _log_format),
    "publish_url": ("AVAILABILITY_PUBLISH_URL", bucket_url),
    "publish_keep": ("AVAILABILITY_PUBLISH_KEEP", _up_to(1000)),
    "tracked_quotes": ("AVAILABILITY_TRACKED_QUOTES", _words),
    "tracked_contracts": ("AVAILABILITY_TRACKED_CONTRACTS", _contracts),
}
"""The environment variable of each setting and how its text is read and checked."""


_OF_PATHS = (database_path, _path_or_url)
"""What reads the whole of a text: a path may begin and end with blanks."""


def log_format(environ: Mapping[str, str] | None = None) -> str:
    """How to log before the other settings are known to be right; text where the setting itself is not."""
    variable, read = VARIABLES["log_format"]
    try:
        return str(
            read(variable, (os.environ if environ is None else environ).get(variable, "").strip() or "text")
        )
    except UsageError:
        return Settings.log_format

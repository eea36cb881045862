"""Settings: argument over environment over default, each value checked once; usable URLs, buckets and paths.

A data directory holds either real or simulated data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset, dataset_named
from availability_pipeline.errors import UsageError

BUCKET = re.compile(r"[A-Za-z0-9._-]{3,63}", re.ASCII)

_HOST = re.compile(r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)\.?", re.ASCII)
_FOLDER = re.compile(r"(?!\.{1,2}$)[\w.=+@~-]+")
# Up to the last @: a secret key may have a slash in it.
_SECRET = re.compile(r"(?<=://).*@|[?#].*", re.DOTALL)

LATEST = "latest.json"
"""The object that names the current generation."""


def _is_base_url(text: str) -> bool:
    """Whether it is an HTTP URL that paths can be added to, with a host and a port that every client here accepts."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return (
        parts.scheme in ("http", "https")
        and (":" in host or _HOST.fullmatch(host) is not None)
        and not (parts.username or parts.password or parts.query or parts.fragment)
        and not any(character.isspace() for character in text)
    )


def is_url(text: str) -> bool:
    """Whether a text is meant as a URL and not as a path."""
    return re.match(r"[A-Za-z0-9+.-]*://", text) is not None


def bucket_url(name: str, text: str) -> str:
    """The URL `s3://bucket/prefix` without trailing slash; raises UsageError, with the setting's name, for others."""
    url = _without_latest(text)
    bucket, *folders = url.removeprefix("s3://").split("/")
    usable = BUCKET.fullmatch(bucket) and all(_FOLDER.fullmatch(folder) for folder in folders)
    if not (url.startswith("s3://") and usable):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no folder of a bucket; write it like s3://bucket/prefix, with "
            "letters, digits and . _ - = + @ ~ only"
        )
    return url


def published_url(name: str, text: str) -> str:
    """As `bucket_url`, and also `https://host/path` or `http://host/path`: where published data can be read."""
    if text.lower().startswith("s3://"):
        return bucket_url(name, text)
    url = _without_latest(text)
    if not _is_base_url(url):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no place to read from; write s3://bucket/prefix, https://host/path "
            "without user name and query, or the path of a file"
        )
    return url


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Bucket and key prefix of an `s3://` URL; the prefix is empty or ends with a slash."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def shown(url: str) -> str:
    """The URL without user, password, query and fragment, which may be secrets."""
    return _SECRET.sub("", url)


def _without_latest(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    url = f"{scheme.lower()}{separator}{rest.rstrip('/')}"
    return url.removesuffix(f"/{LATEST}").rstrip("/")


# DuckDB puts the ending of its log before a question mark, and takes a backslash for a slash.
_NO_DATABASE = re.compile(r"[?\\]")

# Dagster makes a URL of the path without encoding it.
_NO_SQLITE = re.compile(r"\?|%[0-9A-Fa-f]{2}")


def path_named(name: str, text: str) -> Path:
    """The absolute path, otherwise as written.

    Args:
        name: The argument or setting, for the message.
        text: Its value.

    Raises:
        UsageError: It is empty or -, it or its target is not UTF-8, or the current folder is gone.
    """
    if not text:
        raise UsageError(f"{name} is empty; it must be a path")
    if text == "-":
        raise UsageError(f"{name} is -, which stands for a stream; it must be a path, such as ./-")
    for path in _as_written_and_resolved(name, text):
        if not _is_utf8(path):
            raise UsageError(
                f"{name} is {path!r}, which is not text in UTF-8; rename it, or choose another path"
            )
    return Path(text).absolute()


def database_path(name: str, text: str) -> Path:
    """As `folder_path`, for DuckDB databases and their folders.

    Raises:
        UsageError: Also if DuckDB would open another file.
    """
    return check_database_path(name, folder_path(name, text))


def folder_path(name: str, text: str) -> Path:
    """As `path_named`; expands `~`.

    Raises:
        UsageError: Also if the home directory is not known.
    """
    expanded = os.path.expanduser(text)  # noqa: PTH111 - a Path of ./~ is one of ~
    if expanded.startswith("~"):
        raise UsageError(f"{name} is {text!r}, whose home directory is not known; write the path in full")
    return path_named(name, expanded)


def check_database_path(name: str, path: Path) -> Path:
    """The path; raises UsageError if DuckDB would open another file."""
    for each in _as_written_and_resolved(name, str(path)):
        if found := _NO_DATABASE.search(each):
            raise UsageError(
                f"{name} is {each!r}, where DuckDB can have no database because of the {found[0]}; choose a path "
                "without ? and \\"
            )
    return path


def check_instance_path(folder: Path) -> None:
    """Raise UsageError if Dagster would open its SQLite databases in another folder."""
    if found := _NO_SQLITE.search(str(folder)):
        raise UsageError(
            f"the Dagster instance would be in {str(folder)!r}, where Dagster cannot open its databases because of the "
            f"{found[0]}; set DAGSTER_HOME (or `demo --data-dir`) to a folder without ? and without % before two "
            "hexadecimal digits"
        )


def _as_written_and_resolved(name: str, text: str) -> Iterator[str]:
    try:
        path = str(Path(text).absolute())
    except FileNotFoundError:
        raise UsageError(
            f"{name} is {text!r}, but the current folder is gone; write the path in full"
        ) from None
    yield path
    yield os.path.realpath(path)


def _is_utf8(path: str) -> bool:
    """Whether the system's bytes of the path are UTF-8, which DuckDB opens."""
    try:
        return "\0" not in path and os.fsencode(path) == path.encode()
    except UnicodeEncodeError:
        return False


CONTRACTS = ("perpetual", "settled", "delivery")
"""Kinds of contract, by the name of the folder."""

INSPECTIONS = ("new", "off")
"""Which files the schedule inspects: those of the days that it collects, or none."""

LOG_FORMATS = ("text", "json")
"""Formats of stderr: text, or one JSON object per line."""


def _url(name: str, text: str) -> str:
    if not _is_base_url(text):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no URL; write it like https://data.binance.vision, without user name "
            "and query, and with a port from 0 to 65535 if any"
        )
    return text.rstrip("/")


def _alert_urls(name: str, text: str) -> tuple[str, ...]:
    """URLs in apprise's notation, which are secrets and never part of a message.

    Only their shape is checked: apprise itself loads some 270 modules, which would double the time of a query.
    """
    urls = tuple(text.split())
    for number, url in enumerate(urls, 1):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S*", url):
            raise UsageError(
                f"{name} has no URL at position {number} of {len(urls)} (its value is a secret and not shown); write "
                "URLs in apprise's notation, such as slack://TokenA/TokenB/TokenC, separated by spaces"
            )
    return urls


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise UsageError(f"{name} is {text!r}; allowed are {', '.join(allowed)}")
        return text

    return read


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


def _datasets(name: str, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(dataset_named(word, name).name for word in _words(name, text)))


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
    "db_path": ("AVAILABILITY_DB_PATH", _path_or_url),
    "datasets": ("AVAILABILITY_DATASETS", _datasets),
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
    "inspect": ("AVAILABILITY_INSPECT", _one_of(*INSPECTIONS)),
    "alert_urls": (_ALERT_URLS, _alert_urls),
    "log_format": ("AVAILABILITY_LOG_FORMAT", _one_of(*LOG_FORMATS)),
    "publish_url": ("AVAILABILITY_PUBLISH_URL", bucket_url),
    "publish_keep": ("AVAILABILITY_PUBLISH_KEEP", _up_to(1000)),
    "mirror_dir": ("AVAILABILITY_MIRROR_DIR", folder_path),
    "tracked_quotes": ("AVAILABILITY_TRACKED_QUOTES", _words),
    "tracked_contracts": ("AVAILABILITY_TRACKED_CONTRACTS", _contracts),
}
"""The environment variable of each setting and how its text is read and checked."""


_OF_PATHS = (database_path, folder_path, _path_or_url)
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

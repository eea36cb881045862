"""How texts become the values of settings and arguments: URLs, buckets, paths, numbers, words.

Each reader takes the name of the setting or argument, for the message, and the text; it raises UsageError if the text
is not usable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

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


def base_url(name: str, text: str) -> str:
    """An HTTP URL to which paths can be added, without trailing slash."""
    if not _is_base_url(text):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no URL; write it like https://data.binance.vision, without user name "
            "and query, and with a port from 0 to 65535 if any"
        )
    return text.rstrip("/")


def alert_urls(name: str, text: str) -> tuple[str, ...]:
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


def one_of(*allowed: str) -> Callable[[str, str], str]:
    """A reader of one of these words."""

    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise UsageError(f"{name} is {text!r}; allowed are {', '.join(allowed)}")
        return text

    return read


def whole_number(maximum: int, minimum: int = 1) -> Callable[[str, str], int]:
    """A reader of a whole number in this range."""

    def read(name: str, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise UsageError(f"{name} is {text!r}; it must be a whole number from {minimum} to {maximum:,}")
        return value

    return read


def path_or_url(name: str, text: str) -> Path | str:
    """As `published_url` for a URL, as `database_path` for anything else."""
    return published_url(name, text.strip()) if is_url(text.strip()) else database_path(name, text)


def words(name: str, text: str) -> tuple[str, ...]:
    """Words between commas, at least one."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise UsageError(f"{name} is {text!r}; it must name at least one value, separated by commas")
    return found


def bucket_name(name: str, text: str) -> str:
    """A bucket's name."""
    if not BUCKET.fullmatch(text):
        raise UsageError(
            f"{name} is {text!r}, which is no bucket's name; it has 3 to 63 letters, digits, dots, hyphens or _"
        )
    return text

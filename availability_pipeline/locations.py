"""Locations: which text is a URL that can be asked, and where published data can be other than on a disk.

Only the text is looked at here; nobody is asked. A user name, a password or a query in a URL may be a secret, so that
messages leave them out.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from availability_pipeline.errors import UsageError

BUCKET = re.compile(r"[A-Za-z0-9._-]{3,63}", re.ASCII)

_HOST = re.compile(r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)\.?", re.ASCII)
_FOLDER = re.compile(r"(?!\.{1,2}$)[\w.=+@~-]+")
# Up to the last @: a secret key may have a slash in it.
_SECRET = re.compile(r"(?<=://).*@|[?#].*", re.DOTALL)

LATEST = "latest.json"
"""The file at such a place that says which generation is read."""


def is_base_url(text: str) -> bool:
    """Whether it is a URL to which a path can be added, with a host that every client here can ask."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    host = parts.hostname or ""
    return (
        parts.scheme in ("http", "https")
        and (":" in host or _HOST.fullmatch(host) is not None)
        and not (parts.username or parts.password or parts.query or parts.fragment)
        and not any(character.isspace() for character in text)
    )


def has_usable_port(url: str) -> bool:
    """Whether the port of a URL, if it has one, is a number that a port can be."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def is_url(text: str) -> bool:
    """Whether something was meant as a URL rather than as a path."""
    return re.match(r"[A-Za-z0-9+.-]*://", text) is not None


def bucket_url(name: str, text: str) -> str:
    """A folder of a bucket, `s3://bucket/prefix`, without a slash at its end.

    Args:
        name: The setting that it comes from, for the message.
        text: What was set.

    Raises:
        UsageError: It is none.
    """
    url = _without_latest(text)
    bucket, *folders = url.removeprefix("s3://").split("/")
    usable = BUCKET.fullmatch(bucket) and all(_FOLDER.fullmatch(folder) for folder in folders)
    if not (url.startswith("s3://") and usable):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no folder of a bucket; write it like s3://bucket/prefix, of letters, "
            "digits and . _ - = + @ ~"
        )
    return url


def published_url(name: str, text: str) -> str:
    """Where published data can be read: `s3://bucket/prefix`, `https://host/path` or `http://host/path`.

    Args:
        name: The setting or argument that it comes from, for the message.
        text: What was set.

    Raises:
        UsageError: It is none of these.
    """
    if text.lower().startswith("s3://"):
        return bucket_url(name, text)
    url = _without_latest(text)
    if not (is_base_url(url) and has_usable_port(url)):
        raise UsageError(
            f"{name} is {shown(text)!r}, which is no place to read from; write s3://bucket/prefix, https://host/path "
            "without user name and query, or the path of a file"
        )
    return url


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """The bucket of an `s3://` URL, and what its keys begin with: nothing, or a prefix with a slash at its end."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def shown(url: str) -> str:
    """The URL without what may be a secret."""
    return _SECRET.sub("", url)


def _without_latest(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    url = f"{scheme.lower()}{separator}{rest.rstrip('/')}"
    return url.removesuffix(f"/{LATEST}").rstrip("/")

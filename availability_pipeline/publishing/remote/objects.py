"""Sources of published objects: the protocol, its error, and the choice between S3 and HTTP."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Protocol

MAX_SMALL = 1_000_000
"""Limit for a manifest, bytes; one of a hundred years has a hundredth of it."""


class RequestFailed(Exception):
    """A failed request, which callers translate into their own error.

    The message has no text of servers (but status and code) or libraries, which may contain credentials.

    Args:
        problem: What went wrong.
        remedy: What to do.
        transient: Whether the same request may succeed later.
        missing: Whether the object does not exist.
    """

    def __init__(
        self,
        problem: str,
        remedy: str = "check the address and the credentials",
        *,
        transient: bool = False,
        missing: bool = False,
    ) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.transient = transient
        self.missing = missing


Chunks = Generator[bytes, None, None]
"""The content of an object."""


class Source(Protocol):
    """Objects below a URL."""

    def chunks(self, path: str) -> Chunks:
        """The content of an object, requested with the first chunk; `path` is relative to the URL.

        Raises:
            RequestFailed: It cannot be read to its end.
        """
        ...


def open_source(url: str, timeout_seconds: int) -> Source:
    """The source at a URL of `settings.published_url`; a request fails after `timeout_seconds` without a byte.

    Raises:
        RequestFailed: The AWS configuration is invalid.
    """
    if url.startswith("s3://"):
        from availability_pipeline.publishing.remote.s3 import Bucket  # noqa: PLC0415 - boto3 is slow to load

        return Bucket(url, timeout_seconds)
    from availability_pipeline.publishing.remote.web import WebServer  # noqa: PLC0415 - as above

    return WebServer(url, timeout_seconds)


def read_small(source: Source, path: str) -> bytes | None:
    """The content of a small object; None if it does not exist.

    Raises:
        RequestFailed: It cannot be read, or is larger than `MAX_SMALL`.
    """
    content = b""
    try:
        with closing(source.chunks(path)) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > MAX_SMALL:
                    raise RequestFailed(f"{path} is too large for a manifest", "check the address")
    except RequestFailed as error:
        if error.missing:
            return None
        raise
    return content

"""What can be read from: objects by their names below a URL, whoever serves them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Protocol

MAX_SMALL = 1_000_000
"""The most bytes that a manifest may have; that of a hundred years has a hundredth of it."""


class RequestFailed(Exception):
    """A request that brought no usable answer.

    Callers say for whom this is which error. What a server said is left out but for its status and code, and so is what
    libraries said: credentials might be in it.

    Args:
        problem: What went wrong, as part of a sentence.
        remedy: What to do, as the end of a sentence.
        transient: Whether the same request may succeed later.
        missing: Whether the answer was that the object is not there.
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
"""The content of an object in pieces."""


class Source(Protocol):
    """Somewhere to read from."""

    def chunks(self, path: str) -> Chunks:
        """The content of an object, asked for when the first piece is taken.

        Args:
            path: Its name, relative to the URL.

        Raises:
            RequestFailed: It cannot be read, or not to its end.
        """
        ...


def open_source(url: str, timeout_seconds: int) -> Source:
    """What is behind a URL.

    Args:
        url: As `locations.published_url` has it.
        timeout_seconds: Without a byte, after which a request has failed.

    Raises:
        RequestFailed: The settings of AWS cannot be used.
    """
    if url.startswith("s3://"):
        from availability_pipeline.publishing.remote.s3 import Bucket  # noqa: PLC0415 - boto3 is slow to load

        return Bucket(url, timeout_seconds)
    from availability_pipeline.publishing.remote.web import WebServer  # noqa: PLC0415 - as above

    return WebServer(url, timeout_seconds)


def read_small(source: Source, path: str) -> bytes | None:
    """A small object in whole; None if it is not there.

    Raises:
        RequestFailed: It cannot be read, or is none that is small.
    """
    content = b""
    try:
        with closing(source.chunks(path)) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > MAX_SMALL:
                    raise RequestFailed(f"{path} is too large for what it should be", "check the address")
    except RequestFailed as error:
        if error.missing:
            return None
        raise
    return content

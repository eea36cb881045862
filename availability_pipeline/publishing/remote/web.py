"""Reading over HTTPS: a web server, a CDN or a public bucket. HTTP is for intranets and tests.

A redirect from https to http is an error.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote, urljoin

import requests
import urllib3

from availability_pipeline.archive.http import FAILURES, ProxyFailed, Session, cause_here, within
from availability_pipeline.errors import is_transient_status
from availability_pipeline.publishing.remote.objects import Chunks, RequestFailed

CHUNK_BYTES = 1 << 20


class _Downgraded(requests.RequestException):
    """A redirect from https to http."""


Meanings = tuple[tuple[tuple[type[Exception], ...], str, str, bool], ...]
"""By classes of exceptions: the problem, the remedy, and whether it is transient."""

_FAILURES: Meanings = (
    ((_Downgraded,), "https was redirected to somewhere without it", "check the address", False),
    ((requests.TooManyRedirects,), "it redirects in a circle", "check the address", False),
    (
        (ssl.SSLCertVerificationError,),
        "its certificate is not trusted", "check the address, or set REQUESTS_CA_BUNDLE", False,
    ),
    ((ssl.SSLError,), "it does not speak TLS as it should", "check the address, http may be meant", False),
    (
        (requests.Timeout, urllib3.exceptions.ReadTimeoutError),
        "no answer came in time", "try again, or raise AVAILABILITY_TIMEOUT_SECONDS", True,
    ),
    ((requests.exceptions.ChunkedEncodingError,), "an answer was cut off", "try again", True),
)  # fmt: skip


class _Session(Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = requests.Session.get_redirect_target(self, resp)
        if target and resp.url.startswith("https:") and not urljoin(resp.url, target).startswith("https:"):
            raise _Downgraded
        return target


class WebServer:
    """Files below a URL."""

    def __init__(self, url: str, timeout_seconds: int) -> None:
        self._url = url
        self._timeout = timeout_seconds

    def chunks(self, path: str) -> Chunks:
        """As `Source.chunks`."""
        # A truncated compressed body would not be noticed; caches on the way must revalidate.
        headers = {"Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        try:
            with _Session() as session:
                url = f"{self._url}/{quote(path)}"
                with session.get(url, headers=headers, timeout=self._timeout, stream=True) as answer:
                    _check(answer, path)
                    yield from answer.iter_content(CHUNK_BYTES)
        except FAILURES as error:
            failure = failure_of(error, _FAILURES)
            raise failure or RequestFailed(
                "the connection failed", "check the address and the network", transient=True
            ) from None


def failure_of(error: Exception, meanings: Meanings) -> RequestFailed | None:
    """The failure of the proxy, of this machine, or of the first meaning that fits the error or one of its causes."""
    if isinstance(error, ProxyFailed):
        return RequestFailed(str(error), error.remedy, transient=True)
    if own := cause_here(error):
        return RequestFailed(own.reason, own.remedy)
    causes = list(within(error))
    for kinds, problem, remedy, transient in meanings:
        if any(isinstance(cause, kinds) for cause in causes):
            return RequestFailed(problem, remedy, transient=transient)
    return None


def _check(answer: Any, path: str) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise RequestFailed(f"{path} does not exist", "check the address", missing=True)
    if status != 200:
        raise RequestFailed(
            f"HTTP {status} for {path}", "check the address", transient=is_transient_status(status)
        )

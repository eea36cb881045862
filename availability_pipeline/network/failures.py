"""What a failed request failed by: the cause as a sentence, where libraries have it some errors deep."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions

from availability_pipeline.causes import Cause, known_cause
from availability_pipeline.network.environment import Proxy

FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What a request can raise but for UsageError, which says that the network's configuration cannot be used."""

_TIMEOUTS = (requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")


class ProxyFailed(requests.exceptions.ProxyError):
    """A proxy that does not let a request through.

    Args:
        proxy: The proxy.
        reason: Why, in a few words.
    """

    def __init__(self, proxy: Proxy, reason: str) -> None:
        self.proxy, self.reason = proxy, reason
        self.remedy = f"correct {proxy.variable}, or name the host in NO_PROXY"
        super().__init__(f"the proxy {proxy} does not let the request through ({reason})")


def problem(error: Exception, seconds: int) -> str:
    """What went wrong and what to do, as the end of a sentence, with nothing that libraries or servers said.

    Args:
        error: One of `FAILURES`.
        seconds: How long the server might be silent.
    """
    causes = list(within(error))
    if isinstance(error, ProxyFailed):
        return f"the proxy {error.proxy} does not let the request through ({error.reason}); {error.remedy}"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return (
            "the certificate of the host is not trusted; check the URL, or set REQUESTS_CA_BUNDLE to a file with "
            "that of its authority"
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "the host does not speak TLS as it should; check the URL, and whether http is meant"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {seconds} s"
    if any(isinstance(cause, _TIMEOUTS) for cause in causes):
        return f"no answer within {seconds} s"
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.IncompleteRead) and isinstance(cause.expected, int):
            return f"the answer broke off after {cause.partial} of {cause.partial + cause.expected} bytes"
    if own := cause_here(error):
        return f"the connection failed ({own.reason}); {own.remedy}"
    return "the connection failed; check the host's name and the network"


def cause_here(error: Exception) -> Cause | None:
    """What this machine lacked, and not the network, as files that it may open, if it was that."""
    causes = (
        known_cause(cause)
        for cause in within(error)
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException)
    )
    return next(filter(None, causes), None)


def proxy_failure(error: Exception, proxy: Proxy) -> ProxyFailed | None:
    """The failure of the proxy that an error is, if it is one."""
    causes = list(within(error))
    by_socks = proxy.is_socks and any(
        isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes
    )
    if not by_socks and not isinstance(error, requests.exceptions.ProxyError):
        return None
    if answered := _TUNNEL.search(str(error)):
        return ProxyFailed(proxy, f"HTTP {answered[1]}")
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return ProxyFailed(proxy, "its name is not known")
    words = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    # PySocks has the words of the protocol, such as "0x05: Connection refused", in this attribute.
    words += [str(cause.msg) for cause in causes if hasattr(cause, "socket_err") and hasattr(cause, "msg")]
    return ProxyFailed(proxy, words[-1] if words else "no answer")


def within(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was made of or raised because of, each once."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and not any(each is other for other in seen):
            seen.append(each)
            yield each
            waiting += [each.__context__, each.__cause__, getattr(each, "reason", None), *each.args]

"""HTTP for every request of the package: sessions, kept connections, and what failures are called.

requests and boto3's clients share these. An idempotent request that fails on a reused connection before
any byte of the answer came is sent once more (RFC 9110 section 9.2.2).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from http.client import HTTPException, HTTPResponse
from threading import Lock
from typing import Any, TypeVar, cast

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, PoolManager, Retry
from urllib3 import HTTPResponse as PoolAnswer
from urllib3.connection import HTTPConnection
from urllib3.util import parse_url
from urllib3.util.request import rewind_body, set_file_position

from availability_pipeline.archive.environment import Environment, Proxy
from availability_pipeline.archive.wire import CLOSED, Answer, NoByte, exchange, request_head
from availability_pipeline.errors import Cause, known_cause

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


Manager = TypeVar("Manager", bound=PoolManager)


class _Answer(HTTPResponse):
    def begin(self) -> None:
        try:
            is_there = self.fp.peek(1)
        except CLOSED as error:
            raise NoByte(str(error)) from error
        if not is_there:
            raise NoByte("Remote end closed connection without response")
        super().begin()


class _Resending(HTTPConnection):
    response_class = _Answer
    _is_used = False
    """Whether an answer has come on it since it was opened."""
    _to_tunnel: Callable[[], None] | None = None
    """How the proxy is told where to connect to, if it is to."""
    _again: Callable[[], None] | None = None
    """How the request under way is sent once more, if it may be."""

    def set_tunnel(self, *arguments: Any, **options: Any) -> None:
        self._to_tunnel = partial(super().set_tunnel, *arguments, **options)
        self._to_tunnel()

    def connect(self) -> None:
        self._is_used = False
        try:
            super().connect()
        except HTTPException:
            self.close()  # by which urllib3 knows that it was the proxy that did not answer
            raise

    def request(self, method: str, url: str, body: Any = None, *arguments: Any, **options: Any) -> None:
        send = partial(super().request, method, url, body, *arguments, **options)
        is_open = self._is_used and self.sock is not None
        may_be_resent = is_open and method in Retry.DEFAULT_ALLOWED_METHODS
        self._again = _once_more(send, body) if may_be_resent else None
        try:
            send()
        except CLOSED:
            if self._again is None:
                raise

    def getresponse(self) -> PoolAnswer:  # type: ignore[override]  # as urllib3 has it
        try:
            answer = super().getresponse()
        except NoByte:
            if self._again is None:
                raise
            self._send_again(self._again)
            answer = super().getresponse()
        self._is_used = True
        return answer

    def _send_again(self, again: Callable[[], None]) -> None:
        self.close()
        if self._to_tunnel:
            self._to_tunnel()
        again()


def _once_more(send: Callable[[], None], body: Any) -> Callable[[], None] | None:
    """How to send a request for the second time; None if its body is gone by then."""
    if body is None or isinstance(body, bytes):
        return send
    position = set_file_position(body, None)
    if not isinstance(position, int):
        return None

    def again() -> None:
        rewind_body(body, position)
        send()

    return again


def resending(manager: Manager) -> Manager:
    """Let the connections of a manager, which are opened from now on, be such connections."""
    manager.pool_classes_by_scheme = {
        scheme: _resending(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager


@cache
def _resending(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    if issubclass(pool.ConnectionCls, _Resending):
        return pool
    connection = type(pool.ConnectionCls.__name__, (_Resending, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _Adapter(HTTPAdapter):
    def __init__(self, environment: Environment, connections: int) -> None:
        self._environment = environment
        self._lock = Lock()
        super().__init__(pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        resending(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        with self._lock:
            return resending(super().proxy_manager_for(proxy, **options))

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, *_: Any, **__: Any
    ) -> requests.Response:
        """Send a request as the environment says, whatever the session makes of it."""
        url = request.url or ""
        proxy = self._environment.proxy(url)
        proxies = {"all": proxy.url} if proxy else {}
        try:
            answer = super().send(
                request, stream=stream, timeout=timeout, verify=self._environment.verify(url), proxies=proxies
            )
        except requests.ConnectionError as error:
            failure = proxy and proxy_failure(error, proxy)
            if failure:
                raise failure from error
            raise
        if proxy and answer.status_code == requests.codes.proxy_authentication_required:
            answer.close()
            raise ProxyFailed(proxy, "HTTP 407")
        return answer

    def kept(self, origin: str) -> HTTPConnectionPool | None:
        """The kept connections to a host; None where the requests on them are a proxy's to answer."""
        proxy = self._environment.proxy(origin)
        if proxy and not proxy.is_socks and origin.lower().startswith("http:"):
            return None
        request = requests.PreparedRequest()
        request.url = origin
        proxies = {"all": proxy.url} if proxy else {}
        verify = self._environment.verify(origin)
        return cast("HTTPConnectionPool", self.get_connection_with_tls_context(request, verify, proxies))


class Session(requests.Session):
    """A session that keeps its connections, goes by what the environment says of the network, and follows no redirects.

    Args:
        connections: How many connections to a host are kept.
        anonymous: Whether user names and passwords in ~/.netrc are left alone.
        environment: What the environment says, where more is known than the variables.
    """

    def __init__(
        self, connections: int = 1, *, anonymous: bool = False, environment: Environment | None = None
    ) -> None:
        super().__init__()
        self.trust_env = not anonymous
        self._adapter = _Adapter(environment or Environment(), connections)
        for scheme in ("https://", "http://"):
            self.mount(scheme, self._adapter)
        # Without "identity" a server may compress, and the length would not be the file's.
        self._headers_of_files = {**cast("Mapping[str, str]", self.headers), "Accept-Encoding": "identity"}
        self._routes: dict[str, tuple[HTTPConnectionPool | None, str]] = {}

    def ask(self, method: str, url: str, seconds: int) -> Answer:
        """Send a HEAD or GET for a file, with the session's headers alone; the body of the answer is to be read yet.

        Args:
            method: HEAD or GET.
            url: The file's, percent-encoded.
            seconds: How long the server may be silent.
        """
        return self.send_plain(method, url, self._headers_of_files, seconds)

    def send_plain(self, method: str, url: str, headers: Mapping[str, str], seconds: int) -> Answer:
        """Send an idempotent request without a body, with these headers and nothing that a session adds to a request.

        The first one on a connection goes by requests and urllib3, all others by `wire`.
        """
        if answer := self._on_kept_connection(method, url, headers, seconds):
            return answer
        return self.send_by_requests(method, url, headers, seconds)

    def send_by_requests(
        self, method: str, url: str, headers: Mapping[str, str], seconds: int, body: Any = None
    ) -> Answer:
        """Send any request with these headers and nothing that a session adds to a request."""
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = CaseInsensitiveDict(headers)
        sent = self._adapter.send(request, stream=True, timeout=seconds)
        return Answer(
            sent.status_code, {name.lower(): value for name, value in sent.headers.items()}, sent.raw
        )

    def _on_kept_connection(
        self, method: str, url: str, headers: Mapping[str, str], seconds: int
    ) -> Answer | None:
        """The answer to a request on a connection that is open; None if there is none, or it has been closed."""
        path = url.find("/", len("https://"))
        if path < 0:
            return None
        origin, target = url[:path], url[path:]
        pool, host = self._routes.get(origin) or self._routes.setdefault(origin, self._route(origin))
        request = request_head(method, target, host, headers)
        if pool is None or request is None:
            return None
        connection: Any = pool._get_conn()  # noqa: SLF001 - urllib3 has no public way to them

        def done(keep: bool) -> None:
            if not keep:
                connection.close()
            pool._put_conn(connection)  # noqa: SLF001 - likewise

        if connection.sock is None:
            done(True)
            return None
        connection.sock.settimeout(seconds)
        try:
            return exchange(connection.sock, request, done)
        except NoByte:
            return None

    def _route(self, origin: str) -> tuple[HTTPConnectionPool | None, str]:
        """The connections to a host, and its name as requests say it."""
        parts = parse_url(origin)
        is_usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme or ""))
        return self._adapter.kept(origin), f"{parts.host}" if is_usual else f"{parts.host}:{parts.port}"

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - requests' interface
        """Where an answer leads to; nowhere."""
        return None

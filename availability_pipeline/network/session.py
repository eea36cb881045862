"""Sessions of requests: their connections, their proxies and the certificates that they trust."""

from __future__ import annotations

from threading import Lock
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from availability_pipeline.network.connections import resending
from availability_pipeline.network.environment import Environment
from availability_pipeline.network.failures import ProxyFailed, proxy_failure


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
        adapter = _Adapter(environment or Environment(), connections)
        for scheme in ("https://", "http://"):
            self.mount(scheme, adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - requests' interface
        """Where an answer leads to; nowhere."""
        return None

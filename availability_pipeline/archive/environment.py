"""What the environment says of the network: proxies, and the certificates by which servers are trusted.

The variables are those of requests and curl. What cannot be used is a UsageError that names its variable.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from availability_pipeline.errors import UsageError

CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE")
"""The variables that may name the certificates of trusted authorities; the first that is set counts."""

_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


@dataclass(frozen=True)
class Proxy:
    """A proxy that can be used."""

    url: str
    """With the user name and password, if it has them."""
    variable: str
    """Where it is set."""

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, and not HTTP."""
        return self.url.lower().startswith("socks")

    def __str__(self) -> str:
        return _without_password(self.url)


class Environment:
    """The variables, each looked at once.

    Args:
        ca_bundle: Trusted certificates that come before those of the variables.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        self._source, self._bundle = _ca_bundle(os.environ, ca_bundle)
        self._is_checked = False
        self._proxies: dict[str, Proxy | None] = {}

    def proxy(self, url: str) -> Proxy | None:
        """The proxy by which a URL is asked for, or None.

        Raises:
            UsageError: It cannot be used.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._proxies:
            self._proxies[origin] = _proxy_for(origin)
        return self._proxies[origin]

    def verify(self, url: str) -> str | bool:
        """The file or folder of certificates by which a server is trusted; True for those that come with certifi.

        Raises:
            UsageError: The URL is one of https, and there are none.
        """
        if self._bundle is None:
            return True
        if not self._is_checked and url.lower().startswith("https:"):
            _check_certificates(self._source, self._bundle)
            self._is_checked = True
        return self._bundle


def _ca_bundle(environ: Mapping[str, str], first: str | None) -> tuple[str, str | None]:
    """Where trusted certificates are named, and their path."""
    if first:
        return "ca_bundle", first
    return next(((name, environ[name]) for name in CA_BUNDLES if environ.get(name)), ("", None))


def _check_certificates(source: str, bundle: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError as error:
        why = "it has no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(
            f"{source} is {bundle!r}, from which no certificates can be read ({why}); set it to a file of certificates "
            "in PEM format, or unset it"
        ) from error


def _proxy_for(origin: str) -> Proxy | None:
    """What the variables say, NO_PROXY included, as requests understands them, and with the ports of addresses."""
    text = select_proxy(origin, get_environ_proxies(origin))
    if not text or proxy_bypass(urlsplit(origin).netloc):
        return None
    names = (f"{urlsplit(origin).scheme}_proxy", "all_proxy")
    variables = [variable for name in names for variable in (name.upper(), name)]
    variable = next((name for name in variables if os.environ.get(name) == text), "the system's proxy")
    proxy = Proxy(text if "://" in text else f"http://{text}", variable)
    parts = _parsed(proxy.url)
    if parts is None or parts.scheme not in _SCHEMES or not parts.host:
        raise UsageError(
            f"{variable} is {_without_password(text)!r}, which is no proxy's URL; write it like http://proxy:3128 or "
            "socks5h://proxy:1080"
        )
    if proxy.is_socks:
        _check_socks(proxy)
    return proxy


def _parsed(url: str) -> Url | None:
    try:
        return None if re.search(r"\s", url) else parse_url(url)
    except LocationParseError:
        return None


def _check_socks(proxy: Proxy) -> None:
    try:
        import_module("socks")
    except ImportError:
        raise UsageError(
            f"{proxy.variable} is {str(proxy)!r}, and SOCKS takes the package PySocks, which is not installed; run "
            "`pip install 'binance-futures-availability[socks]'`"
        ) from None


def _without_password(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"

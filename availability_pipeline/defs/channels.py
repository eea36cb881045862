"""Delivery of alerts through apprise: Slack, mail, Telegram, Teams, webhooks and a hundred more.

Its URLs are secrets, and apprise logs parts of them, so none of its text is passed on: reasons are worded here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = "binance-futures-availability"
"""The sender, where a channel shows one."""

_SIGNS = (
    (re.compile(r"\berror=(\d{3})\b"), r"it answered HTTP \1"),
    (re.compile("ProxyError|Tunnel connection failed|SOCKS"), "the proxy does not let the request through"),
    (re.compile("CERTIFICATE_VERIFY_FAILED"), "the certificate of the host is not trusted"),
    (re.compile("(?i)CA certificate bundle|TLS CA"), "the file of certificates cannot be read"),
    (re.compile("(?i)timed out|timeout="), "no answer in time"),
    (re.compile("(?i)authentication"), "user name or password are not accepted"),
    (re.compile("(?i)resolve|getaddrinfo|name or service"), "the name of the host cannot be resolved"),
    (re.compile("(?i)connection|refused"), "it cannot be reached"),
)
"""Reasons by patterns in apprise's log; the first match counts."""


def send(url: str, text: str) -> str | None:
    """Send a message, whose first line becomes the title; returns the reason of a failure, without the URL."""
    import apprise  # noqa: PLC0415 - loads some 270 modules, in about 0.2 s

    title, _, body = text.partition("\n")
    with _overheard() as said:
        # A redirect would turn the POST into a GET, whose answer means nothing.
        asset = apprise.AppriseAsset(app_id=PROGRAM, async_mode=False, http_redirects=False)
        channel = apprise.Apprise.instantiate(url, asset=asset)
        if not isinstance(channel, apprise.NotifyBase):
            return "apprise does not understand its URL"
        alert = apprise.Apprise(channel, asset=asset)
        if alert.notify(
            body=body or title, title=title if body else "", body_format=apprise.NotifyFormat.TEXT
        ):
            return None
    return f"{channel.service_name}: {_reason(said)}"


def _reason(said: list[str]) -> str:
    for sign, meaning in _SIGNS:
        for line in said:
            if found := sign.search(line):
                return found.expand(meaning)
    return "it did not accept the message"


class _Listener(logging.Handler):
    """Collects messages."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect apprise's log, and keep it from all other handlers."""
    logger, listener = logging.getLogger("apprise"), _Listener()
    level, propagate, handlers = logger.level, logger.propagate, logger.handlers
    logger.setLevel(logging.DEBUG)
    logger.propagate, logger.handlers = False, [listener]
    try:
        yield listener.said
    finally:
        logger.setLevel(level)
        logger.propagate, logger.handlers = propagate, handlers

"""How an alert reaches people: apprise, which knows Slack, mail, Telegram, Teams, plain webhooks and a hundred more.

A URL in its notation is a secret as a whole, and apprise logs parts of it; so nothing that apprise says is passed on.
What went wrong is told in words of this module only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = "binance-futures-availability"
"""Who the sender is, where a channel shows one."""

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
"""What in apprise's log means what; the first that is found counts."""


def send(url: str, text: str) -> str | None:
    """Send one message; returns what went wrong, without anything of the URL, and raises nothing.

    Args:
        url: The channel, in apprise's notation.
        text: The message; its first line becomes the title, where the channel has titles.
    """
    import apprise  # noqa: PLC0415 - loads some 270 modules, in about 0.2 s

    title, _, body = text.partition("\n")
    with _overheard() as said:
        # A redirect would turn the POST into a GET, which is answered with a page that says nothing of the message.
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
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect what apprise logs, causes of failures included, and keep it from every other handler."""
    logger, listener = logging.getLogger("apprise"), _Listener()
    level, propagate, handlers = logger.level, logger.propagate, logger.handlers
    logger.setLevel(logging.DEBUG)
    logger.propagate, logger.handlers = False, [listener]
    try:
        yield listener.said
    finally:
        logger.setLevel(level)
        logger.propagate, logger.handlers = propagate, handlers

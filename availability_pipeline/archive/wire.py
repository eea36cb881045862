"""One request and its answer on an HTTP/1.1 connection that is open: a fifth of the CPU of http.client and requests.

Belongs here: how requests without a body are written, and how answers are divided into head and body (RFC 9112).
Does not belong here: opening connections, proxies, certificates, and what to do about a failure (`http.py`).
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from http.client import RemoteDisconnected
from typing import Protocol

from urllib3.exceptions import IncompleteRead, ProtocolError

BUFFER_BYTES = 64 * 1024
"""What is received at once, and the most that a head may have."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_END_OF_LINE = re.compile(rb"\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: [^\r\n]*)?")
_CONTINUE = 100
_WITHOUT_BODY = (204, 304)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})\s*(?:;.*)?")


CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What is raised on a connection that the other end has closed, without a time-out."""


class NoByte(RemoteDisconnected):
    """The connection ended before the first byte of an answer."""


class Body(Protocol):
    """The body of an answer, as the server encoded it. The connection is kept once it is read to its end."""

    def read(self, amount: int) -> bytes:
        """So many bytes of it, fewer only at its end."""

    def stream(self, amount: int = ...) -> Iterator[bytes]:
        """All of it in pieces of about so many bytes."""

    def drain_conn(self) -> None:
        """Read the rest, which nobody needs."""

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request; its body is still to be read or closed."""

    status_code: int
    headers: Mapping[str, str]
    """By name, in lower case."""
    raw: Body

    def close(self) -> None:
        """Do without the rest of the body."""
        self.raw.close()


def request_head(method: str, target: str, host: str, headers: Mapping[str, str]) -> bytes | None:
    """A request without a body; None if a part of it is not for a line of a head."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {headers[name]}" for name in headers),
    ]
    text = "\r\n".join(lines)
    is_plain = text.isascii() and text.count("\r") == text.count("\n") == len(lines) - 1 and " " not in target
    return f"{text}\r\n\r\n".encode() if is_plain else None


def exchange(sock: socket.socket, request: bytes, done: Callable[[bool], None]) -> Answer:
    """Send a request and read the head of its answer.

    Args:
        sock: A connection that has had an answer before.
        request: As `request_head` writes it.
        done: Called once, when nothing is left to be read: whether the connection can be used again.

    Raises:
        NoByte: The connection ended before the answer began.
        ProtocolError: The answer is not one of HTTP/1.
        OSError: The connection failed, or no byte came in time.
    """
    stream = _Stream(sock)
    try:
        stream.begin(request)
        version, status, headers = _head(stream.head())
        while status == _CONTINUE:
            version, status, headers = _head(stream.head())
    except BaseException:
        done(False)
        raise
    # Without a body the headers may still tell of one, as those of the answer to a HEAD do.
    has_body = not request.startswith(b"HEAD ") and status not in _WITHOUT_BODY
    framing = headers if has_body else {"connection": headers.get("connection", ""), "content-length": "0"}
    return Answer(status, headers, _Body(stream, framing, done, is_last=version == b"0"))


def _head(head: bytes) -> tuple[bytes, int, dict[str, str]]:
    """Version, status and headers of an answer; those that come several times are joined."""
    first, *lines = head.split(b"\n")
    status = _STATUS.fullmatch(first.rstrip(b"\r"))
    if not status:
        raise ProtocolError("the answer does not begin with a status of HTTP/1")
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.decode("latin-1").partition(":")
        if not separator or not name or name != name.strip():
            raise ProtocolError("a line of the answer's head is no header")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return status[1], int(status[2]), headers


class _Stream:
    """What a connection receives, from the beginning of an answer on."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._received = b""

    @property
    def has_more(self) -> bool:
        """Whether bytes were received that are not read."""
        return bool(self._received)

    def begin(self, request: bytes) -> None:
        """Send the request and wait for the first byte of its answer."""
        try:
            self._socket.sendall(request)
            self._received = self._socket.recv(BUFFER_BYTES)
        except CLOSED as error:
            raise NoByte(str(error)) from error
        if not self._received:
            raise NoByte("the connection ended without an answer")

    def _until(self, end: re.Pattern[bytes]) -> bytes:
        while not (found := end.search(self._received)):
            if len(self._received) > BUFFER_BYTES:
                raise ProtocolError("a line or head of the answer does not end")
            self._received += self._more()
        before, self._received = self._received[: found.start()], self._received[found.end() :]
        return before

    def _more(self) -> bytes:
        received = self._socket.recv(BUFFER_BYTES)
        if not received:
            raise ProtocolError("the answer broke off")
        return received

    def head(self) -> bytes:
        """Up to the next empty line."""
        return self._until(_END_OF_HEAD)

    def line(self) -> bytes:
        """Up to the next line end."""
        return self._until(_END_OF_LINE)

    def some(self, most: int) -> bytes:
        """The next bytes, at most so many; nothing at the end of the connection."""
        if not self._received:
            return self._socket.recv(min(most, BUFFER_BYTES))
        some, self._received = self._received[:most], self._received[most:]
        return some


class _Body:
    def __init__(
        self, stream: _Stream, headers: Mapping[str, str], done: Callable[[bool], None], *, is_last: bool
    ) -> None:
        self._stream = stream
        self._headers = headers
        self._done = done
        self._is_last = is_last or "close" in headers.get("connection", "").lower()
        self._pieces = self._until_done()
        self._ahead = b""
        self._is_done = False

    def read(self, amount: int) -> bytes:
        pieces, length = [self._ahead], len(self._ahead)
        while length < amount and (piece := next(self._pieces, None)):
            pieces.append(piece)
            length += len(piece)
        found = b"".join(pieces)
        self._ahead = found[amount:]
        return found[:amount]

    def stream(self, amount: int = BUFFER_BYTES) -> Iterator[bytes]:
        while piece := self.read(amount):
            yield piece

    def drain_conn(self) -> None:
        for _ in self._pieces:
            pass

    def close(self) -> None:
        self._pieces.close()
        self._finish(keep=False)

    def _until_done(self) -> Generator[bytes]:
        try:
            yield from self._framed()
        except BaseException:
            self._finish(keep=False)
            raise
        # More than was announced would count as the beginning of the next answer.
        self._finish(keep=not self._is_last and not self._stream.has_more)

    def _finish(self, *, keep: bool) -> None:
        if not self._is_done:
            self._is_done = True
            self._done(keep)

    def _framed(self) -> Iterator[bytes]:
        coding, length = self._headers.get("transfer-encoding"), self._headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked":
                raise ProtocolError("the answer has another Transfer-Encoding than chunked")
            yield from self._chunks()
        elif length is not None:
            if not (length.isascii() and length.isdigit()):
                raise ProtocolError("the Content-Length of the answer is no number")
            yield from self._exactly(int(length))
        else:
            self._is_last = True
            while piece := self._stream.some(BUFFER_BYTES):
                yield piece

    def _exactly(self, length: int) -> Iterator[bytes]:
        left = length
        while left:
            piece = self._stream.some(left)
            if not piece:
                raise IncompleteRead(length - left, left)
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := self._size_of_chunk():
            yield from self._exactly(size)
            if self._stream.line():
                raise ProtocolError("a chunk of the answer does not end where it says")
        while self._stream.line():  # trailers
            pass

    def _size_of_chunk(self) -> int:
        found = _CHUNK.fullmatch(self._stream.line())
        if not found:
            raise ProtocolError("a chunk of the answer does not say how long it is")
        return int(found[1], 16)

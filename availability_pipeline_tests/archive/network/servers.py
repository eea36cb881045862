"""Proxies that note what goes through them, TLS in front of a server, and a server that closes what it says it keeps.

Proxies lead to one server, whatever host is named, so that a host that does not exist is reached through them only.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Address = tuple[str, int]
Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk) -> Iterator[Address]:
    """A port at which each connection is talked to in a thread of its own, and closed after it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, talk), daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket, talk: Talk) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_talk, args=(connection, talk), daemon=True).start()


def _talk(connection: socket.socket, talk: Talk) -> None:
    with connection, contextlib.suppress(OSError):
        talk(connection)


def pass_on(client: socket.socket, address: Address) -> None:
    """Copy between a client and a server until both have closed."""
    with socket.create_connection(address) as server:
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def read_head(connection: socket.socket) -> bytes:
    """A request or an answer up to its empty line; less if it ends before."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := connection.recv(1)):
            break
        head += byte
    return head


@dataclass
class Proxy:
    """A proxy on loopback."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    """What it was asked, with all headers."""

    @property
    def asked(self) -> list[str]:
        """The first line of each."""
        return [head.splitlines()[0] for head in self.heads]


@contextmanager
def http_proxy(address: Address, refusal: str | None = None) -> Iterator[Proxy]:
    """An HTTP proxy; with a refusal such as `407 Proxy Authentication Required`, that is all it answers."""
    proxy = Proxy()

    def talk(client: socket.socket) -> None:
        head = read_head(client)
        proxy.heads.append(head.decode())
        if refusal is not None:
            client.sendall(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode() if refusal else b"")
        elif head.startswith(b"CONNECT "):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pass_on(client, address)
        else:
            _forward(client, head, address)

    with listening(talk) as (host, port):
        proxy.url = f"http://{host}:{port}"
        yield proxy


def _forward(client: socket.socket, head: bytes, address: Address) -> None:
    """Pass one request on with a path in place of its URL, and the answer back, after which the connection ends."""
    line, _, rest = head.partition(b"\r\n")
    method, url, version = line.split(b" ")
    path = b"/" + url.split(b"/", 3)[3]
    with socket.create_connection(address) as server:
        server.sendall(b" ".join((method, path, version)) + b"\r\nConnection: close\r\n" + rest)
        _copy(server, client)


@contextmanager
def socks_proxy(address: Address, refusing: bool = False) -> Iterator[Proxy]:
    """A SOCKS5 proxy without passwords, which may refuse every connection."""
    proxy = Proxy()

    def talk(client: socket.socket) -> None:
        _, methods = client.recv(2)
        client.recv(methods)
        client.sendall(b"\x05\x00")
        _, _, _, kind = client.recv(4)
        name = client.recv(client.recv(1)[0]).decode() if kind == 3 else socket.inet_ntoa(client.recv(4))
        (port,) = struct.unpack("!H", client.recv(2))
        proxy.heads.append(f"{name}:{port}")
        client.sendall(b"\x05" + (b"\x02" if refusing else b"\x00") + b"\x00\x01\x7f\x00\x00\x01\x00\x00")
        if not refusing:
            pass_on(client, address)

    with listening(talk) as (host, port):
        proxy.url = f"socks5h://{host}:{port}"
        yield proxy


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test, and a server's certificate for localhost and `archive.test` by it."""

    bundle: Path
    """The authority's own certificate."""
    chain: Path
    """The server's certificate and key."""

    @classmethod
    def made(cls, folder: Path) -> Authority:
        """A new one."""
        authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = _certificate("Test authority", authority, "Test authority", authority, is_authority=True)
        leaf = _certificate("localhost", server, "Test authority", authority, is_authority=False)
        made = cls(folder / "authority.pem", folder / "server.pem")
        made.bundle.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        key = server.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made.chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + key)
        return made

    def context(self) -> ssl.SSLContext:
        """How the server speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context

    @contextmanager
    def in_front_of(self, address: Address) -> Iterator[Address]:
        """A port that speaks TLS and passes requests on."""
        context = self.context()

        def talk(client: socket.socket) -> None:
            with context.wrap_socket(client, server_side=True) as opened:
                while head := read_head(opened):
                    opened.sendall(_answer(head, address))

        with listening(talk) as place:
            yield place


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signing: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    names = [x509.DNSName("localhost"), x509.DNSName("archive.test")]
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(int.from_bytes(os.urandom(8)))
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .sign(signing, hashes.SHA256())
    )


@dataclass
class Closing:
    """A server that closes connections which it says that it keeps."""

    address: Address = ("", 0)
    answered: int = 0
    closed: int = 0
    """How many requests it has read and not answered."""
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str) -> int:
        """Count one more; how many there were before."""
        with self._lock:
            before: int = getattr(self, name)
            setattr(self, name, before + 1)
            return before

    @property
    def url(self) -> str:
        """Where it is, without TLS."""
        return f"http://{self.address[0]}:{self.address[1]}"


@contextmanager
def closing(
    address: Address,
    answers: int | Sequence[int],
    *,
    reset: bool = False,
    partly: bytes = b"",
    context: ssl.SSLContext | None = None,
) -> Iterator[Closing]:
    """In front of a server, answers so many requests on a connection and closes it when the next one has been read.

    Args:
        address: The server.
        answers: How many, or how many on the first connection, the second, and so on.
        reset: Whether it is with a RST, and not with a FIN.
        partly: What is sent of an answer before it is closed.
        context: How it speaks TLS, if it does.
    """
    server = Closing()

    def talk(client: socket.socket) -> None:
        number = server.count("connections")
        left = answers if isinstance(answers, int) else answers[number]
        if context is None:
            answer(client, left)
        else:
            with context.wrap_socket(client, server_side=True) as opened:
                answer(opened, left)

    def answer(client: socket.socket, left: int) -> None:
        for _ in range(left):
            if not (head := read_head(client)):
                return
            server.count("answered")
            client.sendall(_answer(head, address))
        if read_head(client):
            server.count("closed")
            client.sendall(partly)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(talk) as server.address:
        yield server


def _answer(head: bytes, address: Address) -> bytes:
    """The answer of a server to one request, as one of a server that keeps the connection."""
    line, _, rest = head.partition(b"\r\n")
    with socket.create_connection(address) as server:
        server.sendall(line + b"\r\nConnection: close\r\n" + rest)
        answer = b""
        while content := server.recv(65536):
            answer += content
    return re.sub(rb"(?i)\r\nConnection: close", b"\r\nConnection: keep-alive", answer, count=1)

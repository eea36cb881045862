"""A real PostgreSQL server of Debian's package, on a port of its own and with a password, for the time of a block."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BINARIES = max(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), default=None
)
"""The programs of the newest server that is installed, if one is."""

PASSWORD = "correct horse/battery:staple@"  # noqa: S105 - of a server that lives for one test
"""With characters that mean something in a URL."""


@dataclass(frozen=True)
class Server:
    """Where it listens on 127.0.0.1."""

    port: int
    user: str = "dagster"
    password: str = PASSWORD


def free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
    return port


@contextmanager
def running() -> Iterator[Server]:
    """A new server with an empty database `dagster`."""
    server = Server(free_port())
    with tempfile.TemporaryDirectory(prefix="postgres-") as place:
        data = Path(place) / "data"
        _as_its_user(place)
        _make(data, server)
        settings = [
            f"port={server.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
        ]
        options = [word for setting in settings for word in ("-c", setting)]
        with subprocess.Popen(
            [_program("postgres"), "-D", data, *options], stderr=subprocess.DEVNULL, **_user()
        ) as process:
            try:
                _wait_until_ready(server)
                _run(
                    "createdb",
                    f"--port={server.port}",
                    "--host=127.0.0.1",
                    f"--username={server.user}",
                    "dagster",
                )
                yield server
            finally:
                process.terminate()


def _make(data: Path, server: Server) -> None:
    password = data.with_name("password")
    password.write_text(server.password, encoding="utf-8")
    password.chmod(0o644)
    options = (
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        f"--username={server.user}",
    )
    _run("initdb", *options, f"--pwfile={password}", f"--pgdata={data}", **_user())


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + 120
    command = [_program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={server.port}"]
    while subprocess.run(command, check=False).returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _run(program: str, *arguments: str, **options: Any) -> None:
    environ = {**os.environ, "PGPASSWORD": PASSWORD}
    subprocess.run([_program(program), *arguments], check=True, capture_output=True, env=environ, **options)


def _program(name: str) -> str:
    assert BINARIES is not None
    return str(BINARIES / name)


def _user() -> dict[str, Any]:
    """The server refuses to run as root."""
    return {"user": "nobody", "cwd": "/"} if os.geteuid() == 0 else {}


def _as_its_user(folder: str) -> None:
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")

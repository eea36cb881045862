"""The Dagster UI over one data directory, as a process that ends with the command that serves it.

In a checkout, `dagster dev` needs no help; this is for data directories with a Dagster instance of their own.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.worker_process import environment_of, interruptible

HOST = "127.0.0.1"

STOP_SECONDS = 60
"""How long Dagster's processes may take to end; a run that is under way goes on for so long."""


def check_port(port: int) -> None:
    """Make sure that the UI can listen there.

    Raises:
        UsageError: Something else does, or this user may not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"the Dagster UI cannot be served on port {port} ({error.strerror}); choose another one with --port"
            ) from error


def check_temporary_folder() -> None:
    """Make sure that Dagster's code servers, whose sockets are in the folder for temporary files, can listen.

    Raises:
        UsageError: There is no such folder, or its path is longer than those of sockets may be.
    """
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UsageError(
            "there is no folder for temporary files; set TMPDIR to one that can be written to"
        ) from error
    path = Path(folder, f"tmp{secrets.token_hex(4)}")  # as long as the names that Dagster takes
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError as error:
        raise UsageError(
            f"Dagster cannot listen in the folder for temporary files {folder}, whose path has "
            f"{len(os.fsencode(folder))} bytes ({error.strerror or error}); set TMPDIR to a shorter one like /tmp"
        ) from error


def serve_ui(settings: Settings, instance: Path, port: int) -> None:
    """Serve the UI and run the daemon until Ctrl-C or SIGTERM.

    Args:
        settings: What the runs work with.
        instance: The folder of the Dagster instance.
        port: Where the UI listens, on this machine only.

    Raises:
        AvailabilityError: Dagster ended by itself.
    """
    command = [sys.executable, "-P", "-m", "dagster", "dev", "-m", "availability_pipeline.definitions"]
    environ = {**environment_of(settings), "DAGSTER_HOME": str(instance)}
    try:
        # Begun within, so that the processes do not inherit from a script's background that SIGINT is ignored.
        with (
            interruptible(),
            # In a folder without a .env, which Dagster would let win over these settings.
            _session([*command, "--host", HOST, "--port", str(port)], environ, instance) as dagster,
        ):
            status = dagster.wait()
    except KeyboardInterrupt:
        return
    raise AvailabilityError(f"Dagster ended with exit status {status}; its message is above")


@contextmanager
def _session(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own: it is told once to end, and what it leaves behind is ended with it."""
    process = subprocess.Popen(command, env=environ, cwd=folder, start_new_session=True)  # noqa: S603 - our own
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # Dagster's code servers would go on until they miss their heartbeat.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

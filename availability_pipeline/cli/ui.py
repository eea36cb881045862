"""The Dagster UI over one data directory, as a process that ends with the command that serves it.

In a checkout, `dagster dev` needs no help; this is for data directories with a Dagster instance of their own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
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
    # In a session of its own: it is told once to end, and what it leaves behind can be ended with it.
    with subprocess.Popen(  # noqa: S603 - our own arguments
        [*command, "--host", HOST, "--port", str(port)],
        env=environ,
        cwd=settings.data_dir,
        start_new_session=True,
    ) as dagster:
        try:
            with interruptible():
                status = dagster.wait()
        except KeyboardInterrupt:
            return
        finally:
            _end(dagster)
    raise AvailabilityError(f"Dagster ended with exit status {status}; its message is above")


def _end(dagster: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            dagster.wait(STOP_SECONDS)
        # Its code servers would go on until they miss their heartbeat.
        os.killpg(dagster.pid, signal.SIGKILL)

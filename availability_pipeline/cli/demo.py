"""The command `demo`: the whole pipeline on the simulated archive, offline, optionally with the Dagster UI."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.cli.collect import collect
from availability_pipeline.cli.options import chosen_settings, example
from availability_pipeline.collecting.process import environment_of, instance_at, interruptible, python_path
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.settings import Settings, mark_simulated
from availability_pipeline.simulator.content import SimulatedArchive

HOST = "127.0.0.1"

STOP_SECONDS = 60
"""Time for Dagster's processes, and runs in progress, to end."""

_EXAMPLE_DAY = dt.date(2024, 1, 15)


def check_port(port: int) -> None:
    """Raise UsageError if the UI cannot listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"the Dagster UI cannot be served on port {port} ({error.strerror}); choose another one with --port"
            ) from error


def check_temporary_folder() -> None:
    """Raise UsageError if the folder for temporary files cannot hold the sockets of Dagster's code servers."""
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
    """Serve the UI on loopback, and run the daemon, until Ctrl-C or SIGTERM.

    Args:
        settings: The settings of the runs.
        instance: The folder of the Dagster instance.
        port: The port of the UI.

    Raises:
        AvailabilityError: Dagster ended by itself.
    """
    command = [sys.executable, "-P", "-m", "dagster", "dev", "-m", "availability_pipeline.definitions"]
    environ = {**environment_of(settings), "DAGSTER_HOME": str(instance)}
    try:
        # Started inside, so that the processes do not inherit an ignored SIGINT from a script's background.
        with (
            interruptible(),
            # In a folder without .env, which would override these settings in Dagster.
            _session([*command, "--host", HOST, "--port", str(port)], environ, instance) as dagster,
        ):
            status = dagster.wait()
    except KeyboardInterrupt:
        return
    raise AvailabilityError(f"Dagster ended with exit status {status}; its message is above")


@contextmanager
def _session(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a new session: it gets one SIGINT, and its session is killed when it has ended."""
    process = subprocess.Popen(command, env=environ, cwd=folder, start_new_session=True)  # noqa: S603 - our own
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # Dagster's code servers would stay until they miss the heartbeat.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@click.command(epilog=example("demo", "demo --symbols 20 --data-dir /tmp/demo", "demo --ui"))
@click.option("--data-dir", metavar="DIR", help="Where to keep it.  [default: demo/ in the data directory]")
@click.option("--symbols", metavar="N", type=click.IntRange(1), help="Only N contracts.  [default: all]")
@click.option("--ui", is_flag=True, help="Serve the Dagster UI on it afterwards, until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Where --ui listens."
)
def demo(data_dir: str | None, symbols: int | None, *, ui: bool, port: int) -> None:
    """Build and publish the whole history of a simulated archive, offline.

    With --ui, the archive stays up until Ctrl-C for runs from the Dagster UI.
    """
    if ui:
        check_port(port)
        check_temporary_folder()
    given = chosen_settings(data_dir=data_dir)
    _, dataset = given.db_file, given.dataset
    folder = given.data_dir if data_dir is not None else given.data_dir / "demo"
    instance = instance_at(folder / "dagster")
    began = time.monotonic()
    with _simulated_archive(symbols, dataset) as environment:
        settings = chosen_settings(environment, data_dir=str(folder), datasets=dataset.name)
        mark_simulated(settings)
        outcome = collect(settings, DayRange(dataset.first_day, dataset.last_day), (), instance)
        click.echo(_summary(settings, outcome.metadata["published_database"], time.monotonic() - began))
        if ui:
            click.echo(f"\nDagster UI: http://{HOST}:{port}  (Ctrl-C ends it)")
            serve_ui(settings, instance, port)


@contextmanager
def _simulated_archive(symbols: int | None, dataset: Dataset) -> Iterator[dict[str, str]]:
    """Run the simulated archive in another process; yields its environment. Raises UsageError for too many symbols."""
    SimulatedArchive.recorded(symbols, dataset)
    command = [sys.executable, "-P", "-m", "availability_pipeline.simulator", "--until-stdin-closes"]
    command += ["--dataset", dataset.name]
    command += ["--symbols", str(symbols)] if symbols else []
    # A new session, so that Ctrl-C ends the run first and not its requests one by one.
    server = subprocess.Popen(  # noqa: S603 - our own module
        command,
        env={**os.environ, "PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise AvailabilityError("the simulated archive did not start; its message is above")
            # The archive is local, so no proxy applies.
            os.environ.update({"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
            yield json.loads(line)["environment"]
        finally:
            server.terminate()


def _summary(settings: Settings, published: Mapping[str, Any], seconds: float) -> str:
    dataset = settings.dataset
    first, last = dataset.first_day, dataset.last_day
    command = f"AVAILABILITY_DATA_DIR={shlex.quote(str(settings.data_dir))} {_program()}"
    option = "" if dataset.is_default else f" --dataset {dataset.name}"
    day = min(_EXAMPLE_DAY, last)
    [largest] = SimulatedArchive.recorded(1, dataset).folders()
    return f"""
The simulated archive is published: {published["symbols"]:,} contracts, {(last - first).days + 1:,} days from {first} to
{last}, {published["available"]:,} files, in {seconds:.0f} s.

  published database  {settings.db_path}  ({published["bytes"] / 1e6:.0f} MB)
  working database    {settings.working_path}
  Dagster instance    {settings.data_dir / "dagster"}

Next:
  {command} query snapshot {day}{option}
  {command} query timeline {largest.facts.symbol}{option}
  {command} query universe {day} --explain{option}
  {command} status{option}"""


def _program() -> str:
    """The command line of this program."""
    installed = shutil.which("binance-futures-availability")
    if installed:
        return installed
    return (
        f"{sys.executable} -m availability_pipeline" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    )

"""The command `demo`: the whole pipeline on the simulated archive, offline, in a data directory of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from availability_pipeline.cli.collect import collect
from availability_pipeline.cli.help import example
from availability_pipeline.cli.ui import HOST, check_port, check_temporary_folder, serve_ui
from availability_pipeline.days import FIRST_DAY, DayRange, last_complete_day
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.settings import Settings
from availability_pipeline.simulated import mark_simulated
from availability_pipeline.simulator import SimulatedArchive
from availability_pipeline.worker_process import instance_at, python_path


@click.command(epilog=example("demo", "demo --symbols 20 --data-dir /tmp/demo", "demo --ui"))
@click.option("--data-dir", metavar="DIR", help="Where to keep it.  [default: demo/ in the data directory]")
@click.option("--symbols", metavar="N", type=click.IntRange(1), help="Only N contracts.  [default: all]")
@click.option("--ui", is_flag=True, help="Serve the Dagster UI on it afterwards, until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Where --ui listens."
)
def demo(data_dir: str | None, symbols: int | None, *, ui: bool, port: int) -> None:
    """Build and publish the whole history of a simulated archive, offline.

    With --ui, the archive goes on until Ctrl-C, so that runs can be started in the Dagster UI.
    """
    if ui:
        check_port(port)
        check_temporary_folder()
    given = Settings.load(data_dir=data_dir)
    _ = given.db_file
    folder = given.data_dir if data_dir is not None else given.data_dir / "demo"
    instance = instance_at(folder / "dagster")
    began = time.monotonic()
    with _simulated_archive(symbols) as environment:
        settings = Settings.load(environment, data_dir=str(folder))
        mark_simulated(settings)
        outcome = collect(settings, DayRange(FIRST_DAY, last_complete_day()), (), instance)
        click.echo(_summary(settings, outcome.metadata["published_database"], time.monotonic() - began))
        if ui:
            click.echo(f"\nDagster UI: http://{HOST}:{port}  (Ctrl-C ends it)")
            serve_ui(settings, instance, port)


@contextmanager
def _simulated_archive(symbols: int | None) -> Iterator[dict[str, str]]:
    """The simulated archive in a process of its own; gives the environment that leads to it.

    Raises:
        UsageError: It does not have so many contracts.
    """
    SimulatedArchive.recorded(symbols)
    command = [sys.executable, "-P", "-m", "availability_pipeline.simulator", "--until-stdin-closes"]
    command += ["--symbols", str(symbols)] if symbols else []
    # In a session of its own, so that Ctrl-C reaches the run first and its requests are not cut off one by one.
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
            # The archive is on this machine, whatever proxy leads out of it.
            os.environ.update({"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
            yield json.loads(line)["environment"]
        finally:
            server.terminate()


def _summary(settings: Settings, published: Mapping[str, Any], seconds: float) -> str:
    first, last = FIRST_DAY, last_complete_day()
    command = f"AVAILABILITY_DATA_DIR={shlex.quote(str(settings.data_dir))} {_program()}"
    return f"""
The simulated archive is published: {published["symbols"]:,} contracts, {(last - first).days + 1:,} days from {first} to
{last}, {published["available"]:,} files, in {seconds:.0f} s.

  published database  {settings.db_path}  ({published["bytes"] / 1e6:.0f} MB)
  working database    {settings.working_path}
  Dagster instance    {settings.data_dir / "dagster"}

Next:
  {command} query snapshot 2024-01-15
  {command} query timeline BTCUSDT
  {command} query universe 2024-01-15 --explain
  {command} status"""


def _program() -> str:
    """How this program is called here."""
    installed = shutil.which("binance-futures-availability")
    if installed:
        return installed
    return (
        f"{sys.executable} -m availability_pipeline" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    )

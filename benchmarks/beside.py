"""`python -m benchmarks.beside REVISION`: whole commands of this checkout beside those of an older revision.

The revision is installed from git into its own environment. Each command starts from the same data directory, made by
its own revision; the two take turns, and medians are printed as Markdown. CPU is that of all processes of the command,
peak memory that of its largest one. Seconds are this machine's; the ratios are what travels.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.report import table
from benchmarks.runner import Bench, bench

ROOT = Path(__file__).parents[1]

HEADER = ("", "", "CPU s", "wall s", "peak MB", "CPU ratio", "wall ratio")


def main() -> None:
    """Install the older revision, make both data directories, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("revision", help="a tag or commit of this repository")
    parser.add_argument("--symbols", type=int, help="a reduced archive of so many contracts, to try it out")
    parser.add_argument("--runs", type=int, default=3, help="how often each command runs  [default: 3]")
    arguments = parser.parse_args()
    show(arguments.revision, arguments.symbols, arguments.runs)


def show(revision: str, symbols: int | None, runs: int = 1) -> None:
    """Print the table of one older revision."""
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), symbols) as archive:
        pythons = {revision: installed(revision, Path(folder)), "now": Path(sys.executable)}
        table(f"Beside {revision}", HEADER, compared(archive, pythons, runs))


def last_release() -> str | None:
    """The newest tag that leads here; None if there is none."""
    found = subprocess.run(
        ["git", "-C", ROOT, "describe", "--tags", "--abbrev=0"], check=False, capture_output=True, text=True
    )
    return found.stdout.strip() or None


def installed(revision: str, folder: Path) -> Path:
    """The Python of a new environment with a revision of this repository and the versions that it pins."""
    source, place = folder / "source", folder / "older"
    source.mkdir()
    packed = subprocess.run(
        ["git", "-C", ROOT, "archive", revision], check=True, stdout=subprocess.PIPE
    ).stdout
    subprocess.run(["tar", "--extract", "--directory", source], input=packed, check=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint",
         source / "constraints.txt", source],
        check=True,
    )  # fmt: skip
    return python


def compared(archive: Bench, pythons: dict[str, Path], runs: int) -> Iterable[Sequence[object]]:
    """A row for each command and revision."""
    today = dt.datetime.now(dt.UTC).date()
    ready = {name: archive.data_dir / f"ready {name}" for name in pythons}
    for name, python in pythons.items():
        run(archive, python, ready[name], "backfill", "--end", str(today - dt.timedelta(days=2)))
    for command, prepared in (("backfill", None), ("backfill --missing", ready), ("update", ready)):
        figures: dict[str, list[list[float]]] = {name: [] for name in pythons}
        for _ in range(runs):
            for name, python in pythons.items():
                data_dir = archive.data_dir / "data"
                shutil.rmtree(data_dir, ignore_errors=True)
                if prepared:  # with the links between what is published and its generation
                    subprocess.run(["cp", "-a", prepared[name], data_dir], check=True)
                figures[name].append(run(archive, python, data_dir, *command.split()))
        first = None
        for name, measured in figures.items():
            cpu, wall, peak = (statistics.median(values) for values in zip(*measured, strict=True))
            first = first or (cpu, wall)
            yield (
                f"`{command}`", name, f"{cpu:.1f}", f"{wall:.1f}", f"{peak:.0f}",
                f"1/{first[0] / cpu:.2f}", f"1/{first[1] / wall:.2f}",
            )  # fmt: skip


def run(archive: Bench, python: Path, data_dir: Path, *arguments: str) -> list[float]:
    """Run a command; CPU seconds, wall seconds, MB of its largest process."""
    # What older revisions do not do is left out: reading all 1-minute files of the day.
    environ = {**replace(archive, data_dir=data_dir).environ(), "AVAILABILITY_INSPECT": "off"}
    (data_dir / "dagster").mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    process = subprocess.Popen(
        [python, "-m", "availability_pipeline", *arguments],
        cwd=data_dir, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"{' '.join(arguments)} of {python} failed with {os.waitstatus_to_exitcode(status)}")
    return [usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024]


if __name__ == "__main__":
    main()

"""`python -m benchmarks.decisions`: measure what the decisions in docs/decisions rest on, and print it as Markdown.

Each option is measured three times in fresh processes, in turns with the others, and the median is printed. Seconds are
this machine's; the ratios are what travels.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.report import table
from benchmarks.runner import Bench, Figures, bench
from benchmarks.storing import FORMS, KEYS

LATENCY_SECONDS = 0.05
DAYS = (1, 2, 3, 5, 10, 20)
REPEATS = 3

ASKING = ("days", "", "requests", "MB received", "CPU s", "wall s")
STORED = ("", "MB", "write CPU s", "snapshot CPU ms", "timeline CPU ms", "files per day CPU ms")


def main() -> None:
    """Fill a working database, then measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--symbols", type=int, help="a reduced archive of so many contracts, to try it out")
    parser.add_argument("--only", choices=("asking", "storing"), help="one half of it")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), arguments.symbols) as archive:
        archive.task("collect_everything")
        if arguments.only != "storing":
            _asking(archive)
        if arguments.only != "asking":
            _storing(archive)


def _asking(archive: Bench) -> None:
    for latency in (0.0, LATENCY_SECONDS):
        archive.set_latency(latency)
        table(f"LIST and HEAD, {latency * 1000:.0f} ms away", ASKING, _both(archive))
    archive.set_latency(0)


def _both(archive: Bench) -> Iterable[Sequence[object]]:
    for days in DAYS:
        options = [("asking.list_days", str(days)), ("asking.head_days", str(days))]
        listed, probed = _medians(archive, options)
        for name, figures in (("LIST", listed), ("HEAD", probed)):
            yield (
                days, name, f"{figures['seen'][name]:,}", f"{figures['received'] / 1e6:.2f}",
                f"{figures['asking_cpu']:.2f}", f"{figures['asking']:.2f}",
            )  # fmt: skip


def _storing(archive: Bench) -> None:
    header = (*STORED, "a day again CPU ms", "wrong after INSERT OR REPLACE")
    table("Keys of the working table", header, _keys(archive))
    programs = ["storing.parquet", "storing.sqlite"]
    options = [*(("storing.publish", form) for form in FORMS), *((program,) for program in programs)]
    names = [*(form.replace("_", " ") for form in FORMS), "Parquet by year", "SQLite"]
    found = _medians(archive, options)
    table("Forms for readers", STORED, (_stored(name, one) for name, one in zip(names, found, strict=True)))


def _keys(archive: Bench) -> Iterable[Sequence[object]]:
    found = _medians(archive, [("storing.keep", keys) for keys in KEYS])
    for keys, figures in zip(KEYS, found, strict=True):
        # Without a key there is nothing to conflict with.
        wrong = "" if keys == "none" else archive.task("storing.replace", keys)["wrong"]
        yield *_stored(keys, figures), f"{figures['day_ms']:.0f}", wrong


def _stored(name: str, figures: Figures) -> Sequence[object]:
    measured = (f"{figures[each]:.2f}" for each in ("write", "snapshot", "timeline", "per_day"))
    return name, f"{figures['mb']:.1f}", *measured


def _medians(archive: Bench, options: Sequence[Sequence[str]]) -> list[Figures]:
    """The median of each figure of each option."""
    rounds = []
    for _ in range(REPEATS):
        rounds.append([archive.task(*option) for option in options])
        shutil.rmtree(archive.data_dir / "storing", ignore_errors=True)
    return [_median(runs) for runs in zip(*rounds, strict=True)]


def _median(runs: Sequence[Figures]) -> Figures:
    numbers = {name for name, value in runs[0].items() if isinstance(value, float | int)}
    return {**runs[0], **{name: statistics.median(run[name] for run in runs) for name in numbers}}


if __name__ == "__main__":
    main()

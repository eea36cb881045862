"""`python -m benchmarks`: run all measurements and print their tables as Markdown.

Seconds are this machine's; the ratios, taken side by side in one run, are what travels.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.beside import last_release, show
from benchmarks.report import table
from benchmarks.runner import Bench, Figures, bench

LATENCY_SECONDS = 0.05


def main() -> None:
    """Run everything, in an order in which each step finds the database that it needs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--symbols", type=int, help="a reduced archive of so many contracts, to try it out")
    parser.add_argument(
        "--beside", default=last_release(), help="an older revision  [default: the newest tag]"
    )
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), arguments.symbols) as archive:
        table("Listing the whole history", LISTING, _listing(archive))
        archive.set_latency(LATENCY_SECONDS)
        table("The same, 50 ms away", LISTING, _listing(archive))
        table("One day by HEAD, 50 ms away", HEADS, _heads(archive))
        archive.set_latency(0)
        table("One day by HEAD", HEADS, _heads(archive))
        table("Collecting, without Dagster", COLLECTING, _collecting(archive))
        archive.set_latency(LATENCY_SECONDS)
        table("The same on the filled database, 50 ms away", COLLECTING, _windows(archive))
        archive.set_latency(0)
        table("Writing", WRITING, _writing(archive))
        table("Volume and contents", CONTENTS, _contents(archive))
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), arguments.symbols) as archive:
        table("Commands, with Dagster and publication", COMMANDS, _commands(archive))
        table("Deriving and publishing", DERIVING, _deriving(archive))
        table("Queries on an open connection", QUERIES, _queries(archive))
        table("Query patterns, on an open connection of DuckDB", PATTERNS, _patterns(archive))
    if arguments.beside:
        show(arguments.beside, arguments.symbols)


LISTING = ("", "LIST requests", "files", "CPU s", "wall s", "keys/s", "peak MB", "CPU ratio")
HEADS = ("", "HEAD requests", "CPU s", "wall s", "wall ratio")
COLLECTING = ("", "LIST", "HEAD", "rows", "wall s", "of which write s", "peak MB")
WRITING = ("", "rows", "seconds", "rows/s")
COMMANDS = ("", "LIST", "HEAD", "wall s")
CONTENTS = ("", "LIST", "GET", "bars or files", "CPU s", "wall s", "CPU ms a file", "peak MB")
DERIVING = ("", "seconds")
QUERIES = ("", "p50 ms", "p99 ms")
PATTERNS = ("", "rows", "CPU ms", "p50 ms", "target ms", "p99 ms")
ASKED = {
    "opening": "opening",
    "snapshot": "snapshot",
    "snapshot_arrow": "snapshot as Arrow",
    "timeline": "timeline",
    "timeline_arrow": "timeline as Arrow",
    "universe": "universe of a day",
    "universe_top": "universe of a day, top 100 by median of 30 days",
    "rankings": "rankings of a day",
    "volume": "bars of a contract",
    "summary": "summary, all days",
    "matrix": "availability matrix, all days",
    "universe_history": "universe of every day",
    "universe_history_top": "universe of every day, top 100",
}


def _listing(archive: Bench) -> Iterable[Sequence[object]]:
    stock = archive.task("list_with_stock_boto3")
    ours = archive.task("list_with_ours")
    if stock["files"] != ours["files"]:
        sys.exit(f"the listings disagree: {stock['files']} and {ours['files']} files")
    for name, figures in (("stock boto3", stock), ("this project", ours)):
        # Both see the zips and as many checksums.
        keys_per_second = 2 * figures["files"] / figures["wall"]
        yield (
            name, figures["seen"]["LIST"], figures["files"], _s(figures["cpu"]), _s(figures["wall"]),
            f"{keys_per_second:,.0f}", f"{figures['peak_mb']:.0f}", f"1/{stock['cpu'] / figures['cpu']:.1f}",
        )  # fmt: skip


def _heads(archive: Bench) -> Iterable[Sequence[object]]:
    single = archive.task("head_with_one_connection_per_request")
    ours = archive.task("head_with_ours")
    for name, figures in (("one connection per request", single), ("this project", ours)):
        ratio = f"1/{single['wall'] / figures['wall']:.1f}"
        yield name, figures["seen"]["HEAD"], _s(figures["cpu"]), _s(figures["wall"]), ratio


def _collecting(archive: Bench) -> Iterable[Sequence[object]]:
    yield _collected("whole history", archive.task("collect_everything"))
    yield from _windows(archive)


def _windows(archive: Bench) -> Iterable[Sequence[object]]:
    yield _collected("20 days", archive.task("collect_window"))
    yield _collected("one day", archive.task("collect_day"))


def _collected(name: str, figures: Figures) -> Sequence[object]:
    seen = figures["seen"]
    return (
        name, seen["LIST"], seen["HEAD"], f"{figures['rows']:,}", _s(figures["wall"]),
        _s(figures["write_seconds"]), f"{figures['peak_mb']:.0f}",
    )  # fmt: skip


def _writing(archive: Bench) -> Iterable[Sequence[object]]:
    stock = archive.task("write_with_executemany")
    (archive.data_dir / "working" / "availability.duckdb").unlink()
    ours = archive.task("collect_everything")
    for name, figures in (("executemany, a sample", stock), ("this project", ours)):
        yield name, f"{figures['rows']:,}", _s(figures["write_seconds"]), f"{figures['rows_per_second']:,.0f}"


def _contents(archive: Bench) -> Iterable[Sequence[object]]:
    for name, task in (
        ("bars of all months that are over", "contents.read_history"),
        ("bars of the running month", "contents.read_month"),
        ("bars of a day", "contents.read_day"),
        ("inspecting 1-minute files", "contents.inspect"),
    ):
        found = archive.task(task)
        seen, files = found["seen"], max(1, found["files"])
        yield (
            name, seen["LIST"], seen["GET"], f"{found.get('rows', found['files']):,}", _s(found["cpu"]),
            _s(found["wall"]), f"{found['cpu'] / files * 1000:.2f}", f"{found['peak_mb']:.0f}",
        )  # fmt: skip


def _commands(archive: Bench) -> Iterable[Sequence[object]]:
    for arguments in (
        ["backfill"],
        ["backfill", "--missing"],
        ["update"],
        ["status"],
        ["query", "snapshot", "2024-01-15"],
    ):
        figures = archive.command(*arguments)
        yield (
            f"`{' '.join(arguments)}`",
            figures["seen"]["LIST"],
            figures["seen"]["HEAD"],
            _s(figures["wall"]),
        )


def _deriving(archive: Bench) -> Iterable[Sequence[object]]:
    figures = archive.task("derive_and_publish")
    yield f"statuses and {figures['episodes']:,} episodes from all rows", _s(figures["derive"])
    yield "publication, all Parquet files new", _s(figures["first"])
    yield "publication, unchanged years taken over", _s(figures["second"])


def _queries(archive: Bench) -> Iterable[Sequence[object]]:
    figures = archive.task("query")
    for name, label in ASKED.items():
        yield label, f"{figures[name]['p50']:.2f}", f"{figures[name]['p99']:.2f}"
    yield f"published database {figures['published_mb']:.0f} MB", "", ""
    yield f"working database {figures['working_mb']:.0f} MB", "", ""


def _patterns(archive: Bench) -> Iterable[Sequence[object]]:
    for name, found in archive.task("patterns.ask")["patterns"].items():
        cpu, p50, p99 = (f"{found[figure]:.2f}" for figure in ("cpu", "p50", "p99"))
        yield name, f"{found['rows']:,}", cpu, p50, found["target"], p99


def _s(seconds: float) -> str:
    return f"{seconds:.2f}"


if __name__ == "__main__":
    main()

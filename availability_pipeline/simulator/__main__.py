"""`python -m availability_pipeline.simulator`: serve the recorded archive to other processes.

Belongs here: the command's options and its lifetime. Does not belong here: anything that `serve` does.

The first line on standard output is JSON with the address and the settings that make the pipeline use it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, dataset_named
from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.server import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal, or the end of standard input if that is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m availability_pipeline.simulator",
        description="Serve a simulated archive on a free port of 127.0.0.1 until SIGINT or SIGTERM.",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="NAME",
        help=f"a dataset of the catalogue, {DEFAULT_DATASET.name} by default; may be repeated",
    )
    parser.add_argument("--symbols", type=int, help="how many folders; by default all that are recorded")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with standard input as well")
    options = parser.parse_args(arguments)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    if options.until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(done,), daemon=True).start()
    try:
        datasets = map(dataset_named, dict.fromkeys(options.dataset or [DEFAULT_DATASET.name]))
        with serve(*(SimulatedArchive.recorded(options.symbols, each) for each in datasets)) as server:
            print(json.dumps({"url": server.url, "environment": server.environment()}), flush=True)
            done.wait()
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _wait_for_end_of_input(done: threading.Event) -> None:
    # Not through sys.stdin: its buffer's lock would be held when the interpreter ends.
    while os.read(0, 4096):
        pass
    done.set()


if __name__ == "__main__":
    sys.exit(main())

"""A newcomer's path in this clone, timed: `make demo-ui`, until the Dagster UI shows every asset and check green.

Then the question that the demo suggests is asked. Needs Python and make only, like a newcomer. Exit code 1 if the UI
does not get green or the answer is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 900
"""Seconds until it has failed; most of them are for the installation."""

QUERY = """{ assetNodes {
    assetKey { path }
    assetMaterializations(limit: 1) { runId }
    partitionStats { numPartitions numMaterialized numFailed }
    assetChecksOrError { ... on AssetChecks { checks {
        name
        executionForLatestMaterialization { status evaluation { success severity } }
    } } }
} }"""


def ask(url: str) -> list[dict[str, Any]] | None:
    """The assets as the UI sees them; None while it does not answer."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{url}/graphql", json.dumps({"query": QUERY}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            nodes: list[dict[str, Any]] = json.load(answer)["data"]["assetNodes"]
            return nodes
    except (OSError, ValueError, TypeError, KeyError):
        return None


def not_green(node: dict[str, Any]) -> list[str]:
    """What is missing or red in an asset; warnings are not."""
    name = node["assetKey"]["path"][-1]
    if name == "file_contents":  # the files of a history are inspected on request
        return []
    found = [] if node["assetMaterializations"] else [f"{name} was never materialized"]
    stats = node["partitionStats"]
    if stats and (stats["numMaterialized"] < stats["numPartitions"] or stats["numFailed"]):
        found.append(f"{name}: {stats}")
    for check in node["assetChecksOrError"].get("checks", []):
        execution = check["executionForLatestMaterialization"]
        evaluation = execution and execution["evaluation"]
        if not evaluation or (not evaluation["success"] and evaluation["severity"] == "ERROR"):
            found.append(f"{name}, check {check['name']}: {execution}")
    return found


def wrong_answer(output: str) -> list[str]:
    """What is wrong with the demo's last words and the first command that they suggest."""
    hint = next((line for line in output.splitlines() if line.endswith("query snapshot 2024-01-15")), "")
    asked = subprocess.run(f"{hint} --format json", shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    if "20 contracts" in output and '"BTCUSDT"' in asked.stdout:
        return []
    return [f"the demo did not say what to ask next, or got no answer: {asked.stdout}{asked.stderr}"]


def main() -> int:
    """Do it, and say how long it took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(  # noqa: S603 - our own target
            ["make", f"PORT={url.rpartition(':')[2]}", "ARGS=--symbols 20", "demo-ui"],  # noqa: S607
            cwd=ROOT,
            env={**os.environ, "AVAILABILITY_DATA_DIR": home},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as make,
    ):
        problems = ["the UI does not answer"]
        try:
            while problems and time.monotonic() - began < PATIENCE and make.poll() is None:
                time.sleep(0.5)
                nodes = ask(url)
                if nodes:
                    problems = [problem for node in nodes for problem in not_green(node)]
            seconds = time.monotonic() - began
            said.seek(0)
            output = said.read()
            problems += wrong_answer(output)
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(make.pid, signal.SIGINT)
            make.wait()
    if problems:
        print("\n".join([output[-3000:], *problems]))
        return 1
    print(f"From a clone to a green UI with `make demo-ui`: {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

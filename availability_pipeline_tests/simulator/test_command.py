"""`python -m availability_pipeline.simulator`: what other processes rely on to start, use and end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from availability_pipeline.simulator.__main__ import main
from availability_pipeline_tests.simulator.conftest import BUCKET, ROOT, parse_xml

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command with options; whatever still runs afterwards is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "availability_pipeline.simulator", *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        with process:  # closes its pipes and waits for its end
            pass


def announced(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def test_it_announces_itself_and_serves(start: Start, http: requests.Session) -> None:
    process = start("--symbols", "3")
    line = announced(process)
    assert line["environment"]["AVAILABILITY_S3_ENDPOINT"] == line["url"]
    answer = http.get(f"{line['url']}/{BUCKET}", params={"list-type": "2", "prefix": ROOT, "delimiter": "/"})
    assert parse_xml(answer.content).findtext("{*}KeyCount") == "3"
    assert http.head(f"{line['url']}/{ROOT}BTCUSDT/1m/BTCUSDT-1m-2024-01-16.zip").status_code == 200
    assert http.head(f"{line['url']}/{ROOT}ETCUSDT/1m/ETCUSDT-1m-2024-01-16.zip").status_code == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(start: Start, number: signal.Signals) -> None:
    process = start("--symbols", "1")
    announced(process)
    process.send_signal(number)
    assert process.wait(timeout=60) == 0


def test_the_end_of_standard_input_ends_it(start: Start) -> None:
    process = start("--symbols", "1", "--until-stdin-closes")
    announced(process)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_a_wrong_number_of_symbols_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["--symbols", "5000"]) == 2
    assert "5000" in capsys.readouterr().err

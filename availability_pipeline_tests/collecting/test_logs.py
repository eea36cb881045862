"""Structured logs: each line is JSON with the documented fields, in every kind of process, and text stays as it was."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from availability_pipeline.collecting import reporting
from availability_pipeline.defs.failures import MAX_RETRIES
from availability_pipeline.errors import ArchiveFailures, ArchiveRefused, ArchiveUnreachable, StoreError
from availability_pipeline.settings import log_format
from availability_pipeline_tests.cli.commands import PROGRAM, command, environment
from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.dagster_side import Site, root
from availability_pipeline_tests.simulator import Fault

URL = "https://data.binance.vision/x.zip"
REFUSED = ArchiveRefused("answered HTTP 503", url=URL, symbol="BTCUSDT", date="2024-01-15", status=503)
UNREACHABLE = ArchiveUnreachable("the connection was cut", url=URL)

DAEMON_RUN = """
import sys
from pathlib import Path
from availability_pipeline import definitions
from availability_pipeline.defs import launch
with launch.open_instance(Path(sys.argv[1])) as instance:
    definitions.defs.resolve_job_def("availability_update").execute_in_process(
        instance=instance, tags={"dagster/partition": "2024-01-15"}, partition_key="2024-01-15", raise_on_error=False)
"""
"""A run without logger configuration, as the daemon launches it."""


def lines(text: str) -> list[dict[str, Any]]:
    """The lines, each of which must be a JSON object."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    return found


class Collector(logging.Handler):
    """Keeps what it is given, formatted."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(reporting.JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


def logged(error: Any) -> list[dict[str, Any]]:
    logger, collector = logging.Logger("test"), Collector()
    logger.addHandler(collector)
    reporting.log_failures(logger, error)
    return collector.lines


def test_a_failed_request_is_logged_with_all_that_is_known_of_it() -> None:
    [line] = logged(REFUSED)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "ERROR",
        "logger": "test",
        "message": f"BTCUSDT 2024-01-15: answered HTTP 503 ({URL})",
        "symbol": "BTCUSDT",
        "date": "2024-01-15",
        "url": URL,
        "status": 503,
    }


def test_what_is_not_known_is_left_out() -> None:
    assert reporting.failure_fields(UNREACHABLE) == {"url": URL}
    assert reporting.failure_fields(StoreError("the disk is full")) == {}
    assert logged(StoreError("the disk is full"))[0]["message"] == "the disk is full"


def test_every_failure_of_a_batch_is_logged_up_to_a_bound() -> None:
    assert len(logged(ArchiveFailures([REFUSED] * 100, 700))) == 100
    found = logged(ArchiveFailures([REFUSED] * 250, 700))
    assert len(found) == 101
    assert found[-1]["message"] == "150 more failures of the same batch are not logged one by one"


def test_a_traceback_and_other_alphabets_stay_on_one_line() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "币安人生USDT\nis %s", ("new",), None)
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        record.exc_info = sys.exc_info()
    text = reporting.JsonFormatter().format(record)
    assert text.count("\n") == 0
    assert "币安人生USDT" in text
    assert "ZeroDivisionError: by nothing" in json.loads(text)["error"]


def test_handlers_are_gone_after_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("availability_pipeline.test")
    with reporting.written("json"):
        logger.info("inside")
    with reporting.written("text"):
        logger.info("as Python has it")
    logger.info("outside")
    assert [line["message"] for line in lines(capsys.readouterr().err)] == ["inside"]


def test_a_wrong_format_does_not_hide_the_message_about_it() -> None:
    assert log_format({"AVAILABILITY_LOG_FORMAT": "xml"}) == "text"
    assert log_format({"AVAILABILITY_LOG_FORMAT": "json"}) == "json"
    assert log_format({}) == "text"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status"], 1, "there is no published database"),
        (["update", "soon"], 2, "DATE is 'soon', which is not a day"),
        (["query", "snapshot"], 2, "Missing argument 'DATE'"),
        (["--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_the_last_line_of_a_command_is_json_and_its_exit_code_the_same(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=120,
        env={"PYTHONPATH": str(root()), "AVAILABILITY_DATA_DIR": str(tmp_path), "AVAILABILITY_LOG_FORMAT": "json"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    [line] = lines(done.stderr)
    assert (line["level"], message in line["message"]) == ("ERROR", True)


def test_a_command_that_collects_logs_its_stages_and_every_failure(site: Site) -> None:
    site.server.faults.inject(Fault.status(503), on="HEAD", match="BTCUSDT")
    done = command(site, "update", "2024-01-15", AVAILABILITY_LOG_FORMAT="json")
    assert (done.returncode, done.stdout) == (1, "")
    found = lines(done.stderr)
    assert "discovering contracts …" in [line["message"] for line in found]
    failure, *others = [line for line in found if "symbol" in line]
    assert len(others) == MAX_RETRIES
    [run] = site.instance.get_runs()
    assert failure["url"].endswith("/BTCUSDT-1m-2024-01-15.zip")
    assert {name: failure[name] for name in ("symbol", "date", "status", "run_id", "job", "step")} == {
        "symbol": "BTCUSDT",
        "date": "2024-01-15",
        "status": 503,
        "run_id": run.run_id,
        "job": "availability_update",
        "step": "daily_availability",
    }
    assert found[-1]["message"].startswith("BTCUSDT 2024-01-15: the archive answered HTTP 503")


def run_of_the_daemon(site: Site, log_format: str) -> str:
    """What a run of which two requests fail writes to stderr."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        site.server.faults.inject(Fault.status(503), on="HEAD", match=f"/{symbol}/")
    variables = environment(site, AVAILABILITY_LOG_FORMAT=log_format)
    with start_python(DAEMON_RUN, site.settings.data_dir / "dagster", **variables) as process:
        _, said = process.communicate(timeout=120)
    return said


def test_a_run_of_the_daemon_writes_json_lines_only(site: Site) -> None:
    found = lines(run_of_the_daemon(site, "json"))
    failures = [line for line in found if "symbol" in line]
    tried = [("BTCUSDT", 503), ("ETHUSDT", 503)] * (1 + MAX_RETRIES)
    assert sorted((line["symbol"], line["status"]) for line in failures) == sorted(tried)
    assert all(line["step"] == "daily_availability" for line in failures)
    errors = [line["error"] for line in found if "error" in line]
    assert len(errors) == 2, "one of the step, one of the run"
    assert all("2 of 8 symbols failed" in error for error in errors)
    assert len(found) < 14 + 4 * MAX_RETRIES


def test_a_run_of_the_daemon_logs_each_failure_of_each_try_in_text(site: Site) -> None:
    said = run_of_the_daemon(site, "text")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        pattern = rf"ERROR - .* - daily_availability - {symbol} 2024-01-15: .*HTTP 503 \(http.*\.zip\)"
        assert len(re.findall(pattern, said)) == 1 + MAX_RETRIES, said
    assert "STEP_FAILURE" in said

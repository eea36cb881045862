"""`backfill` and `update` as processes: side by side, interrupted, killed, and short of file handles."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from availability_pipeline.collecting.process import interruptible
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.cli.commands import (
    children_of,
    command,
    environment,
    in_process,
    one_sentence,
    started,
    wait_for,
)
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.simulator import Fault


def test_a_backfill_in_any_time_zone_beside_a_file_that_is_called_like_a_library(site: Site) -> None:
    (site.settings.data_dir / "yaml.py").write_text("raise SystemExit('shadow')", encoding="utf-8")
    code = "import sys; sys.argv[1:] = ['backfill', '--start', '2024-01-01', '--end', '2024-01-31']; "
    done = subprocess.run(
        [sys.executable, "-P", "-c", code + "from availability_pipeline.cli.main import main; main()"],
        env=environment(site, TZ="Asia/Tokyo"), cwd=site.settings.data_dir,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = site.truth("2024-01-01", "2024-01-31")
    assert pipeline.table(site.settings) == rows
    [(probed,)] = pipeline.query(site.settings, "SELECT max(probe_timestamp) FROM daily_availability")
    assert abs(probed - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=5)
    assert f"{len(rows):,} rows, {sum(row[2] for row in rows):,} files" in done.stdout
    assert "listing the archive" in done.stderr
    [run] = site.instance.get_runs()  # the instance that the UI shows
    assert (run.job_name, run.is_success) == ("availability_update", True)


def test_two_runs_over_the_same_day_at_once_both_succeed(site: Site) -> None:
    with started(site, "update", "2024-01-15") as first:
        wait_for(first, "discovering")
        second = in_process(site, "backfill", "--start", "2024-01-12", "--end", "2024-01-15")
        _, errors = first.communicate(timeout=300)
    assert [first.returncode, second.exit_code] == [0, 0], errors + second.stderr
    rows = site.truth("2024-01-12", "2024-01-15")
    assert pipeline.table(site.settings) == rows
    runs = pipeline.query(
        site.settings, "SELECT window_start, rows_written, changes FROM collection_runs ORDER BY window_start"
    )
    assert runs == [(dt.date(2024, 1, 12), len(rows), 0), (dt.date(2024, 1, 15), len(rows) // 4, 0)]


def test_an_interrupted_run_ends_soon_and_without_harm(site: Site) -> None:
    pipeline.run_and_publish(site.settings, dt.date(2024, 1, 1), dt.date(2024, 1, 31))
    before, published = pipeline.table(site.settings), site.settings.db_path.read_bytes()
    site.server.faults.inject(Fault.hang(), on="LIST", match="ETHUSDT")
    with started(site, "backfill", "--start", "2024-01-01", "--end", "2024-02-28") as process:
        wait_for(process, "listing the archive")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert pipeline.table(site.settings) == before
    assert site.settings.db_path.read_bytes() == published
    assert all(run.is_finished for run in site.instance.get_runs())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt_until_the_block_ends(number: signal.Signals) -> None:
    previous = [signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(number)
        signal.raise_signal(number)  # as a script's background has it
    finally:
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), previous, strict=True):
            signal.signal(each, handler)


def test_a_worker_that_is_killed_is_not_a_mystery(site: Site) -> None:
    site.server.faults.inject(Fault.hang(), on="LIST")
    with started(site, "update", "2024-01-15") as process:
        wait_for(process, "discovering")
        for child in children_of(process):
            os.kill(child, signal.SIGKILL)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert (
        errors.splitlines()[-1] == "Error: the process of the run was ended by SIGKILL; run the command again"
    )


def wait_until_gone(children: list[int]) -> None:
    """Wait for a minute at most until there is none of some processes any more."""
    assert children
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")
"""What runs a command under another host name, as `docker run` does."""


def test_after_a_kill_under_another_host_name_the_worker_ends_and_the_next_run_completes_the_table(
    site: Site,
) -> None:
    if subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("another host name takes rights that this process does not have")
    pipeline.run_and_publish(site.settings, dt.date(2024, 1, 1), dt.date(2024, 1, 10))
    before = pipeline.table(site.settings)
    site.server.faults.inject(Fault.hang(), on="LIST", match="ETHUSDT")
    with started(
        site, "backfill", "--start", "2024-01-01", "--end", "2024-01-31", before=ELSEWHERE
    ) as process:
        wait_for(process, "listing the archive")
        busy = in_process(site, "update", "2024-01-15", AVAILABILITY_LOCK_TIMEOUT_SECONDS="0")
        assert "(process " in one_sentence(busy)
        assert " on elsewhere, since " in one_sentence(busy)
        assert busy.exit_code == 1
        children = children_of(process)
        process.kill()
    wait_until_gone(children)
    assert pipeline.table(site.settings) == before
    assert len(site.instance.get_runs()) == 1  # the one that did not get its turn was none
    site.server.faults.clear()
    done = in_process(site, "backfill", "--start", "2024-01-01", "--end", "2024-01-31")
    assert done.exit_code == 0, done.stderr
    assert "whose process is gone" in done.stderr
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-31")


def test_a_run_that_fails_for_want_of_file_handles_does_not_keep_the_next_one_waiting(site: Site) -> None:
    backfill = ["backfill", "--start", "2024-01-01", "--end", "2024-01-05"]
    limited = ["sh", "-c", 'ulimit -n 15; exec "$@"', "sh"]
    with started(site, *backfill, before=limited) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    done = in_process(site, *backfill, AVAILABILITY_LOCK_TIMEOUT_SECONDS="0")
    assert done.exit_code == 0, done.stderr
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-05")


def test_a_port_that_is_taken_is_told_before_the_demo_is_built(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command(
            site, "demo", "--data-dir", str(site.settings.data_dir / "demo"), "--ui", "--port", port
        )
    said = (
        f"Error: the Dagster UI cannot be served on port {port} (Address already in use); choose another one"
    )
    assert one_sentence(done).startswith(said)
    assert done.returncode == 2
    assert not (site.settings.data_dir / "demo").exists()

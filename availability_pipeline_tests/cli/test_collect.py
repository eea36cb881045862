"""`backfill` and `update` as a person runs them: as processes, with their output, exit codes and interruptions."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.dates import last_complete_day
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.dagster_side import Site, root
from availability_pipeline_tests.simulator import Fault

PROGRAM = [sys.executable, "-m", "availability_pipeline"]


def environment(site: Site, **more: str) -> dict[str, str]:
    home = str(site.settings.data_dir / "dagster")
    return {
        **os.environ,
        **site.settings.environment(),
        "DAGSTER_HOME": home,
        "PYTHONPATH": str(root()),
        **more,
    }


def command(site: Site, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], env=environment(site, **more), cwd=site.settings.data_dir,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def started(site: Site, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, *PROGRAM, *arguments],
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read its messages until one has the text."""
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the process ended without saying {text!r}")


def children_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a process has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in children.split()]


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that failed: one line, no traceback, nothing on stdout."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


def test_backfill_collects_a_range_in_any_time_zone_and_says_so(site: Site) -> None:
    done = command(site, "backfill", "--start", "2024-01-01", "--end", "2024-01-31", TZ="Asia/Tokyo")
    assert done.returncode == 0, done.stderr
    rows = site.truth("2024-01-01", "2024-01-31")
    assert pipeline.table(site.settings) == rows
    [(probed,)] = pipeline.query(site.settings, "SELECT max(probe_timestamp) FROM daily_availability")
    assert abs(probed - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=5)
    assert f"{len(rows):,} rows, {sum(row[2] for row in rows):,} files" in done.stdout
    assert "listing the archive" in done.stderr
    [run] = site.instance.get_runs()  # the instance that the UI shows
    assert (run.job_name, run.is_success) == ("availability_update", True)


def test_missing_begins_with_the_first_gap(site: Site) -> None:
    yesterday = last_complete_day()
    site.archive.set_now(None)  # files up to yesterday: days without any before a gap belong to it
    pipeline.run(site.settings, dt.date(2019, 9, 25), yesterday - dt.timedelta(days=30))
    done = command(site, "backfill", "--missing")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{yesterday - dt.timedelta(days=29)} to {yesterday}: ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["backfill", "--start", "2024-02-01", "--end", "2024-01-01"],
            2,
            "start 2024-02-01 is after the end",
        ),
        (["backfill", "--start", "2019-09-24"], 2, "2019-09-24 is before 2019-09-25"),
        (["backfill", "--end", "2999-01-01"], 2, "2999-01-01 is not over yet in UTC"),
        (["backfill", "--start", "2024-13-01"], 2, "--start is '2024-13-01', which is not a day"),
        (["backfill", "--symbols", ","], 2, "--symbols names no contract"),
        (
            ["backfill", "--start", "2026-11-01", "--symbols", "NOSUCHUSDT"],
            2,
            "no tracked contract is called 'NOSUCHUSDT'",
        ),
        (
            ["backfill", "--start", "2026-11-01", "--symbols", "BTCUSDC"],
            2,
            "no tracked contract is called 'BTCUSDC'; similar names: ",
        ),
        (["backfill", "--missing", "--start", "2024-01-01"], 2, "--missing chooses the days itself"),
        (["backfill", "--start", ""], 2, "--start is '', which is not a day"),
        (["demo", "--data-dir", ""], 2, "data_dir is empty"),
        (["demo", "--symbols", "5000"], 2, "symbols is 5000"),
        (["update", "tomorrow"], 2, "DATE is 'tomorrow', which is not a day"),
        (["update", str(last_complete_day() + dt.timedelta(days=1))], 2, "is not over yet in UTC"),
    ],
)
def test_wrong_usage_ends_in_one_sentence(site: Site, arguments: list[str], code: int, message: str) -> None:
    done = command(site, *arguments)
    assert message in one_sentence(done)
    assert done.returncode == code
    assert not site.settings.db_path.exists()


@pytest.mark.parametrize(
    ("variable", "value", "code", "message"),
    [
        ("AVAILABILITY_S3_ENDPOINT", "no url", 2, "AVAILABILITY_S3_ENDPOINT is 'no url', which is no URL"),
        ("AVAILABILITY_CONNECTIONS", "0", 2, "AVAILABILITY_CONNECTIONS is '0'"),
        ("AVAILABILITY_CONNECTIONS", "100000000", 2, "a whole number from 1 to 1,000"),
        ("AVAILABILITY_DATA_DIR", "/proc/nowhere", 1, "/proc/nowhere"),
        ("AVAILABILITY_DB_PATH", "/proc/nowhere/a.duckdb", 1, "/proc/nowhere"),
        ("AVAILABILITY_ARCHIVE_URL", "http://127.0.0.1:9", 1, "the connection failed"),
        ("DAGSTER_HOME", "relative", 2, "DAGSTER_HOME is 'relative'"),
    ],
)
def test_wrong_settings_end_in_one_sentence(
    site: Site, variable: str, value: str, code: int, message: str
) -> None:
    done = command(site, "update", "2024-01-15", **{variable: value})
    assert message in one_sentence(done)
    assert done.returncode == code
    assert not site.settings.db_path.exists()


@pytest.mark.parametrize("content", ["a: [b", "no_such_key: 1", "- a list"])
def test_a_configuration_that_dagster_does_not_understand_is_named(site: Site, content: str) -> None:
    home = site.settings.data_dir / "broken"
    home.mkdir()
    (home / "dagster.yaml").write_text(content, encoding="utf-8")
    done = command(site, "update", "2024-01-15", DAGSTER_HOME=str(home))
    assert f"the configuration {home}/dagster.yaml is not understood (" in one_sentence(done)
    assert done.returncode == 1


def test_records_that_dagster_cannot_read_are_named(site: Site) -> None:
    home = site.settings.data_dir / "dagster"
    for file in home.rglob("*.db"):
        file.write_bytes(b"hello " * 5000)
    done = command(site, "update", "2024-01-15")
    assert f"Dagster could not use its instance {home} (" in one_sentence(done)
    assert done.returncode == 1


def test_what_the_system_refuses_the_run_is_not_blamed_on_dagster(site: Site) -> None:
    home = site.settings.data_dir / "broken"
    (home / "dagster.yaml").mkdir(parents=True)
    done = command(site, "update", "2024-01-15", DAGSTER_HOME=str(home))
    assert f"the run could not go on ({home}/dagster.yaml: Is a directory); correct the path" in one_sentence(
        done
    )
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["the log of another", "a damaged database and a log"])
def test_what_is_advised_after_damage_works(site: Site, leave: str) -> None:
    database = site.settings.working_path
    log = database.with_name(f"{database.name}.wal")
    assert command(site, "update", "2024-01-15").returncode == 0
    leave_log(log)
    if leave == "the log of another":
        advised, rest = log, "is damaged or of another database"
    else:
        database.write_bytes(database.read_bytes()[:20_000])
        advised, rest = database, "is damaged or not a DuckDB database"
    message = one_sentence(command(site, "update", "2024-01-16"))
    assert f"{advised} {rest} (" in message
    assert re.search("move it away,? (then|and) run `backfill`", message)
    advised.rename(site.settings.data_dir / "away")
    # The whole history takes a minute or more, so it is collected once.
    days = () if advised == database else ("--start", "2024-01-15", "--end", "2024-01-16")
    done = command(site, "backfill", *days)
    assert done.returncode == 0, done.stderr
    with AvailabilityQueries(site.settings.db_path) as queries:
        found = queries.get_availability_range("2024-01-15", "2024-01-16")
    expected = [row[:2] for row in site.truth("2024-01-15", "2024-01-16") if row[2]]
    assert sorted((row["date"], row["symbol"]) for row in found) == sorted(expected)


LOG = """
    import os, signal, sys
    import duckdb

    connection = duckdb.connect(sys.argv[1], config={"checkpoint_threshold": "1TB"})
    connection.execute("CREATE TABLE t (n INTEGER)")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_log(log: Path) -> None:
    """What a process leaves that is killed after it wrote to another database."""
    other = log.parent / "other.duckdb"
    with start_python(LOG, other) as process:
        process.wait(timeout=60)
    other.with_name("other.duckdb.wal").rename(log)
    other.unlink()


def test_update_probes_one_day_and_no_file_in_the_current_folder_shadows_a_library(site: Site) -> None:
    (site.settings.data_dir / "yaml.py").write_text("raise SystemExit('shadow')", encoding="utf-8")
    code = "import sys; sys.argv[1:] = ['update', '2024-01-15']; "
    done = subprocess.run(
        [sys.executable, "-P", "-c", code + "from availability_pipeline.cli.main import main; main()"],
        env=environment(site), cwd=site.settings.data_dir, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert pipeline.table(site.settings) == site.truth("2024-01-15", "2024-01-15")


def test_without_the_archive_the_demo_is_named(site: Site) -> None:
    done = command(site, "update", AVAILABILITY_S3_ENDPOINT="http://no-such-host.invalid")
    assert "no-such-host.invalid cannot be reached" in one_sentence(done)
    assert "`make demo`" in one_sentence(done)
    assert done.returncode == 1
    assert not site.settings.db_path.exists()


def test_a_file_that_is_no_database_is_left_as_it_is(site: Site) -> None:
    site.settings.working_path.parent.mkdir(parents=True)
    site.settings.working_path.write_text("not a database", encoding="utf-8")
    done = command(site, "update", "2024-01-15")
    assert "not a DuckDB database" in one_sentence(done)
    assert done.returncode == 1
    assert site.settings.working_path.read_text(encoding="utf-8") == "not a database"


def test_a_published_path_that_is_something_else_is_noticed_before_the_run(site: Site) -> None:
    site.settings.db_path.write_text("my notes", encoding="utf-8")
    done = command(site, "update", "2024-01-15")
    assert str(site.settings.db_path) in one_sentence(done)
    assert done.returncode == 1
    assert site.settings.db_path.read_text(encoding="utf-8") == "my notes"
    assert not site.settings.working_path.exists()
    assert len(site.server.requests) == 0


def test_a_database_of_a_newer_version_is_left_as_it_is(site: Site) -> None:
    site.run("2024-01-15")
    with duckdb.connect(site.settings.working_path) as connection:
        connection.execute("UPDATE database_info SET value = '99' WHERE key = 'schema_version'")
    before = site.settings.working_path.read_bytes()
    done = command(site, "update", "2024-01-16")
    assert "schema version 99" in one_sentence(done)
    assert site.settings.working_path.read_bytes() == before


def test_a_worker_that_is_killed_is_not_a_mystery(site: Site) -> None:
    site.server.faults.inject(Fault.hang(), on="LIST")
    with started(site, "update", "2024-01-15") as process:
        wait_for(process, "discovering")
        for child in children_of(process):
            os.kill(child, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert (
        errors.splitlines()[-1] == "Error: the process of the run was ended by SIGKILL; run the command again"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_soon_and_without_harm(site: Site, number: signal.Signals) -> None:
    site.run("2024-01-01", "2024-01-31")
    before, published = pipeline.table(site.settings), site.settings.db_path.read_bytes()
    site.server.faults.inject(Fault.hang(), on="LIST", match="ETHUSDT")
    with started(site, "backfill", "--start", "2024-01-01", "--end", "2024-02-28") as process:
        wait_for(process, "listing the archive")
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert pipeline.table(site.settings) == before
    assert site.settings.db_path.read_bytes() == published
    assert all(run.is_finished for run in site.instance.get_runs())


ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")
"""What runs a command under another host name, as `docker run` does."""


def test_after_a_kill_under_another_host_name_the_next_run_completes_the_table(site: Site) -> None:
    if subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("another host name takes rights that this process does not have")
    site.run("2024-01-01", "2024-01-10")
    before = pipeline.table(site.settings)
    site.server.faults.inject(Fault.hang(), on="LIST", match="ETHUSDT")
    with started(
        site, "backfill", "--start", "2024-01-01", "--end", "2024-01-31", before=ELSEWHERE
    ) as process:
        wait_for(process, "listing the archive")
        busy = command(site, "update", "2024-01-15", AVAILABILITY_LOCK_TIMEOUT_SECONDS="0")
        assert "(process " in one_sentence(busy)
        assert " on elsewhere, since " in one_sentence(busy)
        assert busy.returncode == 1
        process.kill()
    assert pipeline.table(site.settings) == before
    assert len(site.instance.get_runs()) == 2  # the one that did not get its turn was none
    site.server.faults.clear()
    done = command(site, "backfill", "--start", "2024-01-01", "--end", "2024-01-31")
    assert done.returncode == 0, done.stderr
    assert "whose process is gone" in done.stderr
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-31")


def test_a_run_that_fails_for_want_of_file_handles_does_not_keep_the_next_one_waiting(site: Site) -> None:
    backfill = ["backfill", "--start", "2024-01-01", "--end", "2024-01-05"]
    limited = ["sh", "-c", 'ulimit -n 15; exec "$@"', "sh"]
    with started(site, *backfill, before=limited) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    done = command(site, *backfill, AVAILABILITY_LOCK_TIMEOUT_SECONDS="0")
    assert done.returncode == 0, done.stderr
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-05")


def test_two_runs_at_once_both_succeed(site: Site) -> None:
    site.run("2024-01-01")
    with (
        started(site, "backfill", "--start", "2024-01-02", "--end", "2024-01-05") as first,
        started(site, "backfill", "--start", "2024-01-04", "--end", "2024-01-07") as second,
    ):
        outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert pipeline.table(site.settings) == site.truth("2024-01-01", "2024-01-07")


def test_the_same_day_twice_at_once_succeeds_twice(site: Site) -> None:
    with started(site, "update", "2024-01-15") as first, started(site, "update", "2024-01-15") as second:
        outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    rows = site.truth("2024-01-15", "2024-01-15")
    assert pipeline.table(site.settings) == rows
    runs = pipeline.query(site.settings, "SELECT window_start, rows_written, changes FROM collection_runs")
    assert runs == [(dt.date(2024, 1, 15), len(rows), 0)] * 2


def test_a_port_that_is_taken_is_told_before_the_demo_is_built(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command(
            site, "demo", "--data-dir", str(site.settings.data_dir / "demo"), "--ui", "--port", port
        )
    assert f"cannot be served on port {port} (Address already in use); choose another one" in one_sentence(
        done
    )
    assert done.returncode == 2
    assert not (site.settings.data_dir / "demo").exists()


@pytest.mark.parametrize("name", ["x" * 90, "币安" * 16])
def test_a_folder_for_sockets_with_too_long_a_path_is_told_before_the_demo_is_built(
    site: Site, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    done = command(
        site,
        "demo",
        "--data-dir",
        str(tmp_path / "demo"),
        "--ui",
        "--port",
        "3999",
        TMPDIR=str(tmp_path / name),
    )
    said = one_sentence(done)
    assert (
        f"Dagster cannot listen in the folder for temporary files {tmp_path / name}, whose path has" in said
    )
    assert (
        f"{len(os.fsencode(tmp_path / name))} bytes (AF_UNIX path too long); set TMPDIR to a shorter one"
        in said
    )
    assert done.returncode == 2
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("kept", ["working", "availability.duckdb"])
def test_the_demo_does_not_touch_real_data(site: Site, kept: str) -> None:
    site.run("2024-01-15")
    for path in (site.settings.working_path, site.settings.db_path):
        if kept not in path.relative_to(site.settings.data_dir).parts[0]:
            path.unlink()
    done = command(site, "demo", "--data-dir", str(site.settings.data_dir), "--symbols", "3")
    assert "holds real data" in one_sentence(done)
    assert done.returncode == 2


def test_real_data_does_not_get_into_the_demo(site: Site) -> None:
    site.settings.demo_marker.write_text("", encoding="utf-8")
    done = command(site, "update", "2024-01-15", AVAILABILITY_S3_ENDPOINT="http://no-such-host.invalid")
    assert "holds the demo's simulated data" in one_sentence(done)
    assert done.returncode == 2


def test_the_worker_ends_with_the_command(site: Site) -> None:
    site.server.faults.inject(Fault.hang(), on="LIST")
    with started(site, "update", "2024-01-15") as process:
        wait_for(process, "discovering")
        children = children_of(process)
        process.kill()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    assert not [child for child in children if Path(f"/proc/{child}").exists()]

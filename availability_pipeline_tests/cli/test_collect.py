"""`backfill` and `update`: what they refuse, what they answer, and what becomes of damage that they name."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import tempfile
from pathlib import Path

import duckdb
import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.dates import last_complete_day
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.cli.commands import in_process, one_sentence
from availability_pipeline_tests.conftest import SetClock, start_python
from availability_pipeline_tests.dagster_side import Site

DAY = dt.date(2024, 1, 15)


def test_missing_begins_with_the_first_gap(site: Site) -> None:
    yesterday = last_complete_day()
    site.archive.set_now(None)  # files up to yesterday: days without any before a gap belong to it
    pipeline.run(site.settings, dt.date(2019, 9, 25), yesterday - dt.timedelta(days=30))
    done = in_process(site, "backfill", "--missing")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"{yesterday - dt.timedelta(days=29)} to {yesterday}: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["backfill", "--start", "2024-02-01", "--end", "2024-01-01"], "start 2024-02-01 is after the end"),
        (["backfill", "--start", "2019-09-24"], "2019-09-24 is before 2019-09-25"),
        (["backfill", "--end", "2999-01-01"], "2999-01-01 is not over yet in UTC"),
        (["backfill", "--start", "2024-13-01"], "--start is '2024-13-01', which is not a day"),
        (["backfill", "--symbols", ","], "--symbols names no contract"),
        (["backfill", "--missing", "--start", "2024-01-01"], "--missing chooses the days itself"),
        (["backfill", "--start", ""], "--start is '', which is not a day"),
        (["demo", "--data-dir", ""], "data_dir is empty"),
        (["demo", "--symbols", "5000"], "symbols is 5000"),
        (["update", "tomorrow"], "DATE is 'tomorrow', which is not a day"),
        (["update", str(last_complete_day() + dt.timedelta(days=1))], "is not over yet in UTC"),
    ],
)
def test_wrong_usage_ends_in_one_sentence(site: Site, arguments: list[str], message: str) -> None:
    done = in_process(site, *arguments)
    assert message in one_sentence(done)
    assert done.exit_code == 2
    assert not site.settings.db_path.exists()
    assert len(site.server.requests) == 0


def test_wrong_usage_that_only_the_run_finds_is_wrong_usage(site: Site) -> None:
    done = in_process(
        site, "backfill", "--start", "2024-02-01", "--end", "2024-02-02", "--symbols", "BTCUSDC"
    )
    assert "no tracked contract is called 'BTCUSDC'; similar names: " in one_sentence(done)
    assert done.exit_code == 2
    assert not site.settings.db_path.exists()


@pytest.mark.parametrize(
    ("variable", "value", "code", "message"),
    [
        ("AVAILABILITY_S3_ENDPOINT", "no url", 2, "AVAILABILITY_S3_ENDPOINT is 'no url', which is no URL"),
        ("AVAILABILITY_CONNECTIONS", "0", 2, "AVAILABILITY_CONNECTIONS is '0'"),
        ("AVAILABILITY_CONNECTIONS", "100000000", 2, "a whole number from 1 to 1,000"),
        ("AVAILABILITY_DATA_DIR", "/proc/nowhere", 1, "/proc/nowhere"),
        ("AVAILABILITY_DB_PATH", "/proc/nowhere/a.duckdb", 1, "/proc/nowhere"),
        ("DAGSTER_HOME", "relative", 2, "DAGSTER_HOME is 'relative'"),
    ],
)
def test_wrong_settings_end_in_one_sentence(
    site: Site, variable: str, value: str, code: int, message: str
) -> None:
    done = in_process(site, "update", "2024-01-15", **{variable: value})
    assert message in one_sentence(done)
    assert done.exit_code == code
    assert not site.settings.db_path.exists()


@pytest.mark.parametrize("content", ["a: [b", "no_such_key: 1", "- a list"])
def test_a_configuration_that_dagster_does_not_understand_is_named(site: Site, content: str) -> None:
    home = site.settings.data_dir / "broken"
    home.mkdir()
    (home / "dagster.yaml").write_text(content, encoding="utf-8")
    done = in_process(site, "update", "2024-01-15", DAGSTER_HOME=str(home))
    assert f"the configuration {home}/dagster.yaml is not understood (" in one_sentence(done)
    assert done.exit_code == 1


def test_records_that_dagster_cannot_read_are_named(site: Site) -> None:
    home = site.settings.data_dir / "damaged"
    for file in (site.settings.data_dir / "dagster").rglob("*.db"):
        copy = home / file.relative_to(site.settings.data_dir / "dagster")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"hello " * 5000)
    done = in_process(site, "update", "2024-01-15", DAGSTER_HOME=str(home))
    assert f"Dagster could not use its instance {home} (" in one_sentence(done)
    assert done.exit_code == 1


def test_what_the_system_refuses_the_run_is_not_blamed_on_dagster(site: Site) -> None:
    home = site.settings.data_dir / "broken"
    (home / "dagster.yaml").mkdir(parents=True)
    done = in_process(site, "update", "2024-01-15", DAGSTER_HOME=str(home))
    said = f"the run could not go on ({home}/dagster.yaml: Is a directory); correct the path"
    assert said in one_sentence(done)
    assert done.exit_code == 1


@pytest.mark.parametrize("leave", ["the log of another", "a damaged database and a log"])
def test_what_is_advised_after_damage_works(site: Site, set_clock: SetClock, leave: str) -> None:
    set_clock("2020-03-01 12:00")  # when the whole history was short
    database = site.settings.working_path
    log = database.with_name(f"{database.name}.wal")
    pipeline.run_and_publish(site.settings, dt.date(2020, 2, 15))
    leave_log(log)
    if leave == "the log of another":
        advised, rest = log, "is damaged or of another database"
    else:
        database.write_bytes(database.read_bytes()[:20_000])
        advised, rest = database, "is damaged or not a DuckDB database"
    message = one_sentence(in_process(site, "update", "2020-02-16"))
    assert f"{advised} {rest} (" in message
    assert re.search("move it away,? (then|and) run `backfill`", message)
    advised.rename(site.settings.data_dir / "away")
    # The whole history where the advice is about all rows.
    days = () if advised == database else ("--start", "2020-02-15", "--end", "2020-02-16")
    done = in_process(site, "backfill", *days)
    assert done.exit_code == 0, done.stderr
    with AvailabilityQueries(site.settings.db_path) as queries:
        found = queries.get_availability_range("2020-02-15", "2020-02-16")
    expected = [row[:2] for row in site.truth("2020-02-15", "2020-02-16") if row[2]]
    assert expected
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
    assert process.returncode == -signal.SIGKILL
    other.with_name("other.duckdb.wal").rename(log)
    other.unlink()


def test_without_the_archive_the_demo_is_named(site: Site) -> None:
    done = in_process(site, "update", AVAILABILITY_S3_ENDPOINT="http://no-such-host.invalid")
    assert "no-such-host.invalid cannot be reached" in one_sentence(done)
    assert "`make demo`" in one_sentence(done)
    assert done.exit_code == 1
    assert not site.settings.db_path.exists()


def test_a_file_that_is_no_database_is_left_as_it_is(site: Site) -> None:
    site.settings.working_path.parent.mkdir(parents=True)
    site.settings.working_path.write_text("not a database", encoding="utf-8")
    done = in_process(site, "update", "2024-01-15")
    assert "not a DuckDB database" in one_sentence(done)
    assert done.exit_code == 1
    assert site.settings.working_path.read_text(encoding="utf-8") == "not a database"


def test_a_published_path_that_is_something_else_is_noticed_before_the_run(site: Site) -> None:
    site.settings.db_path.write_text("my notes", encoding="utf-8")
    done = in_process(site, "update", "2024-01-15")
    assert str(site.settings.db_path) in one_sentence(done)
    assert done.exit_code == 1
    assert site.settings.db_path.read_text(encoding="utf-8") == "my notes"
    assert not site.settings.working_path.exists()
    assert len(site.server.requests) == 0


def test_a_database_of_a_newer_version_is_left_as_it_is(site: Site) -> None:
    pipeline.run(site.settings, DAY)
    with duckdb.connect(site.settings.working_path) as connection:
        connection.execute("UPDATE database_info SET value = '99' WHERE key = 'schema_version'")
    before = site.settings.working_path.read_bytes()
    done = in_process(site, "update", "2024-01-16")
    assert "schema version 99" in one_sentence(done)
    assert site.settings.working_path.read_bytes() == before


@pytest.mark.parametrize("name", ["x" * 90, "币安" * 16])
def test_a_folder_for_sockets_with_too_long_a_path_is_told_before_the_demo_is_built(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    done = in_process(site, "demo", "--data-dir", str(tmp_path / "demo"), "--ui", "--port", "3999")
    said = one_sentence(done)
    assert (
        f"Dagster cannot listen in the folder for temporary files {tmp_path / name}, whose path has" in said
    )
    assert (
        f"{len(os.fsencode(tmp_path / name))} bytes (AF_UNIX path too long); set TMPDIR to a shorter one"
        in said
    )
    assert done.exit_code == 2
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("kept", ["working", "availability.duckdb"])
def test_the_demo_does_not_touch_real_data(site: Site, kept: str) -> None:
    pipeline.run_and_publish(site.settings, DAY)
    for path in (site.settings.working_path, site.settings.db_path):
        if kept not in path.relative_to(site.settings.data_dir).parts[0]:
            path.unlink()
    done = in_process(site, "demo", "--data-dir", str(site.settings.data_dir), "--symbols", "3")
    assert "holds real data" in one_sentence(done)
    assert done.exit_code == 2


def test_the_demo_of_another_dataset_lies_beside_the_first(site: Site, tmp_path: Path) -> None:
    folder = str(tmp_path / "demo")
    for name, days in (("option/EOHSummary", 159), ("um/liquidationSnapshot", 281)):
        done = in_process(site, "demo", "--data-dir", folder, "--dataset", name, "--symbols", "2")
        assert f"2 contracts, {days} days" in done.stdout, done.output
        question = done.stdout.partition(f"AVAILABILITY_DATA_DIR={folder} ")[2].splitlines()[0].split()
        rows = in_process(
            site, *question[question.index("query") :], "--format", "json", AVAILABILITY_DATA_DIR=folder
        )
        assert [row["symbol"] for row in json.loads(rows.stdout)] == ["BTCUSDT", "ETHUSDT"]
        assert all(f"/{name.partition('/')[2]}/" in row["url"] for row in json.loads(rows.stdout))


def test_real_data_does_not_get_into_the_demo(site: Site) -> None:
    site.settings.demo_marker.write_text("", encoding="utf-8")
    done = in_process(site, "update", "2024-01-15", AVAILABILITY_S3_ENDPOINT="http://no-such-host.invalid")
    assert "holds the demo's simulated data" in one_sentence(done)
    assert done.exit_code == 2

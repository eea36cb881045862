"""What queries print: the same rows in four formats, never mixed with messages, and files whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from availability_pipeline.cli import output
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import COLUMNS
from availability_pipeline.queries.reader import Connection
from availability_pipeline.queries.service_levels import ServiceLevels, write
from availability_pipeline_tests.cli.conftest import Run, Shell
from availability_pipeline_tests.publishing import sample

FILES = sample.sample_files()
DAY = sample.DAYS[50]
SNAPSHOT = ("query", "snapshot", str(DAY))
TIMELINE = ("query", "timeline", "ethusdt")
RANGE = ("query", "range", str(sample.FIRST_DAY), str(sample.LAST_DAY))


def _expected(arguments: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the API says, which has tests of its own, as json has it."""
    with AvailabilityQueries(os.environ["AVAILABILITY_DB_PATH"]) as queries:
        if arguments is SNAPSHOT:
            rows = queries.get_available_symbols_on_date(DAY)
        elif arguments is TIMELINE:
            rows = queries.get_symbol_availability_timeline("ETHUSDT")
        else:
            rows = queries.get_availability_range(sample.FIRST_DAY, sample.LAST_DAY)
    return rows


@pytest.fixture(autouse=True)
def _found_by_the_api(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", environment["AVAILABILITY_DB_PATH"])


def _iso(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


each_query = pytest.mark.parametrize("arguments", [SNAPSHOT, TIMELINE, RANGE], ids=lambda query: query[1])


@each_query
@pytest.mark.parametrize("options", [(), ("--format", "json")])
def test_json_is_a_list_of_rows_and_the_default_for_programs(
    run: Run, arguments: tuple[str, ...], options: tuple[str, ...]
) -> None:
    result = run(*arguments, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == [_iso(row) for row in _expected(arguments)]
    assert tuple(json.loads(result.stdout)[0]) == COLUMNS


@each_query
def test_csv_has_the_same_rows(run: Run, arguments: tuple[str, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--format", "csv").stdout)))
    assert rows == [
        {name: "" if value is None else str(value).lower() if value in (True, False) else str(value)
         for name, value in _iso(row).items()}
        for row in _expected(arguments)
    ]  # fmt: skip


@each_query
def test_parquet_has_the_same_rows(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "answer.parquet"
    assert run(*arguments, "--output", str(file)).exit_code == 0
    assert pq.read_table(file).to_pylist() == _expected(arguments)


def test_moments_are_iso_in_utc_and_days_are_days(run: Run) -> None:
    row = json.loads(run(*SNAPSHOT).stdout)[0]
    assert row["date"] == "2024-02-29"
    assert row["last_modified"] == FILES[DAY, "BTCUSDT"][1].strftime("%Y-%m-%dT%H:%M:%S")
    assert row["probe_timestamp"] == "2024-04-01T02:00:03.250000"


def test_an_empty_answer_is_still_json_and_csv(run: Run, tmp_path: Path) -> None:
    empty = ("query", "timeline", "NEWUSDT")
    assert run(*empty).stdout == "[]\n"
    assert run(*empty, "--format", "csv").stdout == ",".join(COLUMNS) + "\n"
    assert "NEWUSDT has no file on any collected day" in run(*empty, "--format", "table").stdout
    run(*empty, "--output", str(tmp_path / "empty.parquet"))
    assert pq.read_table(tmp_path / "empty.parquet").column_names == list(COLUMNS)


def test_a_table_of_a_day_names_every_contract(run: Run) -> None:
    lines = run(*SNAPSHOT, "--format", "table").stdout.splitlines()
    assert lines[0] == "3 contracts with a file on 2024-02-29"
    size, modified = FILES[DAY, "币安人生USDT"]
    assert lines[-2].split() == ["币安人生USDT", f"{size:,}", *str(modified).split()]


@pytest.mark.parametrize("columns", [24, 40, 60, 80, 200])
def test_a_narrow_terminal_folds_and_loses_nothing(run: Run, columns: int) -> None:
    lines = run("query", "lifecycle", "--format", "table", COLUMNS=str(columns)).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    rows = json.loads(run("query", "lifecycle").stdout)
    days = [row[name] for row in rows for name in ("first_day", "last_trading_day", "last_day")]
    assert "\n".join(lines).count("-") == 2 * sum(day is not None for day in days)
    if columns >= 80:
        assert any("ICPUSDT_SETTLED  2024-01-10  2024-01-18" in line for line in lines)


def test_a_table_of_a_contract_has_months_with_their_gaps(run: Run) -> None:
    lines = run(*TIMELINE, "--format", "table").stdout.splitlines()
    assert lines[0] == "ETHUSDT: 49 files on 50 days, 2024-01-30 to 2024-03-19"
    sizes = sum(size for (day, name), (size, _) in FILES.items() if name == "ETHUSDT" and day.month == 2)
    assert ["2024-02", "29", "28", f"{sizes:,}", "2024-02-09"] in [line.split() for line in lines]


def test_many_days_without_a_file_are_told_as_a_span(run: Run) -> None:
    lines = run("query", "timeline", "LUNAUSDT", "--format", "table").stdout.splitlines()
    assert any(line.endswith("2024-02-12 … 2024-02-29 (18) ") for line in lines)


def test_a_table_of_a_contract_has_every_day_if_asked(run: Run) -> None:
    result = run(*TIMELINE, "--format", "table", "--all")
    # The first three lines are the title, the strip, and what that shows.
    assert sum(line.strip().startswith("2024-") for line in result.stdout.splitlines()[3:]) == 50
    assert "2024-02-09  no" in result.stdout


def test_a_table_of_a_range_has_a_line_for_every_day(tmp_path: Path, run: Run) -> None:
    files = {key: value for key, value in FILES.items() if key[0] != sample.DAYS[1]}
    path = sample.publish_sample(tmp_path, files).path
    days = (str(sample.DAYS[0]), str(sample.DAYS[2]))
    result = run("query", "range", *days, "--format", "table", AVAILABILITY_DB_PATH=str(path))
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines if line and line[0].startswith("2024")] == [
        ["2024-01-10", "2"],
        ["2024-01-11", "0"],
        ["2024-01-12", "2"],
    ]


def test_a_table_of_a_range_has_every_file_if_asked(run: Run) -> None:
    result = run(*RANGE, "--format", "table", "--all")
    assert sum(" yes " in line for line in result.stdout.splitlines()) == len(FILES)


@pytest.mark.parametrize(
    ("name", "begins"), [("a.csv", "date,"), ("a.JSON", "[\n{"), ("a.txt", "[\n{"), ("a.table", "3 ")]
)
def test_the_ending_of_the_file_says_the_format(run: Run, tmp_path: Path, name: str, begins: str) -> None:
    result = run(*SNAPSHOT, "--output", str(tmp_path / name))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / name).read_text("utf-8").startswith(begins)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_file_equals_what_is_printed(run: Run, tmp_path: Path) -> None:
    for chosen in ("json", "csv", "table"):
        run(*RANGE, "--format", chosen, "--output", str(tmp_path / chosen))
        assert (tmp_path / chosen).read_text("utf-8") == run(*RANGE, "--format", chosen).stdout


def test_an_existing_file_is_replaced_only_by_force(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("mine")
    refused = run(*SNAPSHOT, "--output", str(file))
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"Error: {file} exists already; pass --force to replace it\n",
    )
    assert file.read_text() == "mine"
    assert run(*SNAPSHOT, "--output", str(file), "--force").exit_code == 0
    assert file.read_text("utf-8").startswith("date,")


def test_a_file_that_cannot_be_made_is_one_sentence(run: Run, tmp_path: Path) -> None:
    result = run(*SNAPSHOT, "--output", str(tmp_path / "no" / "such.csv"))
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"Error: {tmp_path}/no/such.csv cannot be made (No such file or directory); correct the path, or choose "
        "another --output\n"
    )


def test_a_file_that_cannot_be_finished_is_left_out(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    script = (
        f"trap '' XFSZ; ulimit -f 0; exec {sys.executable} -m availability_pipeline query snapshot 2024-02-20 --force "
        f"--output {tmp_path}/a.csv"
    )
    result = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {tmp_path}/a.csv could not be written (File too large); raise the limit of the size of files "
        "(`ulimit -f`), or choose another --output\n"
    )
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.csv", "mine")]


def test_what_fails_while_an_answer_is_read_is_not_the_output(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        (tmp_path / "other").read_bytes()

    monkeypatch.setitem(output._WRITERS, "csv", unreadable)
    with pytest.raises(FileNotFoundError):
        run(*SNAPSHOT, "--output", str(tmp_path / "a.csv"))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_question_makes_no_file(run: Run, tmp_path: Path) -> None:
    for arguments in (
        ("query", "timeline", "BTCUST"),
        ("query", "snapshot", "2023-01-01"),
        ("query", "range", "2024-02-02", "2024-02-01"),
    ):
        assert run(*arguments, "--output", str(tmp_path / "a.csv")).exit_code == 2
    assert list(tmp_path.iterdir()) == []


NARROW = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("encoding", NARROW, ids=["ascii", "latin-1", "C"])
@pytest.mark.parametrize("chosen", ["json", "csv", "table"])
def test_names_that_are_not_ascii_survive_any_terminal(
    shell: Shell, chosen: str, encoding: dict[str, str]
) -> None:
    done = shell(*SNAPSHOT, "--format", chosen, **encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "币安人生USDT" in done.stdout.decode("utf-8")


def test_a_message_with_names_that_are_not_ascii_survives_any_terminal(shell: Shell) -> None:
    done = shell("query", "timeline", "币安人USDT", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "币安人生USDT" in done.stderr.decode("utf-8")


def on_a_terminal(environment: dict[str, str], *arguments: str, **variables: str) -> bytes:
    """What a command says to a terminal of 80 columns."""
    main, side = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "availability_pipeline", *arguments], stdin=side, stdout=side,
        env={**os.environ, **environment, "TERM": "dumb", "COLUMNS": "80", **variables},
    ) as child:  # fmt: skip
        os.close(side)
        said = b""
        try:
            while part := os.read(main, 4096):
                said += part
        except OSError:  # the child has closed its end
            pass
    os.close(main)
    assert child.returncode == 0
    return said


def test_a_terminal_gets_a_table(environment: dict[str, str]) -> None:
    said = on_a_terminal(environment, *SNAPSHOT)
    assert said.startswith(b"3 contracts with a file on 2024-02-29")


@pytest.mark.parametrize(("lines", "paged"), [("80", False), ("30", True)])
def test_what_is_longer_than_the_terminal_goes_through_the_pager(
    environment: dict[str, str], tmp_path: Path, lines: str, paged: bool
) -> None:
    # 70 days less 20, and 6 lines around them.
    pager = {"PAGER": f"tee {tmp_path / 'paged'}", "LINES": lines}
    said = on_a_terminal(environment, *TIMELINE, "--all", **pager).replace(b"\r\n", b"\n")
    assert said.startswith(b"ETHUSDT: 49 files on 50 days")
    assert said.count(b"2024-") >= 50
    assert (tmp_path / "paged").exists() == paged
    if paged:
        assert (tmp_path / "paged").read_bytes() == said


def test_a_pager_that_is_left_early_is_no_failure(environment: dict[str, str]) -> None:
    assert on_a_terminal(environment, *TIMELINE, "--all", PAGER="head -n 1", LINES="30").startswith(
        b"ETHUSDT: 49"
    )


def test_status_is_one_object_and_opens_the_published_file_only(shell: Shell, published_path: Path) -> None:
    with duckdb.connect(published_path.parent / "working" / "availability.duckdb"):
        # Held open for writing here, so that opening it in another process would fail.
        result = shell("status")
    found = json.loads(result.stdout)
    assert (found["data_through"], found["files"], found["symbols"]) == (
        "2024-03-19",
        len(FILES),
        len(sample.SPANS),
    )
    assert found["pending"][0] == {"date": "2024-03-19", "file_count": 1, "pending_count": 2}
    assert found["runs"][0]["run_id"] == "run-1"
    assert found["size_bytes"] == published_path.stat().st_size


def test_status_for_people(run: Run) -> None:
    lines = [line.split() for line in run("status", "--format", "table").stdout.splitlines()]
    assert ["data", "through", "2024-03-19"] in lines
    assert ["rows", "420"] in lines
    assert ["2024-03-19", "1", "2"] in lines
    assert ["2024-04-01", "02:00", "2024-01-10", "to", "2024-03-19", "420", "0", "run-1"] in lines


def kept_levels(folder: Path, *, recall: float | None) -> dict[str, str]:
    """The environment of a data directory in which a run has kept its service levels."""
    levels = ServiceLevels(
        computed_at="2024-03-31T02:05:00", first_day="2024-03-01", last_day="2024-03-30", days=28,
        updates_completed=27 / 28, updates_missed=["2024-03-12"], recall=recall, recall_evaluations=30,
        lag_p50_hours=7.25, lag_p95_hours=9.0, pending_days=["2024-03-29", "2024-03-30"],
    )  # fmt: skip
    write(levels, folder)
    return {"AVAILABILITY_DATA_DIR": str(folder)}


def test_status_has_the_service_levels_of_the_last_run(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("status").stdout)["service_levels"] is None
    found = json.loads(run("status", **kept_levels(tmp_path / "data", recall=0.991)).stdout)["service_levels"]
    assert (found["recall"], found["pending_days"]) == (0.991, ["2024-03-29", "2024-03-30"])


def test_status_for_people_shows_them_with_their_targets(run: Run, tmp_path: Path) -> None:
    assert "Service levels" not in run("status", "--format", "table").stdout
    shown = run("status", "--format", "table", **kept_levels(tmp_path / "data", recall=None)).stdout
    assert "Service levels, 2024-03-01 to 2024-03-30" in shown
    rows = [re.split(r"  +", line.strip()) for line in shown.splitlines()]
    assert ["updates in time, of 28 days", "96.4%", "95%"] in rows
    assert ["recall", "not known", "> 95%"] in rows
    assert ["publication lag, p50 and p95", "7.2 h, 9.0 h"] in rows
    assert ["days pending", "2024-03-29, 2024-03-30"] in rows


@pytest.fixture(scope="module")
def incomplete_day(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a sample whose last day is collected for one contract only; no test may change it."""
    path = sample.publish_incomplete(tmp_path_factory.mktemp("few"), {sample.LAST_DAY: ["ETHUSDT"]})
    return {"AVAILABILITY_DB_PATH": str(path)}


WARNING = (
    "Warning: 2024-03-19 is collected for only 1 of 6 contracts; "
    "`binance-futures-availability backfill --start 2024-03-19 --end 2024-03-19` completes it\n"
)


@pytest.mark.parametrize("arguments", [("snapshot", "2024-03-19"), ("range", "2024-03-18", "2024-03-19")])
@pytest.mark.parametrize("chosen", ["json", "csv", "table", "parquet"])
def test_an_incomplete_day_is_a_warning_on_stderr_every_time(
    run: Run, tmp_path: Path, incomplete_day: dict[str, str], chosen: str, arguments: tuple[str, ...]
) -> None:
    options = ["--format", chosen, "--output", str(tmp_path / "answer"), "--force"]
    for _ in range(2):
        result = run("query", *arguments, *options, **incomplete_day)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", WARNING)
    assert (tmp_path / "answer").stat().st_size


def test_a_warning_is_a_json_line_where_logs_are(run: Run, incomplete_day: dict[str, str]) -> None:
    result = run("query", "snapshot", "2024-03-19", AVAILABILITY_LOG_FORMAT="json", **incomplete_day)
    line = json.loads(result.stderr)
    assert (line["level"], line["message"]) == ("WARNING", WARNING.removeprefix("Warning: ").strip())


def test_a_warning_is_no_part_of_the_data(shell: Shell, incomplete_day: dict[str, str]) -> None:
    done = shell("query", "snapshot", "2024-03-19", **incomplete_day)
    assert (done.returncode, done.stderr.decode()) == (0, WARNING)
    assert [row["symbol"] for row in json.loads(done.stdout)] == ["ETHUSDT"]


def test_status_is_through_the_last_complete_day(run: Run, incomplete_day: dict[str, str]) -> None:
    result = run("status", **incomplete_day)
    assert (json.loads(result.stdout)["data_through"], result.stderr) == ("2024-03-18", "")


@pytest.mark.parametrize("chosen", ["json", "csv", "table", "parquet"])
def test_a_pipe_is_written_to_and_stays_a_pipe(run: Run, tmp_path: Path, chosen: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE) as reader:
        result = run(*SNAPSHOT, "--format", chosen, "--output", str(tmp_path / "pipe"), "--force")
        if not (tmp_path / "pipe").is_fifo():
            reader.kill()  # it waits for a pipe that is gone
        said, _ = reader.communicate(timeout=60)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "pipe").is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]
    run(*SNAPSHOT, "--format", chosen, "--output", str(tmp_path / "file"))
    assert said == (tmp_path / "file").read_bytes()


def test_standard_output_by_its_name_stays_what_it_is(shell: Shell) -> None:
    before = os.lstat("/dev/stdout")
    done = shell(*SNAPSHOT, "--output", "/dev/stdout", "--force")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(json.loads(done.stdout)) == 3
    assert os.lstat("/dev/stdout").st_ino == before.st_ino


def test_a_link_is_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert run(*SNAPSHOT, "--output", str(tmp_path / "link.csv"), "--force").exit_code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text("utf-8").startswith("date,")


def test_a_device_that_is_full_is_one_sentence(run: Run) -> None:
    result = run(*SNAPSHOT, "--output", "/dev/full", "--force")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: /dev/full could not be written (No space left on device); make room on the disk, or choose another "
        "--output\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("words", "redirection"), [("query snapshot 2024-02-20", ">/dev/full"), ("query snapshot 2024-02-20", ">&-"),
                               ("--help", ">/dev/full"), ("status", ">&-")],
)  # fmt: skip
def test_standard_output_that_takes_nothing_is_one_sentence(
    environment: dict[str, str], words: str, redirection: str
) -> None:
    script = f"exec {sys.executable} -m availability_pipeline {words} {redirection}"
    ended = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert ended.returncode == 1
    assert re.fullmatch(
        r"Error: standard output could not be written \(.+\); send it elsewhere\n", ended.stderr
    )


def test_what_a_kill_left_is_removed_by_the_next_file_of_the_name(run: Run, tmp_path: Path) -> None:
    left = tmp_path / ".out.csv.0123abcd.new"
    left.write_text("half")
    run(*SNAPSHOT, "--output", str(tmp_path / "out.csv"))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.csv"]


def test_ctrl_c_while_duckdb_works_is_an_interruption(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        # What DuckDB 2.0 makes of the signal. Sent for real, it is at times not noticed by DuckDB.
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(Connection, "fetch", interrupted)
    ended = run(*SNAPSHOT)
    assert (ended.exit_code, ended.stderr) == (130, "Interrupted; what was not complete was not written.\n")

"""`query sql`: the four formats, the query from standard input, and wrong queries."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from availability_pipeline.cli.main import cli
from availability_pipeline_tests.cli.conftest import Run
from availability_pipeline_tests.publishing import sample

QUERY = (
    "SELECT symbol, first_file_day AS day, file_count AS n FROM published_symbols WHERE n > 0 ORDER BY ALL"
)


def expected() -> list[dict[str, object]]:
    days: dict[str, list[str]] = {}
    for day, symbol in sample.sample_files():
        days.setdefault(symbol, []).append(str(day))
    return [{"symbol": name, "day": min(days[name]), "n": len(days[name])} for name in sorted(days)]


def test_json_and_csv_and_parquet_have_the_same_rows(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("query", "sql", QUERY, "--format", "json").stdout) == expected()
    lines = run("query", "sql", QUERY, "--format", "csv").stdout.splitlines()
    assert list(csv.DictReader(lines)) == [{**row, "n": str(row["n"])} for row in expected()]
    run("query", "sql", QUERY, "--output", str(tmp_path / "a.parquet"))
    found = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [{**row, "day": str(row["day"])} for row in found] == expected()


def test_a_table_is_for_people(run: Run) -> None:
    lines = run("query", "sql", QUERY, "--format", "table").stdout.splitlines()
    assert lines[0] == f"{len(expected())} rows"
    assert any("币安人生USDT" in line for line in lines)


def test_what_json_and_csv_do_not_know_is_written_as_text(run: Run) -> None:
    query = (
        "SELECT 'inf'::DOUBLE a, {'b': ['nan'::DOUBLE]} s, encode('é') c, 1.50 d, TIME '01:02:03' t, true u"
    )
    [row] = json.loads(run("query", "sql", query, "--format", "json").stdout)
    assert row == {"a": None, "s": {"b": [None]}, "c": "c3a9", "d": 1.5, "t": "01:02:03", "u": True}
    query = "SELECT [1, 2] a, encode('é') c, 1.50 d, true u, NULL n"
    assert run("query", "sql", query, "--format", "csv").stdout == 'a,c,d,u,n\n"[1, 2]",c3a9,1.50,true,\n'


def test_the_query_may_come_from_standard_input(environment: dict[str, str]) -> None:
    done = CliRunner(env=environment).invoke(
        cli, ["query", "sql", "-"], input="VALUES ('币安人生USDT')", catch_exceptions=False
    )
    assert json.loads(done.stdout) == [{"col0": "币安人生USDT"}]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_query_that_fails_late_leaves_no_file(run: Run, tmp_path: Path, ending: str) -> None:
    done = run(
        "query", "sql", "FROM range(30000)", "--max-rows", "25000", "--output", str(tmp_path / f"a.{ending}")
    )
    assert (done.exit_code, done.stdout) == (2, "")
    assert "more than 25,000 rows; add a LIMIT, or raise max_rows (--max-rows)" in done.stderr
    assert [path for path in tmp_path.iterdir() if path.name != "data"] == []


def test_a_reader_that_goes_away_is_no_traceback(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "availability_pipeline", "query", "sql", "FROM range(1000000)"]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"[\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10000000000) a, range(1000) b",
        # One call, which DuckDB does not interrupt.
        "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
    ],
)
def test_a_query_that_takes_too_long_ends_with_one_sentence(environment: dict[str, str], query: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "availability_pipeline", "query", "sql", query, "--timeout", "0.5"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: the query took longer than 0.5 seconds and was ended; ask for less, or raise timeout_seconds "
        "(--timeout)\n"
    )

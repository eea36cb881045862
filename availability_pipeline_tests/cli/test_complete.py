"""Complete files only: `query incomplete`, and `--only-complete` of `urls` and `download`, on two inspected days."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from availability_pipeline.cli.main import cli
from availability_pipeline_tests.demo_data import INSPECTED, Demo

DAYS = ("--start", str(INSPECTED.start), "--end", str(INSPECTED.end))
LONGER = ("--start", "2024-01-14", "--end", str(INSPECTED.end))


def run(demo: Demo, *arguments: str) -> Result:
    result = CliRunner(env={"AVAILABILITY_DB_PATH": str(demo.path)}).invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_incomplete_files_are_listed(demo: Demo) -> None:
    [row] = json.loads(run(demo, "query", "incomplete", "--format", "json").stdout)
    assert (row["date"], row["symbol"], row["verdict"]) == ("2024-01-16", "SOLUSDT", "bad_checksum")
    assert (row["rows"], row["missing_minutes"], row["volume_difference"]) == (1440, 0, 0)
    assert run(demo, "query", "incomplete", "btcusdt", "--format", "table").stdout == "0 incomplete files\n"
    assert "1 incomplete file\n" in run(demo, "query", "incomplete", "--format", "table").stdout


@pytest.mark.parametrize("symbols", [(), ("--symbols", "SOLUSDT,BTCUSDT")])
def test_a_list_of_complete_files_says_what_it_leaves_out(demo: Demo, symbols: tuple[str, ...]) -> None:
    every = run(demo, "urls", *LONGER, *symbols).stdout.splitlines()
    done = run(demo, "urls", *LONGER, *symbols, "--only-complete")
    left = [url for url in every if "2024-01-14" in url or "SOLUSDT-1m-2024-01-16" in url]
    assert done.stdout.splitlines() == [url for url in every if url not in left]
    assert done.stderr.endswith(
        f"left out: 1 incomplete file, {len(left) - 1} files that were not inspected\n"
    )
    assert "left out" not in run(demo, "urls", *LONGER, *symbols).stderr


def test_a_download_of_complete_files_fetches_no_others(demo: Demo, tmp_path: Path) -> None:
    folder = str(tmp_path / "here")
    every = run(demo, "download", folder, *DAYS, "--dry-run")
    done = run(demo, "download", folder, *DAYS, "--only-complete", "--dry-run")
    assert ("20 files to fetch" in every.stdout, "19 files to fetch" in done.stdout) == (True, True)
    assert done.stderr == "left out: 1 incomplete file, 0 files that were not inspected\n"

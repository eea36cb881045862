"""`urls`: exactly the files that exist, in forms that other programs download, and aria2 does."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.cli.main import cli
from availability_pipeline.collecting.urls import Totals
from availability_pipeline_tests.cli.conftest import Run
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.publishing import sample

FILES = sample.sample_files()
DAYS = sample.DAYS


def url(day_and_symbol: tuple[object, str]) -> str:
    day, symbol = day_and_symbol
    return DEFAULT_DATASET.file_url(sample.ARCHIVE_URL, symbol, day)  # type: ignore[arg-type]


def test_all_files_are_listed_day_by_day_and_counted(run: Run) -> None:
    done = run("urls")
    assert done.stdout.splitlines() == [url(file) for file in sorted(FILES)]
    size = sum(size for size, _ in FILES.values())
    assert done.stderr == f"{len(FILES)} files, {size / 1e6:.1f} MB\n"


@pytest.mark.parametrize(
    ("options", "symbols", "start", "end"),
    [
        (["--symbols", " btcusdt,币安人生usdt,BTCUSDT,"], ["BTCUSDT", "币安人生USDT"], 0, 69),
        (["--symbols", "ethusdt", "--start", str(DAYS[28]), "--end", str(DAYS[31])], ["ETHUSDT"], 28, 31),
        (["--symbols", "LUNAUSDT", "--start", str(DAYS[30])], ["LUNAUSDT"], 30, 69),
        (["--symbols", "NEWUSDT"], [], 0, 69),
    ],
)
def test_contracts_come_one_after_the_other_as_they_were_typed(
    run: Run, options: list[str], symbols: list[str], start: int, end: int
) -> None:
    expected = [
        url((day, symbol)) for symbol in symbols for day in DAYS[start : end + 1] if (day, symbol) in FILES
    ]
    done = run("urls", *options)
    assert done.stdout.splitlines() == expected
    assert done.stderr.startswith(f"{len(expected)} files, ")


def test_only_checksums_that_are_known_to_exist_are_listed(run: Run, tmp_path: Path) -> None:
    day = DAYS[50]
    with sample.working_database(tmp_path) as working:
        for symbol, known in (("BTCUSDT", "false"), ("ETHUSDT", "NULL")):
            working.execute(
                f"UPDATE availability SET has_checksum = {known} WHERE date = ? AND symbol = ?", [day, symbol]
            )
    published = str(sample.republish(tmp_path))
    done = run("urls", "--start", str(day), "--end", str(day), "--checksums", AVAILABILITY_DB_PATH=published)
    named = [
        line.rsplit("/", 1)[1].split("USDT")[0] for line in done.stdout.splitlines() if "CHECKSUM" in line
    ]
    assert "BTC" not in named
    assert "ETH" not in named
    assert len(named) == sum(date == day for date, _ in FILES) - 2
    assert "1 file without a checksum in the archive; 1 checksum left out, because" in done.stderr


def test_checksums_follow_their_files(run: Run) -> None:
    day = str(DAYS[50])
    plain = run("urls", "--start", day, "--end", day).stdout.splitlines()
    both = run("urls", "--start", day, "--end", day, "--checksums").stdout.splitlines()
    assert both == [line for file in plain for line in (file, f"{file}.CHECKSUM")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--symbols", "BTCUSDT,BTCUST"], "no contract is called 'BTCUST'; similar names: BTCUSDT"),
        (["--symbols", "btcbusd"], "BTCBUSD is in the archive, but it is not tracked"),
        (["--symbols", ","], "--symbols names no contract"),
        (["--start", "soon"], "--start is 'soon', which is not a day"),
        (["--end", "2030-01-01"], "there is no data of 2030-01-01; the published database has 2024-01-10 to"),
        (["--start", "2024-02-02", "--end", "2024-02-01"], "the start 2024-02-02 is after the end"),
    ],
)  # fmt: skip
def test_a_wrong_question_makes_no_list(run: Run, tmp_path: Path, options: list[str], message: str) -> None:
    done = run("urls", *options, "--output", str(tmp_path / "list.txt"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "list.txt").exists()


def test_a_file_is_replaced_only_by_force(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("my notes", encoding="utf-8")
    done = run("urls", "--output", str(path))
    assert (done.exit_code, path.read_text(encoding="utf-8")) == (2, "my notes")
    assert run("urls", "--output", str(path), "--force").exit_code == 0
    assert path.read_text(encoding="utf-8").splitlines() == [url(file) for file in sorted(FILES)]


@pytest.mark.parametrize(
    ("files", "count", "text"),
    [
        (0, 0, "0 files, 0 B"),
        (1, 999, "1 file, 999 B"),
        (12_345, 567_812_345, "12,345 files, 567.8 MB"),
        (2, 999_960, "2 files, 1.0 MB"),
        (2, 31_200_000_000, "2 files, 31.2 GB"),
        (2, 2_345_600_000_000_000, "2 files, 2,345.6 TB"),
    ],
)
def test_sizes_are_in_powers_of_a_thousand(files: int, count: int, text: str) -> None:
    assert str(Totals(files, count)) == text


def test_a_reader_that_leaves_early_causes_no_traceback(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "availability_pipeline", "urls"], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 1


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="aria2 is not installed")
def test_aria2_downloads_the_list_into_the_folders_of_the_archive(site: Site, tmp_path: Path) -> None:
    site.run("2024-01-14", "2024-01-15")
    files = [(str(row[0]), row[1]) for row in site.truth("2024-01-14", "2024-01-15") if row[2]]
    path = tmp_path / "list.txt"
    done = CliRunner().invoke(cli, ["urls", "--aria2", "--checksums", "--output", str(path)])
    assert done.stderr.startswith(f"{len(files)} files, ")
    command = ["aria2c", f"--input-file={path}", f"--dir={tmp_path / 'here'}", "--no-conf", "--quiet"]
    subprocess.run(command, check=True, timeout=120)
    expected = {
        f"data/futures/um/daily/klines/{symbol}/1m/{symbol}-1m-{day}.zip{ending}"
        for day, symbol in files
        for ending in ("", ".CHECKSUM")
    }
    found = {
        path.relative_to(tmp_path / "here").as_posix(): path for path in (tmp_path / "here").rglob("*.*")
    }
    assert found.keys() == expected
    for name, file in found.items():
        if name.endswith(".zip"):
            digest, of = found[f"{name}.CHECKSUM"].read_text(encoding="utf-8").split()
            assert (hashlib.sha256(file.read_bytes()).hexdigest(), unquote(of)) == (digest, file.name)

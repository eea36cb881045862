"""`download`: complete and verified files under the archive's paths, whatever happens, and nothing asked for twice."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from availability_pipeline.archive.contents import compare_checksum
from availability_pipeline.cli.main import cli
from availability_pipeline.collecting.mirror import MANIFEST, Entry
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.collecting.shelf import (
    DAYS,
    NAMES,
    Answer,
    Shelf,
    held_back,
    key,
    say,
    serving,
)
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.simulator import ScriptedArchive, serve

BTC, ETH, COIN = NAMES
ALL = ("--start", str(DAYS[0]))


@pytest.fixture(scope="module")
def served_shelf() -> Iterator[Shelf]:
    with serving() as shelf:
        yield shelf


@pytest.fixture(scope="module")
def published(served_shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_shelf.publish(tmp_path_factory.mktemp("published"))


@pytest.fixture
def shelf(served_shelf: Shelf, published: Path) -> Shelf:  # noqa: ARG001 - publishes what the shelf has first
    served_shelf.fill()
    return served_shelf


Download = Callable[..., Result]


@pytest.fixture
def environment(published: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "AVAILABILITY_DB_PATH": str(published),
        "AVAILABILITY_DATA_DIR": str(tmp_path / "data"),
        "AVAILABILITY_MIRROR_DIR": str(tmp_path / "here"),
        "AVAILABILITY_CONNECTIONS": "4",
        "AVAILABILITY_TIMEOUT_SECONDS": "20",
    }


@pytest.fixture
def download(environment: dict[str, str], shelf: Shelf) -> Download:
    """Run the command; gives the result, after which `shelf.asked` is what this one has asked for."""

    def run(*arguments: str, **variables: str) -> Result:
        shelf.asked.clear()
        runner = CliRunner(env={**environment, **variables})
        return runner.invoke(cli, ["download", *(arguments or ALL)], catch_exceptions=False)

    return run


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


def content(folder: Path) -> dict[str, bytes]:
    """All files but the manifest and its lock, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and MANIFEST not in path.name
    }


def manifest(folder: Path) -> dict[str, Entry]:
    rows = pq.read_table(folder / MANIFEST, partitioning=None).to_pylist()
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    return {row["path"]: Entry(**row) for row in rows}


def checks(names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".CHECKSUM")]


def last_line(result: Result) -> str:
    return result.stderr.splitlines()[-1]


def test_files_come_into_the_folders_of_the_archive(download: Download, shelf: Shelf, here: Path) -> None:
    result = download()
    size = sum(map(len, shelf.bodies().values()))
    assert (result.exit_code, result.stdout) == (0, "")
    assert last_line(result) == f"{here}: 15 files fetched, {size / 1000:.1f} kB"
    assert content(here) == shelf.bodies()
    assert sorted(shelf.asked) == sorted([*shelf.files, *(f"{name}.CHECKSUM" for name in shelf.files)])
    for name, file in shelf.files.items():
        assert (here / name).stat().st_mtime == file.modified.replace(tzinfo=dt.UTC).timestamp()


def test_the_manifest_says_what_was_fetched(download: Download, shelf: Shelf, here: Path) -> None:
    download()
    found = manifest(here)
    assert found.keys() == shelf.files.keys()
    file, entry = shelf.files[key(COIN, DAYS[1])], found[key(COIN, DAYS[1])]
    assert entry[1:7] == (
        COIN, DAYS[1], len(file.body), file.modified, hashlib.sha256(file.body).hexdigest(), "agrees",
    )  # fmt: skip
    age = dt.datetime.now(dt.UTC).replace(tzinfo=None) - entry.fetched_at
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=10)


def test_again_nothing_is_asked_for(download: Download, shelf: Shelf, here: Path) -> None:
    download()
    before = (here / MANIFEST).read_bytes()
    result = download()
    assert (result.exit_code, shelf.asked) == (0, [])
    assert last_line(result) == f"{here}: 0 files fetched, 0 B; 15 files there already"
    assert (here / MANIFEST).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "symbols", "days"),
    [
        (("--symbols", "btc-usdt,币安人生usdt"), {BTC, COIN}, DAYS),
        (("--symbols", "ETHUSDT", "--start", str(DAYS[1]), "--end", str(DAYS[2])), {ETH}, DAYS[1:3]),
        (("--end", str(DAYS[0])), set(NAMES), DAYS[:1]),
        (("--universe", str(DAYS[2]), "--start", str(DAYS[4])), set(NAMES), DAYS[4:]),
    ],
)
def test_contracts_and_days_are_chosen(
    download: Download, here: Path, options: tuple[str, ...], symbols: set[str], days: list[dt.date]
) -> None:
    assert download(str(here / "a"), *options).exit_code == 0
    assert content(here / "a").keys() == {key(symbol, day) for symbol in symbols for day in days}
    assert manifest(here / "a").keys() == content(here / "a").keys()


def test_a_second_selection_is_added_to_the_first(download: Download, here: Path) -> None:
    download("--symbols", BTC)
    assert "there already" not in download("--symbols", ETH).stderr
    assert manifest(here).keys() == {key(symbol, day) for symbol in (BTC, ETH) for day in DAYS}


def test_what_was_replaced_since_is_fetched_again(
    download: Download, shelf: Shelf, here: Path, tmp_path: Path
) -> None:
    download()
    shelf.replace(ETH, DAYS[2])
    path = str(shelf.publish(tmp_path / "newer"))
    result = download(AVAILABILITY_DB_PATH=path)
    replaced = key(ETH, DAYS[2])
    assert shelf.asked == [replaced, f"{replaced}.CHECKSUM"]
    assert last_line(result) == f"{here}: 1 file fetched, 5 B; 14 files there already"
    assert content(here) == shelf.bodies()
    assert manifest(here)[replaced].bytes == 5
    assert (download(AVAILABILITY_DB_PATH=path).exit_code, shelf.asked) == (0, [])


def test_a_file_may_be_newer_than_what_was_published(download: Download, shelf: Shelf, here: Path) -> None:
    shelf.replace(ETH, DAYS[2])
    result = download()
    assert result.exit_code == 0
    assert last_line(result).endswith("; 1 file replaced by the archive since the data was published")
    assert content(here) == shelf.bodies()
    download()
    assert shelf.asked == []


def test_an_older_version_than_the_published_one_is_not_kept(
    download: Download, shelf: Shelf, here: Path, tmp_path: Path
) -> None:
    before = shelf.files[key(ETH, DAYS[2])]
    shelf.replace(ETH, DAYS[2])
    path = str(shelf.publish(tmp_path / "newer"))
    shelf.files[key(ETH, DAYS[2])] = before
    result = download(AVAILABILITY_DB_PATH=path)
    assert result.exit_code == 1
    assert (
        "the version of 2024-01-13 07:30:00 UTC, older than the published one of 2024-01-16 07:30:00;"
        in result.stderr
    )
    assert len(content(here)) == 14


def test_what_is_missing_or_damaged_is_fetched_again(download: Download, shelf: Shelf, here: Path) -> None:
    download()
    gone, cut, other = (key(BTC, day) for day in DAYS[:3])
    (here / gone).unlink()
    (here / cut).write_bytes(shelf.files[cut].body[:-1])
    (here / other).write_bytes(bytes(len(shelf.files[other].body)))
    result = download()
    assert sorted(set(shelf.asked) - set(checks(shelf.asked))) == [gone, cut, other]
    assert last_line(result).startswith(f"{here}: 3 files fetched, ")
    assert content(here) == shelf.bodies()


def test_a_file_with_another_time_is_compared_with_the_manifest(
    download: Download, shelf: Shelf, here: Path
) -> None:
    download()
    os.utime(here / key(BTC, DAYS[0]), (0, 0))
    assert "; 1 file verified again" in download().stderr
    assert shelf.asked == []
    assert "verified" not in download().stderr


def test_without_the_manifest_only_checksums_are_asked_for(
    download: Download, shelf: Shelf, here: Path
) -> None:
    download()
    before = manifest(here)
    (here / MANIFEST).unlink()
    wrong = here / key(ETH, DAYS[1])
    status = wrong.stat()
    wrong.write_bytes(bytes(status.st_size))
    os.utime(wrong, (status.st_mtime, status.st_mtime))
    result = download()
    assert set(shelf.asked) - set(checks(shelf.asked)) == {key(ETH, DAYS[1])}
    assert last_line(result).endswith("; 14 files verified again")
    assert content(here) == shelf.bodies()
    assert [entry[:7] for entry in manifest(here).values()] == [entry[:7] for entry in before.values()]


def test_a_file_without_a_checksum_is_kept_and_counted(download: Download, shelf: Shelf, here: Path) -> None:
    shelf.files[key(COIN, DAYS[0])].checksum = None
    result = download()
    assert (result.exit_code, content(here)) == (0, shelf.bodies())
    assert last_line(result).endswith("; 1 file without a checksum in the archive")
    assert {entry.checksum for path, entry in manifest(here).items() if path == key(COIN, DAYS[0])} == {
        "none"
    }


def saying(status: int, body: bytes, **more: Any) -> Answer:
    return lambda handler: say(handler, status, body, **more)


NOON = dt.datetime.fromisoformat("2024-01-12 12:00")
NAME = key(BTC, DAYS[1]).rpartition("/")[2]
WRONG: dict[str, tuple[str, Answer]] = {
    "it was not kept": (".CHECKSUM", saying(200, f"{'0' * 64}  {NAME}\n".encode(), modified=NOON)),
    "the checksum beside the file is none (": (".CHECKSUM", saying(200, b"\xff\x00 not one", modified=NOON)),
    "the checksum beside the file is none": (".CHECKSUM", saying(200, b"0" * 100_000, modified=NOON)),
    "the archive answered HTTP 503 ": (".CHECKSUM", saying(503, b"")),
    "the answer broke off after 3 of 3,000 bytes": ("", saying(200, b"abc", modified=NOON, length=3_000)),
    "the archive answered HTTP 500": ("", saying(500, b"sorry")),
    "does not have the file any more (HTTP 404); run `update`": ("", saying(404, b"")),
    "it has no Content-Length or no Last-Modified": ("", saying(200, b"abc")),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named_and_not_kept_and_the_others_are(
    download: Download, shelf: Shelf, here: Path, message: str
) -> None:
    ending, answer = WRONG[message]
    wrong = key(BTC, DAYS[1])
    shelf.instead[wrong + ending] = answer
    result = download()
    assert (result.exit_code, result.stdout) == (1, "")
    assert message.replace("3,000", "3000") in result.stderr
    assert last_line(result).startswith(f"Error: BTCUSDT {DAYS[1]}: ")
    assert f"{here}: 14 files fetched" in result.stderr
    expected = {name: body for name, body in shelf.bodies().items() if name != wrong}
    assert content(here) == expected
    assert manifest(here).keys() == expected.keys()
    shelf.instead.clear()
    assert download().exit_code == 0
    assert shelf.asked == [wrong, f"{wrong}.CHECKSUM"]
    assert content(here) == shelf.bodies()


@pytest.mark.parametrize("line", ["{0} *x.zip\r\n", "{1}  {2}\n", "{0}", "{0}\n# said twice\n"])
def test_a_checksum_counts_in_any_spelling_and_for_inspections_as_well(
    download: Download, shelf: Shelf, here: Path, line: str
) -> None:
    body = shelf.files[key(BTC, DAYS[1])].body
    digest = hashlib.sha256(body).hexdigest()
    checksum = line.format(digest, digest.upper(), NAME).encode()
    assert compare_checksum(body, checksum) == "agrees"
    shelf.files[key(BTC, DAYS[1])].checksum = checksum
    assert download("--symbols", BTC).exit_code == 0
    assert manifest(here)[key(BTC, DAYS[1])].checksum == "agrees"


def test_several_failures_are_raised_together(download: Download, shelf: Shelf, here: Path) -> None:
    for day in DAYS[:2]:
        shelf.instead[key(ETH, day)] = saying(503, b"")
    result = download()
    assert last_line(result).startswith("Error: 2 of 15 files failed, and the others stay: ETHUSDT 2024-01-1")
    assert (result.exit_code, len(content(here))) == (1, 13)


def test_an_archive_that_is_down_is_left_alone(download: Download, shelf: Shelf, here: Path) -> None:
    for name in shelf.files:
        shelf.instead[name] = saying(503, b"")
    result = download()
    assert result.exit_code == 1
    assert len(shelf.asked) < 15
    assert content(here) == {}


def test_a_dry_run_asks_for_nothing_and_makes_nothing(download: Download, shelf: Shelf, here: Path) -> None:
    result = download("--dry-run", *ALL)
    size = sum(map(len, shelf.bodies().values()))
    assert (result.exit_code, result.stderr, shelf.asked) == (0, "", [])
    assert result.stdout == f"{here}: 15 files to fetch, {size / 1000:.1f} kB\n"
    assert not here.exists()
    download("--symbols", BTC)
    (here / MANIFEST).unlink()
    download("--symbols", ETH)
    result = download("--dry-run", *ALL)
    size = sum(len(shelf.files[key(COIN, day)].body) for day in DAYS)
    assert result.stdout == (
        f"{here}: 5 files to fetch, {size / 1000:.1f} kB; 5 files to verify; 5 files there already\n"
    )


def test_nothing_to_fetch_is_no_failure(download: Download, shelf: Shelf, here: Path, tmp_path: Path) -> None:
    del shelf.files[key(COIN, DAYS[0])]
    path = str(shelf.publish(tmp_path / "fewer"))
    result = download("--symbols", COIN, "--end", str(DAYS[0]), AVAILABILITY_DB_PATH=path)
    assert (result.exit_code, last_line(result)) == (0, f"{here}: 0 files fetched, 0 B")
    assert not here.exists()
    shelf.files = {name: file for name, file in shelf.files.items() if str(DAYS[0]) not in name}
    path = str(shelf.publish(tmp_path / "none"))
    result = download("--universe", str(DAYS[0]), AVAILABILITY_DB_PATH=path)
    assert (result.exit_code, last_line(result)) == (0, f"{here}: 0 files fetched, 0 B")


REFUSED: dict[str, tuple[str, ...]] = {
    "this would be the whole archive; say what to download with --symbols": ("--dry-run",),
    "--symbols and --universe both choose the contracts": ("--symbols", BTC, "--universe", str(DAYS[0])),
    "--symbols names no contract": ("--symbols", ","),
    "no contract is called 'BTCUST'; similar names: BTCUSDT": ("--symbols", "BTCUST"),
    "the start 2024-01-12 is after the end 2024-01-11": ("--start", "2024-01-12", "--end", "2024-01-11"),
    "--start is 'soon', which is not a day": ("--start", "soon"),
    "--end is '2024-02-30', which is not a day": ("--end", "2024-02-30"),
    "there is no data of 2030-01-01": ("--end", "2030-01-01"),
    "--universe is 'now', which is not a day": ("--universe", "now"),
    "there is no data of 2031-01-01": ("--universe", "2031-01-01"),
    "/file is not a folder; name another one": ("{}/file", *ALL),
    "/dangling is not a folder; name another one": ("{}/dangling", *ALL),
    "DIR] is empty; it must be a path": ("", *ALL),
}


@pytest.mark.parametrize("message", REFUSED)
def test_wrong_usage_is_one_sentence(
    download: Download, shelf: Shelf, here: Path, tmp_path: Path, message: str
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    result = download(*(text.format(tmp_path) for text in REFUSED[message]))
    assert (result.exit_code, result.stdout, shelf.asked) == (2, "", [])
    assert message in last_line(result)
    assert not here.exists()


def test_without_a_folder_the_setting_is_named(download: Download) -> None:
    result = download(AVAILABILITY_MIRROR_DIR="")
    assert result.exit_code == 2
    assert last_line(result).endswith(
        "there is no folder to download to; name one, or set AVAILABILITY_MIRROR_DIR"
    )


def test_the_setting_is_a_path() -> None:
    assert Settings.load({}).mirror_dir is None
    settings = Settings.load({"AVAILABILITY_MIRROR_DIR": "~/a b", "HOME": "/root"})
    assert settings.mirror_dir == Path("~/a b").expanduser()
    assert settings.environment()["AVAILABILITY_MIRROR_DIR"] == str(settings.mirror_dir)
    with pytest.raises(UsageError, match="AVAILABILITY_MIRROR_DIR is -, which stands for a stream"):
        Settings.load({"AVAILABILITY_MIRROR_DIR": "-"})


def test_a_folder_below_a_file_is_named(download: Download, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = download(str(tmp_path / "file" / "below"), *ALL)
    assert result.exit_code == 1
    assert "file/below (Not a directory); those that are complete stay there; correct the path" in last_line(
        result
    )


@pytest.mark.parametrize("damaged", [b"", b"not parquet", b"PAR1" * 100])
def test_a_damaged_manifest_is_named(download: Download, shelf: Shelf, here: Path, damaged: bytes) -> None:
    download()
    (here / MANIFEST).write_bytes(damaged)
    result = download()
    assert (result.exit_code, shelf.asked) == (1, [])
    assert "manifest.parquet cannot be read (not as it was made); move it away" in last_line(result)


def test_a_manifest_of_something_else_is_not_replaced(download: Download, here: Path) -> None:
    here.mkdir()
    pq.write_table(pa.table({"a": [1]}), here / MANIFEST)
    before = (here / MANIFEST).read_bytes()
    assert download().exit_code == 1
    assert (here / MANIFEST).read_bytes() == before


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "availability_pipeline", "download", *arguments],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_ended_leaves_no_half_file(
    environment: dict[str, str], download: Download, shelf: Shelf, here: Path, number: signal.Signals
) -> None:
    begun, released = threading.Event(), threading.Event()
    last = key(COIN, DAYS[4])
    shelf.instead[last] = held_back(shelf.files[last], begun, released)
    slow = {"AVAILABILITY_CONNECTIONS": "1", "AVAILABILITY_TIMEOUT_SECONDS": "600"}
    with start({**environment, **slow}, *ALL) as process:
        assert begun.wait(60)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    released.set()
    assert process.returncode == (130 if number == signal.SIGINT else -number), errors
    complete = {name: body for name, body in shelf.bodies().items() if name != last}
    found = content(here)
    assert {
        name: body for name, body in found.items() if name.endswith(".zip") and "/." not in f"/{name}"
    } == complete
    if number == signal.SIGINT:
        assert found == complete
    assert (here / MANIFEST).exists() == (number == signal.SIGINT)
    shelf.instead.clear()
    result = download()
    assert result.exit_code == 0
    assert set(shelf.asked) - set(checks(shelf.asked)) == {last}
    assert content(here) == shelf.bodies()
    assert manifest(here).keys() == shelf.files.keys()


def test_two_downloads_into_one_folder(
    environment: dict[str, str], download: Download, shelf: Shelf, here: Path
) -> None:
    begun, released = threading.Event(), threading.Event()
    last = key(COIN, DAYS[4])
    shelf.instead[last] = held_back(shelf.files[last], begun, released)
    with start(environment, "--symbols", f"{BTC},{COIN}") as process:
        assert begun.wait(60)
        del shelf.instead[last]
        assert download("--symbols", f"{ETH},{COIN}").exit_code == 0
        shelf.instead[last] = saying(503, b"")
        released.set()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors  # the answer that was held back broke off
    assert content(here) == shelf.bodies()
    assert manifest(here).keys() == shelf.files.keys()


def test_a_full_disk_leaves_what_is_complete(download: Download, shelf: Shelf, small_disk: Path) -> None:
    folder, filler = small_disk / "here", small_disk / "filler"
    assert download(str(folder), "--symbols", BTC).exit_code == 0
    room = os.statvfs(small_disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - 2 * 4096))
    result = download(str(folder), *ALL)
    assert result.exit_code == 1
    assert last_line(result) == (
        f"Error: the files could not be written to {folder} (No space left on device); those that are complete stay "
        "there; make room on the disk, then run the same again"
    )
    found = content(folder)
    assert found.items() <= shelf.bodies().items()
    assert len(found) < 15
    filler.unlink()
    assert download(str(folder), *ALL).exit_code == 0
    assert content(folder) == shelf.bodies()
    assert manifest(folder).keys() == shelf.files.keys()


def test_a_large_file_is_not_held_in_memory(
    download: Download, shelf: Shelf, here: Path, tmp_path: Path
) -> None:
    shelf.replace(BTC, DAYS[0], bytes(40_000_000))
    path = str(shelf.publish(tmp_path / "large"))
    download("--symbols", ETH, AVAILABILITY_DB_PATH=path)  # what is loaded on first use
    tracemalloc.start()
    result = download("--symbols", BTC, "--end", str(DAYS[0]), AVAILABILITY_DB_PATH=path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.exit_code == 0
    assert peak < 10_000_000
    assert (here / key(BTC, DAYS[0])).stat().st_size == 40_000_000


def test_files_of_the_simulated_archive_agree_with_their_checksums(tmp_path: Path) -> None:
    now = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)
    archive = ScriptedArchive.recorded([BTC, "FTTUSDT", COIN], now=now)
    with serve(archive) as server, clock_at(now, server):
        environment = {**server.environment(), "AVAILABILITY_DATA_DIR": str(tmp_path / "data")}
        settings = Settings.load(environment)
        pipeline.run_and_publish(settings, dt.date(2026, 1, 1), dt.date(2026, 1, 19))
        command = ["download", str(tmp_path / "here"), "--start", "2026-01-01"]
        result, again = (
            CliRunner(env=environment).invoke(cli, command, catch_exceptions=False) for _ in range(2)
        )
    assert (result.exit_code, again.exit_code) == (0, 0), result.stderr
    assert "replaced" not in result.stderr
    assert ": 0 files fetched, 0 B; " in last_line(again)
    rows = pipeline.query(settings, "SELECT symbol, date FROM daily_availability WHERE available")
    assert content(tmp_path / "here").keys() == {key(symbol, day) for symbol, day in rows}
    assert {entry.checksum for entry in manifest(tmp_path / "here").values()} == {"agrees"}

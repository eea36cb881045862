"""Paths are data: whatever a folder is called, every command works in it, or refuses it before anything is made.

What works is tried with every character that means something to a library below: a glob, a URL, a template, a flag.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from availability_pipeline import AvailabilityQueries
from availability_pipeline.cli.main import cli
from availability_pipeline.errors import UsageError
from availability_pipeline.publishing.remote.cache import parquet_files
from availability_pipeline.settings import Settings
from availability_pipeline_tests.cli.commands import invoked
from availability_pipeline_tests.dagster_side import NOW, root
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.simulator import ScriptedArchive, serve

WORKS = [
    "env=prod/year=2024/a*b/[ab]/a[!b]c{a,b}/{{a}}{uuid}",
    "a%41b%2F100%/a#b;c:d|e&f/s3:/a'b\"c/a\nb\tc/\x1b[31m",
    " / a /-a/~a$HOME/é币",
]
"""Folders in each other in which everything works."""

NOT_UTF8 = os.fsdecode(b"a\xffb")

NO_DATABASE = {"a?b": "the ?", "a\\b": "the \\", NOT_UTF8: "UTF-8"}
"""Names of folders in which DuckDB has no database, and what the message says of it."""

COMMANDS = {
    "backfill": ("backfill", "--missing"), "update": ("update",), "validate": ("validate",), "publish": ("publish",),
    "rollback": ("publish", "--rollback"), "compact": ("compact",), "status": ("status",),
    "snapshot": ("query", "snapshot", "2024-01-15"), "sql": ("query", "sql", "FROM symbols"), "urls": ("urls",),
    "export": ("export", "out"), "backup": ("backup", "out"), "restore": ("restore", "in"),
}  # fmt: skip

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the test's folder; exceptions that the command line does not handle fail the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str | Path, **variables: str | Path) -> Result:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, str(value))
        return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)

    return invoke


def tree(folder: Path) -> list[str]:
    """All that is in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def check_manifest(path: Path) -> None:
    """Each Parquet file is there and has its rows, and no column that its folder's name might be taken for."""
    for file in json.loads(path.read_text())["files"]:
        if file["path"].endswith(".parquet"):
            found = pq.ParquetFile(path.parent / file["path"])
            assert found.metadata.num_rows == file["rows"]
            assert {"env", "year"}.isdisjoint(found.schema_arrow.names)


def check_refused(done: Result, *words: str) -> None:
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("Error: ")
    assert [word for word in words if word not in done.stderr] == [], done.stderr


@pytest.mark.parametrize("names", WORKS, ids=ascii)
def test_every_command_works_whatever_the_folder_is_called(names: str, run: Run, tmp_path: Path) -> None:
    place = tmp_path / names
    sample.copy_published(place)
    # What globs would find beside the folders themselves.
    for folder in list(place.parents)[: names.count("/") + 1]:
        for other in ("a", "b", "axb", "aab", "abc"):
            (folder / other / "daily_availability").mkdir(parents=True)
    before = tree(tmp_path)

    def done(*arguments: str | Path) -> str:
        result = run(*arguments, AVAILABILITY_DATA_DIR=place)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    done("publish", "--accept-fewer-files")
    done("publish", "--rollback")
    done("compact")
    assert json.loads(done("status"))["path"] == str(place / "availability.duckdb")
    done("query", "snapshot", "2024-01-15", "--output", place / "day.parquet")
    assert json.loads(done("query", "sql", "SELECT count(*) AS n FROM symbols")) == [{"n": 7}]
    done("urls", "--output", place / "urls.txt")
    assert (place / "urls.txt").read_text().count("\n") == len(sample.sample_files())
    for form in ("parquet", "csv"):
        done("export", place / form, "--format", form)
        done("export", place / form, "--format", form, "--force")
    backup = Path(done("backup", place / "backups").removesuffix("\n"))
    done("restore", place / "backups")
    done("restore", backup)
    for listed in (place / "manifest.json", place / "parquet" / "manifest.json"):
        check_manifest(listed)
    made = [path for path in tree(tmp_path) if path not in before]
    assert [path for path in made if not (tmp_path / path).is_relative_to(place)] == []


@pytest.mark.parametrize("name", NO_DATABASE, ids=ascii)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_data_directory_that_cannot_be_used_is_refused(
    command: str, name: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    done = run(*COMMANDS[command], AVAILABILITY_DATA_DIR=tmp_path / name / "data")
    check_refused(done, "AVAILABILITY_DATA_DIR is ", repr(name)[1:-1], NO_DATABASE[name])
    assert tree(tmp_path) == ["in"]


@pytest.mark.parametrize("name", NO_DATABASE, ids=ascii)
@pytest.mark.parametrize("command", ["backfill", "publish", "snapshot", "export"])
def test_a_published_database_that_cannot_be_opened_is_refused(
    command: str, name: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    done = run(*COMMANDS[command], AVAILABILITY_DB_PATH=tmp_path / name, AVAILABILITY_DATA_DIR=tmp_path)
    check_refused(done, "AVAILABILITY_DB_PATH is ", NO_DATABASE[name])
    assert tree(tmp_path) == ["in"]


@pytest.mark.parametrize("name", NO_DATABASE, ids=ascii)
@pytest.mark.parametrize(("command", "argument"), [("backup", "DIR"), ("restore", "FILE")])
def test_databases_elsewhere_are_refused_by_the_name_of_the_argument(
    command: str, argument: str, name: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    sample.copy_published(tmp_path / "data")
    before = tree(tmp_path)
    done = run(command, Path(name) / "x", AVAILABILITY_DATA_DIR=tmp_path / "data")
    check_refused(done, f"{argument} is ", NO_DATABASE[name])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_files_can_be_written_where_databases_cannot(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    sample.copy_published(tmp_path / "data")
    for arguments in (("export", f"{name}/csv", "--format", "csv"), ("export", f"{name}/parquet"),
                      ("urls", "--output", f"{name}/urls"),
                      ("query", "sql", "FROM symbols", "--output", f"{name}/s.parquet")):  # fmt: skip
        done = run(*arguments, AVAILABILITY_DATA_DIR=tmp_path / "data")
        assert done.exit_code == 0, done.stderr
    listed = json.loads((tmp_path / name / "csv" / "manifest.json").read_text())["files"]
    assert all((tmp_path / name / "csv" / file["path"]).is_file() for file in listed)
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
        "csv",
        "parquet",
        "s.parquet",
        "urls",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "data"]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        (("export", NOT_UTF8), "DIR"), (("urls", "--output", NOT_UTF8), "--output"),
        (("query", "sql", "FROM symbols", "--output", NOT_UTF8), "--output"),
    ],
    ids=["export", "urls", "query"],
)  # fmt: skip
@pytest.mark.parametrize("empty", [False, True])
def test_other_paths_that_cannot_be_used_are_refused(
    arguments: tuple[str, ...], argument: str, empty: bool, run: Run, tmp_path: Path
) -> None:
    sample.copy_published(tmp_path / "data")
    before = tree(tmp_path)
    given = ["" if empty and part == NOT_UTF8 else part for part in arguments]
    done = run(*given, AVAILABILITY_DATA_DIR=tmp_path / "data")
    check_refused(done, f"{argument} is ", "empty" if empty else "UTF-8")
    assert tree(tmp_path) == before


def test_a_link_is_what_it_leads_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a?b").mkdir()
    (tmp_path / "link").symlink_to("a?b")
    check_refused(run("backfill", AVAILABILITY_DATA_DIR=tmp_path / "link"), "AVAILABILITY_DATA_DIR", "a?b")
    assert tree(tmp_path) == ["a?b", "link"]


def test_a_relative_path_needs_a_current_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in (("export", "out"), ("backup", "out"), ("restore", "out"), ("urls", "--output", "out")):
        check_refused(run(*arguments, AVAILABILITY_DATA_DIR=tmp_path), "current folder is gone")


@pytest.mark.parametrize("name", [" /a", "a ", " ", "./~root", "a://b/c"])
def test_a_setting_is_not_changed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"{tmp_path}/{name}" if name.endswith((" ", "c")) else name
    settings = Settings.load({"AVAILABILITY_DATA_DIR": text, "AVAILABILITY_DB_PATH": text})
    assert settings.data_dir == settings.db_path == Path(os.path.join(tmp_path, text))  # noqa: PTH118 - no ./ is cut off
    assert Settings.load(settings.environment()) == settings


def test_a_byte_of_zero_is_no_part_of_a_path() -> None:
    with pytest.raises(UsageError, match=r"data_dir is '.*x00"):
        Settings.load({}, data_dir="a\0b")


@pytest.mark.parametrize("name", NO_DATABASE, ids=ascii)
def test_python_refuses_the_same(name: str, tmp_path: Path) -> None:
    for ask in (AvailabilityQueries, parquet_files):
        with pytest.raises(UsageError, match="the published database is "):
            ask(tmp_path / name / "availability.duckdb")


def process(*arguments: str, cwd: Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "availability_pipeline", *arguments], cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root()), **{name: str(value) for name, value in variables.items()}},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["closed", "Could not set lock", "ermission denied", "different configuration"]
)
def test_a_name_is_not_taken_for_what_is_wrong(name: str, run: Run, tmp_path: Path) -> None:
    """What DuckDB says of a damaged file is the same wherever that is."""
    told = []
    for place in (tmp_path / name, tmp_path / "data"):
        sample.copy_published(place)
        for file in (place / "availability.duckdb", place / "working" / "availability.duckdb"):
            file.chmod(0o644)
            file.write_bytes(file.read_bytes()[:20_000])
        for command in ("status", "validate"):
            done = run(command, AVAILABILITY_DATA_DIR=place)
            assert done.exit_code == 1
            told.append(done.stderr.replace(str(place), ""))
    assert told[:2] == told[2:]


@pytest.mark.parametrize(
    "arguments",
    [("export", "DIR"), ("urls", "--output", "DIR"), ("query", "sql", "FROM symbols", "--output", "DIR")],
)
def test_a_name_that_no_file_can_have_is_refused(
    arguments: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    sample.copy_published(tmp_path / "data")
    given = ["a" * 300 if part == "DIR" else part for part in arguments]
    check_refused(run(*given, AVAILABILITY_DATA_DIR=tmp_path / "data"), "File name too long")


def test_make_says_so_too(tmp_path: Path) -> None:
    checkout, environment = tmp_path / "a%2Fb", Path(sys.prefix)
    (checkout / "availability_pipeline").mkdir(parents=True)
    for name in ("Makefile", "dagster.yaml", "workspace.yaml", "availability_pipeline/definitions.py"):
        (checkout / name).write_bytes((root() / name).read_bytes())
    # Not as the make that may run these tests, below which another one says where it is.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", f"VENV={environment}", f"--assume-old={environment}/.installed", "ui"], cwd=checkout,
        env={**environ, "PYTHONSAFEPATH": "1"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: the Dagster instance would be in '{checkout}/.dagster/storage'")


EVERYTHING = "env=prod *[ab]{c}'\";:#$HOME 100%\n币 "


def test_a_run_works_with_all_of_them_at_once(tmp_path: Path) -> None:
    with serve(ScriptedArchive.recorded(symbols=2, now=NOW)) as server:
        done = process(
            "backfill", "--start", "2024-01-01", "--end", "2024-01-03", cwd=tmp_path,
            **{**server.environment(), "AVAILABILITY_DATA_DIR": tmp_path / EVERYTHING},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [EVERYTHING]
    with duckdb.connect(tmp_path / EVERYTHING / "availability.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM daily_availability").fetchall() == [(6,)]


@pytest.mark.parametrize("name", ["a%41b", "a%2Fb", "%00", "a?b"])
@pytest.mark.parametrize("command", ["backfill", "backfill --missing", "update"])
def test_an_instance_that_dagster_would_open_elsewhere_is_refused(
    command: str, name: str, run: Run, tmp_path: Path
) -> None:
    home = {} if name != "a?b" else {"DAGSTER_HOME": tmp_path / name}
    done = run(*command.split(), AVAILABILITY_DATA_DIR=tmp_path / name.replace("?", ""), **home)
    check_refused(done, "DAGSTER_HOME", name, name[1:4] if "%4" in name else "")
    assert tree(tmp_path) == []


def test_a_checkout_is_refused_likewise(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "a%2Fb"
    (checkout / "availability_pipeline").mkdir(parents=True)
    for name in ("dagster.yaml", "workspace.yaml", "availability_pipeline/definitions.py"):
        (checkout / name).write_bytes((root() / name).read_bytes())
    before = tree(tmp_path)
    monkeypatch.chdir(checkout)
    check_refused(
        run("backfill", "--missing", AVAILABILITY_DATA_DIR=tmp_path / "data"), "%2F", "DAGSTER_HOME"
    )
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["a%41b", *NO_DATABASE], ids=ascii)
def test_the_demo_is_refused_likewise(name: str, run: Run, tmp_path: Path) -> None:
    check_refused(run("demo", "--symbols", "1", "--data-dir", name), repr(name)[1:-1])
    assert tree(tmp_path) == []


def test_an_instance_elsewhere_does_for_such_a_data_directory(tmp_path: Path) -> None:
    places = {"AVAILABILITY_DATA_DIR": str(tmp_path / "a%41b"), "DAGSTER_HOME": str(tmp_path / "home")}
    with serve(ScriptedArchive.recorded(symbols=2, now=NOW)) as server:
        done = invoked({**server.environment(), **places}, "update", "2024-01-01")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a%41b", "home"]


def test_a_message_stays_one_line_and_can_be_printed(tmp_path: Path) -> None:
    done = process("status", cwd=tmp_path, AVAILABILITY_DATA_DIR=tmp_path / "a\nb\x1b[31m")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert r"a\nb\x1b[31m" in done.stderr

"""`backup`, `restore` and `compact`: what they say, where, and what they refuse with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.cli.maintain import first_day_to_collect
from availability_pipeline.settings import Settings
from availability_pipeline_tests.cli.conftest import Run
from availability_pipeline_tests.publishing import sample

ROWS = len(sample.DAYS) * len(sample.SPANS) + len(sample.SPANS) + 1 + 1 + 2 + len(sample.SAID)
"""Of daily_availability, symbols, collection_runs, database_info and contract_history."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with sample.working_database(folder):
        return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "data")


@pytest.fixture
def environment(data: Path) -> dict[str, str]:
    return {"AVAILABILITY_DATA_DIR": str(data)}


def test_a_backup_is_a_path_for_programs_and_a_line_for_people(run: Run, tmp_path: Path) -> None:
    done = run("backup", str(tmp_path / "backups"))
    assert done.exit_code == 0
    [path] = (tmp_path / "backups").iterdir()
    assert done.stdout == f"{path}\n"
    assert done.stderr.startswith(f"{ROWS} rows, data through {sample.LAST_DAY}, ")
    again = run("backup", str(tmp_path / "backups"), "--keep", "1")
    assert not path.exists()
    assert again.stderr.endswith(" s, removed 1 older\n")


def test_a_restore_says_what_was_done_and_what_is_next(run: Run, data: Path, tmp_path: Path) -> None:
    path = run("backup", str(tmp_path)).stdout.strip()
    first, second, third = run("restore", path).stdout.splitlines()
    working = data / "working" / "availability.duckdb"
    assert first.startswith(
        f"Restored {working} from {path}: {ROWS} rows, data through {sample.LAST_DAY}, backed up 20"
    )
    assert second == f"The database from before is {working}.before-restore until the next restore."
    assert "`binance-futures-availability backfill --start 2024-02-29` collects" in third
    done = run("restore", str(tmp_path), AVAILABILITY_DATA_DIR=str(tmp_path / "new"))
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("through", "start"),
    [
        (None, DEFAULT_DATASET.first_day),
        ("2019-10-01", DEFAULT_DATASET.first_day),
        ("2024-03-19", sample.LAST_DAY.replace(month=2, day=29)),
    ],
)
def test_the_days_after_and_the_look_back_window_before_are_collected_again(
    through: str | None, start: object
) -> None:
    assert first_day_to_collect(Settings(lookback_days=20), through) == start


def test_what_is_compact_is_left_alone_with_a_sentence(run: Run, data: Path) -> None:
    run("compact")
    done = run("compact")
    path = data / "working" / "availability.duckdb"
    size = f"{path.stat().st_size:,} bytes"
    assert done.stdout == (
        f"{path} is unchanged, because a compact copy saves too little: {size} before, {size} after.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("restore", "none"), 2), (("restore", "."), 2), (("restore", "notes"), 1), (("backup", "notes"), 2),
        (("backup", "none/none"), 2), (("backup", ".", "--keep", "0"), 2), (("compact", "notes"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert (tmp_path / "notes").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(("command", "name"), [("backup", "DIR"), ("restore", "FILE")])
def test_an_empty_path_is_not_the_current_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(command, "")
    assert (done.exit_code, done.stderr) == (2, f"Error: {name} is empty; it must be a path\n")
    assert list(tmp_path.glob("availability-*")) == []

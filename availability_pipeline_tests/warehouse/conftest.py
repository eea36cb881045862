"""A working database with everything that one can have, and a backup of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import opening
from availability_pipeline.warehouse.backup import backup
from availability_pipeline_tests.publishing import sample


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The sample with everything that a working database can have; copied by `settings`."""
    folder = tmp_path_factory.mktemp("made")
    with sample.working_database(folder) as connection:
        sample.collect(connection, sample.sample_files(2), "run-2", sample.DAYS)
        derive(connection, Rules())
    return Settings.load({}, data_dir=str(folder))


@pytest.fixture
def settings(made: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(made.data_dir, tmp_path / "data")
    return Settings.load({}, data_dir=str(tmp_path / "data"))


@pytest.fixture(scope="session")
def taken(made: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, which no test may change."""
    return backup(made, tmp_path_factory.mktemp("taken")).path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOCK_TIMEOUT_SECONDS", 0.3)

"""The world of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.demo_data import made_once
from availability_pipeline_tests.scenarios.world import World, make_history, world_of


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "history", make_history)


@pytest.fixture
def world(
    settings_for: SettingsFactory, history: Path, new_instance: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    with world_of(settings_for, history, new_instance, monkeypatch) as opened:
        yield opened

"""The world of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.scenarios.world import World, world_of


@pytest.fixture
def world(
    settings_for: SettingsFactory, new_instance: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    with world_of(settings_for, new_instance, monkeypatch) as opened:
        yield opened

"""The world of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.scenarios.world import World, world_of


@pytest.fixture
def world(settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_of(settings_for, monkeypatch) as opened:
        yield opened

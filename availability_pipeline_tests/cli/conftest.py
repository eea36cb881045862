"""A published sample that the command line finds through the environment, and ways to run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from availability_pipeline.cli.main import cli
from availability_pipeline_tests.publishing import sample

Run = Callable[..., Result]
Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def published_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.copy_published(tmp_path_factory.mktemp("cli")).path


@pytest.fixture
def environment(published_path: Path, tmp_path: Path) -> dict[str, str]:
    return {"AVAILABILITY_DB_PATH": str(published_path), "AVAILABILITY_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run a command in this process; exceptions that the command line does not handle fail the test."""

    def invoke(*arguments: str, **variables: str) -> Result:
        runner = CliRunner(env={**environment, **variables})
        return runner.invoke(cli, list(arguments), catch_exceptions=False)

    return invoke


@pytest.fixture
def shell(environment: dict[str, str]) -> Shell:
    """Run a command in a process of its own; gives bytes."""

    def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "availability_pipeline", *arguments],
            env={**os.environ, **environment, **variables}, capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    return start

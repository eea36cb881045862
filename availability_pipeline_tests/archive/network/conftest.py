"""A simulated archive that the tests of a file share, certificates, and what boto3 reads from the environment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest

from availability_pipeline_tests.archive.network.asking import SYMBOLS
from availability_pipeline_tests.archive.network.servers import Address, Authority
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve


@pytest.fixture(scope="module")
def server() -> Iterator[ObservedServer]:
    with serve(
        ScriptedArchive.recorded(list(SYMBOLS), now=dt.datetime.fromisoformat("2026-10-06 12:00"))
    ) as running:
        yield running


@pytest.fixture(scope="module")
def address(server: ObservedServer) -> Address:
    return "127.0.0.1", server.port


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Let boto3 find a URL as well; the URL."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")

    def found(url: str) -> str:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return url

    return found


@pytest.fixture
def server_url(server: ObservedServer) -> str:
    return server.url

"""What keeps a reader from its server is named: the proxy, the CA bundle, or the limits of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.object_storage.cache import published_file
from availability_pipeline.settings import Settings
from availability_pipeline_tests.archive.servers import nobody_listening
from availability_pipeline_tests.conftest import run_python


@pytest.fixture
def listening() -> Iterator[str]:
    """Where a connection is taken, so that TLS begins."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _credentials(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", listening)


def refusal(url: str, folder: Path) -> str:
    with pytest.raises(PublishedDatabaseError) as raised:
        published_file(url, Settings.load({}, data_dir=str(folder), timeout_seconds="5"))
    assert list(folder.rglob("*.duckdb*")) == []
    return str(raised.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("kind", ["https", "s3"])
def test_a_ca_bundle_that_cannot_be_used_is_named(
    listening: str, kind: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content:
        (tmp_path / "bundle.pem").write_text(content)
    for name in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "bundle.pem"))
    said = refusal(listening if kind == "https" else "s3://bucket/x", tmp_path)
    assert "CA_BUNDLE" in said
    assert "AVAILABILITY_DATA_DIR" not in said


@pytest.mark.parametrize("kind", ["https", "s3"])
def test_a_proxy_that_does_not_answer_is_named(
    listening: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nobody_listening() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        said = refusal(listening if kind == "https" else "s3://bucket/x", tmp_path)
    assert "cannot be read: the proxy does not connect; check HTTPS_PROXY" in said


def test_missing_support_of_socks_is_named(
    listening: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    said = refusal(listening, tmp_path)
    assert "Missing dependencies for SOCKS support; install PySocks, or unset HTTPS_PROXY" in said


NO_FILES = """
    import os, resource, sys
    from pathlib import Path
    from availability_pipeline.errors import AvailabilityError
    from availability_pipeline.object_storage import s3, web
    from availability_pipeline.object_storage.cache import published_file
    from availability_pipeline.settings import Settings

    settings = Settings.load({}, data_dir=sys.argv[2])
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
    try:
        published_file(sys.argv[1], settings)
    except AvailabilityError as error:
        print(error)
"""


@pytest.mark.parametrize("kind", ["https", "s3"])
def test_too_many_open_files_are_no_network_that_fails(listening: str, kind: str, tmp_path: Path) -> None:
    said = run_python(NO_FILES, listening if kind == "https" else "s3://bucket/x", tmp_path)
    assert "Too many open files; raise the limit of open files (`ulimit -n`)" in said

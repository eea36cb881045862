"""What keeps a reader from its server is named if it is a limit of this machine, and not the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

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


NO_FILES = """
    import os, resource, sys
    from pathlib import Path
    from availability_pipeline.errors import AvailabilityError
    from availability_pipeline.publishing.remote import s3, web
    from availability_pipeline.publishing.remote.cache import published_file
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

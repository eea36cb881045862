"""A bucket for each test, found through the environment, and data directories with a working database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from availability_pipeline.publishing.manifest import DATABASE, Manifest, Place, describe
from availability_pipeline.publishing.release import install
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.atomic import draft_of
from availability_pipeline_tests.conftest import empty_moto
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.remote.stores import Store, gateway_to, moto_server, new_store

NewSettings = Callable[..., Settings]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        empty_moto(url)
        yield url


@pytest.fixture
def store(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with gateway_to(moto) as gateway:
        found = new_store(gateway)
        for name, value in found.environ.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the sample published, for copies and for reading."""
    folder = tmp_path_factory.mktemp("objects")
    sample.copy_published(folder)
    return folder


@pytest.fixture(scope="module")
def uploaded(moto: str, published: Path) -> Iterator[Store]:
    """The sample, uploaded once for all tests of a module."""
    with gateway_to(moto) as gateway, pytest.MonkeyPatch.context() as patch:
        store = new_store(gateway)
        for name, value in store.environ.items():
            patch.setenv(name, value)
        mirror(Settings.load({}, data_dir=str(published), publish_url=store.s3_url))
        yield store


def publish_small(folder: Path, number: int) -> str:
    """Let readers of a folder have a generation of a few bytes, and return its id."""
    place = Place.of(folder / DATABASE)
    place.generations.mkdir(parents=True, exist_ok=True)
    with draft_of(place.draft) as draft:
        (draft / "daily_availability").mkdir(parents=True)
        paths = [draft / name for name in (DATABASE, "daily_availability/2024.parquet", "latest.parquet")]
        for path in paths:
            path.write_text(f"{path.name} {number} of {folder}", encoding="utf-8")
        manifest = Manifest(
            schema_version=1, generation="", run_id=f"{folder.name}{number}", published_at=NOW, first_day="2024-01-01",
            data_through="2024-02-01", last_file_day=None, rows=1, available=0, symbols=1,
            files=tuple(describe(draft, path, 1) for path in paths),
        )  # fmt: skip
        return install(place, draft, manifest).generation


NOW = "2026-11-20T12:00:00Z"


@pytest.fixture
def machine(store: Store, tmp_path: Path) -> NewSettings:
    """Settings of a machine that publishes to the store; by its name, it has a data directory with one generation."""

    def new(name: str = "here", **arguments: str) -> Settings:
        folder = tmp_path / name
        if not folder.exists():
            publish_small(folder, 1)
        chosen = {"publish_url": store.s3_url, "timeout_seconds": "20", **arguments}
        return Settings.load({}, data_dir=str(folder), **chosen)

    return new

"""`download` by a published database that is in object storage: the files come from the archive that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from availability_pipeline.cli.main import cli
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.settings import Settings
from availability_pipeline_tests.collecting.shelf import DAYS, serving
from availability_pipeline_tests.publishing.remote.stores import Store


@pytest.mark.parametrize("form", ["s3_url", "http_url"])
def test_files_are_fetched_by_a_database_behind_a_url(store: Store, tmp_path: Path, form: str) -> None:
    with serving() as shelf:
        shelf.publish(tmp_path / "published")
        mirror(Settings.load({}, data_dir=str(tmp_path / "published"), publish_url=store.s3_url))
        environment = {
            "AVAILABILITY_DB_PATH": getattr(store, form),
            "AVAILABILITY_DATA_DIR": str(tmp_path / "data"),
        }
        command = ["download", str(tmp_path / "here"), "--start", str(DAYS[0])]
        result = CliRunner(env=environment).invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    assert {
        path.relative_to(tmp_path / "here").as_posix(): path.read_bytes()
        for path in (tmp_path / "here").rglob("*.zip")
    } == shelf.bodies()

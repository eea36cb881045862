"""Making the working database compact: smaller, and otherwise the same."""

from __future__ import annotations

import stat
from pathlib import Path

from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.restore import compact
from availability_pipeline_tests.conftest import run_python, start_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.warehouse.databases import (
    everything,
    grow,
    names,
)
from availability_pipeline_tests.warehouse.test_crashes import WRITER, written


def test_a_database_that_has_grown_is_made_compact(settings: Settings) -> None:
    path = settings.working_path
    before, size = everything(path), path.stat().st_size
    path.chmod(0o640)
    grow(path)
    grown = path.stat().st_size
    assert grown > 1.5 * size
    report = compact(settings)
    assert (report.before, report.after, report.replaced) == (grown, path.stat().st_size, True)
    assert report.after <= size
    assert everything(path) == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(path.parent) == ["availability.duckdb"]
    with sample.working_database(settings.data_dir, sample.sample_files(3)):
        pass
    assert sample.publish_run(settings.data_dir, "run-4").rows == len(sample.DAYS) * len(sample.SPANS)


def test_a_database_that_has_not_grown_is_left_alone(settings: Settings) -> None:
    compact(settings)
    before = settings.working_path.stat()
    report = compact(settings)
    assert not report.replaced
    after = settings.working_path.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_size,
    )


def test_compacting_while_collections_run_loses_none(tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path / "data"))
    run_python(WRITER, settings.working_path, 200, 1)
    grow(settings.working_path)
    with start_python(WRITER, settings.working_path, 200, 5) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if line.strip() == "2":
                assert compact(settings).replaced
        _, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors
    assert written(settings.working_path) == 6

"""What the operating system refuses a command is told as that, with what helps; nothing else is blamed for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from availability_pipeline_tests.conftest import ROOT, run_python
from availability_pipeline_tests.publishing import sample

PROGRAM = f"{sys.executable} -P -m availability_pipeline"


def shell(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["sh", "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_current_folder_that_is_gone_is_not_standard_output(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    ended = shell(f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec {PROGRAM} export out", environment)
    assert ended.returncode == 2
    assert ended.stderr == "Error: DIR is 'out', but the current folder is gone; write the path in full\n"


NO_PROCESS = """
    import datetime as dt, os, resource, sys
    from pathlib import Path
    from availability_pipeline.dates import DayRange
    from availability_pipeline.errors import AvailabilityError
    from availability_pipeline.publishing.opening import check_target
    from availability_pipeline.settings import Settings
    from availability_pipeline.warehouse.database import check_usable
    from availability_pipeline.collecting.process import run_in_worker

    published, folder = Path(sys.argv[1]), sys.argv[2]
    check_target(published, None)  # so that nothing has to be loaded as another user
    if os.geteuid() == 0:
        os.setuid(65534)  # root may have any number
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    day = dt.date(2024, 1, 15)
    for use in (
        lambda: run_in_worker(Settings.load({}, data_dir=folder), DayRange(day, day), folder=Path(folder, "dagster")),
    ):
        try:
            use()
        except AvailabilityError as error:
            print(error)
"""


def test_no_more_processes_is_told_as_that(open_folder: Path) -> None:
    path = sample.copy_published(open_folder).path
    (open_folder / "data").mkdir()
    (open_folder / "data").chmod(0o777)
    refused = "(Resource temporarily unavailable); raise the limit of processes (`ulimit -u`), or end some"
    assert run_python(NO_PROCESS, path, open_folder / "data").splitlines() == [
        f"the process of the run could not be started {refused}",
    ]


@pytest.mark.parametrize("words", ["query snapshot 2024-02-20", "validate"])
def test_few_open_files_are_not_standard_output(environment: dict[str, str], words: str) -> None:
    said = set()
    for files in range(4, 12):
        ended = shell(f"ulimit -n {files}; exec {PROGRAM} {words}", environment)
        said |= set(ended.stderr.splitlines())
        assert "standard output" not in ended.stderr
        assert "move it away" not in ended.stderr
    assert said

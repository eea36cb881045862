"""Commands that collect: as processes, as a user runs them, or in this process, with the run in it as well.

Starting the two processes takes as long as the run, and says nothing about what a command answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from availability_pipeline.cli.main import cli
from availability_pipeline.collecting import process
from availability_pipeline.defs import worker
from availability_pipeline.settings import Settings
from availability_pipeline_tests.dagster_side import Site, root

PROGRAM = [sys.executable, "-m", "availability_pipeline"]


def environment(site: Site, **more: str) -> dict[str, str]:
    """The environment of a process that works on the site."""
    home = str(site.settings.data_dir / "dagster")
    return {
        **os.environ,
        **site.settings.environment(),
        "DAGSTER_HOME": home,
        "PYTHONPATH": str(root()),
        **more,
    }


def command(site: Site, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process, with its run in another."""
    return subprocess.run(
        [*PROGRAM, *arguments], env=environment(site, **more), cwd=site.settings.data_dir,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def started(site: Site, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Such a process, which goes on."""
    return subprocess.Popen(
        [*before, *PROGRAM, *arguments],
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(running: subprocess.Popen[str], text: str) -> None:
    """Read its messages until one has the text."""
    assert running.stderr
    for line in running.stderr:
        if text in line:
            return
    raise AssertionError(f"the process ended without saying {text!r}")


def children_of(running: subprocess.Popen[str]) -> list[int]:
    """The processes that a process has started."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in children.split()]


def in_process(site: Site, *arguments: str, **more: str) -> Result:
    """Run a command and its run in this process; what neither foresees fails the test."""
    return invoked({"DAGSTER_HOME": str(site.settings.data_dir / "dagster"), **more}, *arguments)


def invoked(environ: Mapping[str, str], *arguments: str) -> Result:
    """Likewise, on what the environment leads to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_ask_worker", _run_here)
        return CliRunner(env=environ).invoke(cli, list(arguments), catch_exceptions=False)


def _run_here(settings: Settings, request: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker answers, with the environment of one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in process._environment(settings).items():
            patch.setenv(name, value)
        answer: dict[str, Any] = json.loads(json.dumps(worker.answer(request), default=str))
    return answer


def one_sentence(done: Result | subprocess.CompletedProcess[str]) -> str:
    """The message of a command that failed: one line, no traceback, nothing on stdout."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]

"""Runs whose process is gone: how they are recognised and ended.

A run that is killed without warning stays "started" in Dagster's records and keeps its slot of the writers' pool, and
every later writer would wait for it without a word. So each run notes its process in its tags, and whoever comes next
on the same machine ends those runs whose process no longer exists.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import dagster as dg

WRITERS_POOL = "working_database"
"""The pool that all writers share; its limit is 1."""

HOST_TAG = "availability/host"
PROCESS_TAG = "availability/process"

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tags() -> dict[str, str]:
    """The tags that name this process."""
    return {HOST_TAG: socket.gethostname(), PROCESS_TAG: f"{os.getpid()}@{_started(os.getpid())}"}


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of this machine whose process is gone, and free what they held; returns their ids."""
    filters = dg.RunsFilter(statuses=_UNFINISHED, tags={HOST_TAG: socket.gethostname()})
    dead = [run for run in instance.get_runs(filters) if not _is_alive(run.tags.get(PROCESS_TAG, ""))]
    for run in dead:
        instance.report_run_failed(
            run, "The process of this run is gone. What it had not completed was not written."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def runs_being_waited_for(instance: dg.DagsterInstance) -> list[str]:
    """The runs that hold the writers' pool now, as text for a person."""
    held = instance.event_log_storage.get_concurrency_info(WRITERS_POOL).claimed_slots
    runs = (instance.get_run_by_id(slot.run_id) for slot in held)
    return [
        f"{run.run_id[:8]} (process {run.tags.get(PROCESS_TAG, 'unknown').split('@')[0]})"
        for run in runs
        if run
    ]


def _is_alive(process: str) -> bool:
    pid, _, started = process.partition("@")
    return bool(started) and _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks, as numbers are used again; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):  # it may end between opening and reading
        return "" if Path("/proc/self").exists() else _running_somehow(pid)
    # The name, in parentheses, may contain anything; the fields that count come after it. "Z" is a process that has
    # ended and is only waiting to be noticed by its parent.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _running_somehow(pid: int) -> str:
    """The answer where there is no /proc: whether a process of that number runs at all."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"

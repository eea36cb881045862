"""Starting the process of a query.

What a query may do is settled by `grammar` and `worker`, what comes of it is read by `result`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from availability_pipeline.causes import cause_of
from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.publishing.opening import open_published
from availability_pipeline.sandbox.result import SqlResult

TIMEOUT_SECONDS = 30.0
LONGEST_TIMEOUT_SECONDS = 86_400
MEMORY_LIMIT_MB = 1024
MAX_ROWS = 1_000_000
THREADS = 2

Parameters = Sequence[object] | Mapping[str, object]

_START = "import sys; sys.path.insert(0, sys.argv[1]); from availability_pipeline.sandbox.worker import main; main()"

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
"""The variables that a Python may need to start; the others, with the secrets among them, stay here."""


def run_sql(  # noqa: PLR0913 - each bound is a choice of its own
    path: Path,
    query: str,
    *,
    parameters: Parameters = (),
    timeout_seconds: float = TIMEOUT_SECONDS,
    memory_limit_mb: int = MEMORY_LIMIT_MB,
    max_rows: int = MAX_ROWS,
    threads: int = THREADS,
) -> SqlResult:
    """Run one SELECT against a published database, in a process that can do nothing else.

    Args:
        path: The published database; its relations are found by their names alone.
        query: One SELECT, VALUES, DESCRIBE, SUMMARIZE or SHOW TABLES, in DuckDB's SQL.
        parameters: Values for `?` in their order, or for `$name` by name.
        timeout_seconds: How long DuckDB may work on it, starting its process included.
        memory_limit_mb: MiB that it may need.
        max_rows: Rows that the answer may have.
        threads: Threads that it may use.

    Raises:
        UsageError: The query is none that is run here, is wrong, or failed; the message has DuckDB's own. Also a bound
            that is none.
        PublishedDatabaseError: The file is missing, damaged, or of a newer version.
        AvailabilityError: The system does not let the process be started.
    """
    _check_bounds(query, timeout_seconds, memory_limit_mb, max_rows)
    open_published(path)[0].close()
    request = {
        "path": str(path), "query": query, "positional": not isinstance(parameters, Mapping), "threads": threads,
        "timeout_seconds": timeout_seconds, "memory_limit_mb": memory_limit_mb, "max_rows": max_rows,
    }  # fmt: skip
    message = json.dumps(request).encode() + b"\n" + _as_arrow(parameters)
    process = _start()
    try:
        _send(process, message)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return SqlResult(path, process, timeout_seconds)


def _check_bounds(query: object, timeout_seconds: float, memory_limit_mb: int, max_rows: int) -> None:
    if not isinstance(query, str):
        raise UsageError(f"the query is {query!r}, but it must be a string")
    if not 0 < timeout_seconds <= LONGEST_TIMEOUT_SECONDS:  # which nan is not, either
        raise UsageError(
            f"timeout_seconds (--timeout) is {timeout_seconds}, but it must be above 0 and at most "
            f"{LONGEST_TIMEOUT_SECONDS}"
        )
    for name, value in (
        ("memory_limit_mb (--memory-limit)", memory_limit_mb),
        ("max_rows (--max-rows)", max_rows),
    ):
        if not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} is {value!r}, but it must be a whole number of 1 or more")


def _start() -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[2])
    try:
        return subprocess.Popen(  # noqa: S603 - the words are our own
            [sys.executable, "-P", "-c", _START, package],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        )
    except OSError as error:
        cause = cause_of(error)
        raise AvailabilityError(
            f"the process of the query could not be started ({cause.reason}); {cause.remedy}"
        ) from error


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    if process.stdin is None:
        raise RuntimeError("the process of the query has no pipe to talk through")
    try:
        with process.stdin as pipe:
            pipe.write(message)
    except BrokenPipeError:
        pass  # it has ended already; what it says of that is read with the answer
    process.stdin = None


def _as_arrow(parameters: Parameters) -> bytes:
    """One row that holds the values, so that days stay days."""
    if isinstance(parameters, Mapping):
        named = dict(parameters)
    else:
        named = {str(number): value for number, value in enumerate(parameters, 1)}
    try:
        # A column without rows would be lost.
        table = pa.Table.from_pylist([{"": None, **named}])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise UsageError(
            f"a parameter is of a type that SQL does not know ({error}); pass a number, a string or a date"
        ) from error
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())

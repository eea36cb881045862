"""The answer to a query, read from its process while that is at work.

How the process is started is `running`'s business.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.publishing.opening import reading
from availability_pipeline.sandbox.worker import FAILURE_STATUS

_LESS_MEMORY = "ask for less, or raise memory_limit_mb (--memory-limit)"

Row = dict[str, Any]


class SqlResult:
    """The answer to a query, read while it is made; use it in a `with` statement or call `close`.

    Its rows can be had once, in one of three forms.
    """

    def __init__(self, path: Path, process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
        self._path, self._process = path, process
        self._timeout = self._left = timeout_seconds
        self._timed_out = False
        self._reader: pa.RecordBatchStreamReader = self._guarded(self._open_stream)
        self.schema: pa.Schema = _with_names_apart(self._reader.schema)
        """The columns with their Arrow types."""
        self.columns: tuple[str, ...] = tuple(self.schema.names)
        """Their names, all different: a second `date` is called `date_1`."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow record batches.

        Raises:
            UsageError: The query failed, or took more time, memory or rows than allowed.
            PublishedDatabaseError: The file is damaged.
        """
        while (batch := self._guarded(self._next_batch)) is not None:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def rows(self) -> Iterator[Row]:
        """The rows as dicts; see `batches`. Whole decimals, as of a sum, are ints.

        Raises:
            UsageError: Also a value that Python has no type for, such as the year 10000.
        """
        whole = [
            field.name for field in self.schema if pa.types.is_decimal(field.type) and not field.type.scale
        ]
        for batch in self.batches():
            for row in _as_python(batch):
                for name in whole:
                    row[name] = _int(row[name])
                yield row

    def reader(self) -> pa.RecordBatchReader:
        """The same as `batches`, in the form that other libraries read from."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())

    def to_arrow(self) -> pa.Table:
        """All rows as a table; see `batches`."""
        return pa.Table.from_batches(self.batches(), self.schema)

    def close(self) -> None:
        """End the query if it is still under way."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> SqlResult:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_stream(self) -> pa.RecordBatchStreamReader:
        return pa.ipc.open_stream(self._process.stdout)

    def _next_batch(self) -> pa.RecordBatch | None:
        try:
            batch: pa.RecordBatch = self._reader.read_next_batch()
        except StopIteration:
            # The end of the pipe looks the same, whether the answer was complete or not.
            if self._process.wait():
                raise EOFError from None
            return None
        return batch

    def _guarded(self, read: Any) -> Any:
        """Read on while the clock runs; the time that a reader takes between two reads is its own."""
        try:
            with self._clock():
                return read()
        except (pa.ArrowInvalid, OSError, EOFError):
            raise self._failure() from None
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _clock(self) -> Iterator[None]:
        timer, began = threading.Timer(max(self._left, 0), self._end), time.monotonic()
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._left -= time.monotonic() - began

    def _end(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _failure(self) -> AvailabilityError:
        _, errors = self._process.communicate()
        status = self._process.returncode
        if self._timed_out:
            return UsageError(
                f"the query took longer than {self._timeout:g} seconds and was ended; ask for less, or raise "
                "timeout_seconds (--timeout)"
            )
        if status == FAILURE_STATUS:
            return _told(self._path, json.loads(errors.splitlines()[-1]))
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return UsageError(f"the query ended its process ({cause}); {_LESS_MEMORY}")


def _with_names_apart(schema: pa.Schema) -> pa.Schema:
    names: list[str] = []
    for name in schema.names:
        number, apart = 0, name
        while apart in names:
            number += 1
            apart = f"{name}_{number}"
        names.append(apart)
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])


def _as_python(batch: pa.RecordBatch) -> list[Row]:
    try:
        rows: list[Row] = batch.to_pylist()
    except (OverflowError, ValueError) as error:
        raise UsageError(
            f"the answer has a value that Python cannot hold ({error}); cast it to VARCHAR"
        ) from error
    return rows


def _int(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


def _told(path: Path, failure: dict[str, str]) -> AvailabilityError:
    """The error that the process told of."""
    if failure["kind"] == "memory":
        return UsageError(f"the query needs more memory than it is allowed; {_LESS_MEMORY}")
    if failure["kind"] == "query":
        return UsageError(failure["message"])
    try:
        with reading(path):
            raise duckdb.IOException(failure["message"])
    except AvailabilityError as error:
        return error

"""Users' SQL over a published database: read-only, without files, bounded in time, memory and rows.

The user owns file and process, so the sandbox is DuckDB's locked configuration and not a separate process (decision 9).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TypeVar

import duckdb
import pyarrow as pa

from availability_pipeline.errors import AvailabilityError, PublishedDatabaseError, UsageError
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.queries.columns import Row
from availability_pipeline.queries.result import rows_of_batches

LONGEST_TIMEOUT_SECONDS = 86_400

GRACE_SECONDS = 2.0
"""Wait for an interrupted query. DuckDB ends it between two calls of a function, which can take minutes; then its
thread is left behind."""

THREAD_NAME = "query sql"
"""The name of the threads in which DuckDB works."""

_ROWS_AT_ONCE = 20_000

_LESS_MEMORY = "ask for less, or raise memory_limit_mb (--memory-limit)"

_FENCE: Mapping[str, object] = {
    "threads": 2,
    "TimeZone": "UTC",
    "enable_progress_bar": False,  # it would be printed into the answer
    "temp_directory": "",  # so that nothing is spilled to disk
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_persistent_secrets": False,
    "enable_external_access": False,
    # Without external access the paths of attached databases stay accessible all the same: COPY could write the
    # published database's write-ahead log, and ATTACH could open it for writing. Its open handle is not affected.
    "disabled_filesystems": "LocalFileSystem",
    "lock_configuration": True,
}
"""DuckDB's settings, in order; the last one locks them."""

_ANSWERS = {"SELECT", "EXPLAIN", "MULTI"}
"""Allowed last statements; a PIVOT without IN is MULTI."""

_STATEMENTS = {*_ANSWERS, "CREATE", "INSERT", "UPDATE", "DELETE", "ALTER", "DROP"}
"""Allowed statements. This is for clear messages; the sandbox does not depend on it."""

_DAMAGE = ("Corrupt database file", "IO Error", "FATAL Error", "Serialization Error")
"""Prefixes of DuckDB's errors about the file, the only open one."""

Parameters = Sequence[object] | Mapping[str, object]

T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """Limits of a query; raises UsageError if one is out of range."""

    timeout_seconds: float = 30.0
    """Seconds of DuckDB's work; time between two reads of the caller does not count."""
    memory_limit_mb: int = 1024
    """MiB for tables, joins, sorts and aggregates; nothing is spilled to disk."""
    max_rows: int = 1_000_000

    def __post_init__(self) -> None:
        if not 0 < self.timeout_seconds <= LONGEST_TIMEOUT_SECONDS:  # also refuses nan
            raise UsageError(
                f"timeout_seconds (--timeout) is {self.timeout_seconds}, but it must be above 0 and at most "
                f"{LONGEST_TIMEOUT_SECONDS}"
            )
        for name, value in (
            ("memory_limit_mb (--memory-limit)", self.memory_limit_mb),
            ("max_rows (--max-rows)", self.max_rows),
        ):
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}, but it must be a whole number of 1 or more")


def run_sql(
    path: Path,
    query: str,
    parameters: Parameters = (),
    bounds: Bounds | None = None,
    others: Mapping[str, Path] | None = None,
) -> SqlResult:
    """Run a query against a published database.

    Args:
        path: The published database, whose relations need no qualification.
        query: A SELECT, VALUES, DESCRIBE, SUMMARIZE, SHOW TABLES or EXPLAIN in DuckDB's SQL. Statements before it may
            create temporary tables and views for this call.
        parameters: Values of the last statement, a sequence for `?` or a mapping for `$name`.
        bounds: Its limits.
        others: Other published databases, each of which is a schema of this name.

    Raises:
        UsageError: The query is invalid, attempts more than reading, or exceeds a limit.
        PublishedDatabaseError: The file is missing, damaged, or of a newer version.
    """
    if not isinstance(query, str):
        raise UsageError(f"the query is {query!r}, but it must be a string")
    bounds = bounds or Bounds()
    connection, _ = open_published(path)
    try:
        _attach(connection, others or {}, query)
        _confine(connection, bounds)
        return SqlResult(path, connection, query, parameters, bounds)
    except BaseException:
        # The thread of a query that was left behind is still using it.
        with suppress(duckdb.ResourceInUseException):
            connection.close()
        raise


def _attach(connection: duckdb.DuckDBPyConnection, others: Mapping[str, Path], query: str) -> None:
    """Attach other databases; one that cannot be read matters only to a query that names it."""
    for name, path in others.items():
        try:
            with reading(path):
                connection.execute(f'ATTACH ? AS "{name}" (READ_ONLY, TYPE duckdb)', [str(path)])
        except PublishedDatabaseError:
            if name in query:
                raise


def _confine(connection: duckdb.DuckDBPyConnection, bounds: Bounds) -> None:
    connection.execute("USE published")
    for name, value in {"memory_limit": f"{bounds.memory_limit_mb}MiB", **_FENCE}.items():
        connection.execute(f"SET {name} = ?", [value])


class SqlResult:
    """A streaming result, readable once; use it in a `with` statement or call `close`."""

    def __init__(
        self,
        path: Path,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        parameters: Parameters,
        bounds: Bounds,
    ) -> None:
        self._path, self._connection, self._bounds = path, connection, bounds
        self._seconds_left = bounds.timeout_seconds
        self._left_behind = False
        self._reader = self._bounded(lambda: _start(connection, query, parameters))
        self.schema: pa.Schema = _with_unique_names(self._reader.schema)
        """The columns with their Arrow types."""
        self.columns: tuple[str, ...] = tuple(self.schema.names)
        """Their unique names: a second `date` becomes `date_1`."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow record batches.

        Raises:
            UsageError: The query failed or exceeded a limit.
            PublishedDatabaseError: The file is damaged.
        """
        count = 0
        while (batch := self._bounded(self._next_batch)) is not None:
            count += batch.num_rows
            if count > self._bounds.max_rows:
                raise UsageError(
                    f"the answer has more than {self._bounds.max_rows:,} rows; add a LIMIT, or raise max_rows "
                    "(--max-rows)"
                )
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def rows(self) -> Iterator[Row]:
        """The rows as dicts, as `rows_of_batches`."""
        return rows_of_batches(self.batches(), self.schema)

    def to_arrow(self) -> pa.Table:
        """All rows as a table."""
        return pa.Table.from_batches(self.batches(), self.schema)

    def close(self) -> None:
        """End the query if it is still running."""
        if not self._left_behind:
            self._reader.close()
            self._connection.close()

    def __enter__(self) -> SqlResult:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_batch(self) -> pa.RecordBatch | None:
        return next(self._reader, None)

    def _bounded(self, work: Callable[[], T]) -> T:
        """Run DuckDB in another thread, because neither Ctrl-C nor a time-out interrupts a call in this one."""
        outcome: Future[T] = Future()
        began = time.monotonic()
        Thread(target=_settle, args=(outcome, work), name=THREAD_NAME, daemon=True).start()
        try:
            done, _ = wait([outcome], max(self._seconds_left, 0))
        except BaseException:  # Ctrl-C
            self._interrupt(outcome)
            raise
        self._seconds_left -= time.monotonic() - began
        if not done:
            self._interrupt(outcome)
            raise UsageError(
                f"the query took longer than {self._bounds.timeout_seconds:g} seconds and was ended; ask for less, "
                "or raise timeout_seconds (--timeout)"
            )
        try:
            return outcome.result()
        except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as error:
            raise _translated(self._path, error) from error

    def _interrupt(self, outcome: Future[T]) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        while not outcome.done() and time.monotonic() < deadline:
            # Repeatedly, because a statement that is just starting drops an earlier interrupt.
            self._connection.interrupt()
            wait([outcome], 0.05)
        self._left_behind = not outcome.done()


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
        outcome.set_exception(error)


def _start(connection: duckdb.DuckDBPyConnection, query: str, parameters: Parameters) -> pa.RecordBatchReader:
    *earlier, last = _checked(connection.extract_statements(query))
    for statement in earlier:
        connection.execute(statement)
    values = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
    return connection.sql(last, params=values or None).to_arrow_reader(_ROWS_AT_ONCE)


def _checked(statements: list[duckdb.Statement]) -> list[duckdb.Statement]:
    if not statements:
        raise UsageError("the query is empty; write a SELECT")
    kinds = [_kind(statement) for statement in statements]
    for kind in kinds:
        if kind not in _STATEMENTS:
            raise UsageError(
                f"a query only reads and makes temporary tables, and {kind} does neither; write a SELECT"
            )
    if kinds[-1] not in _ANSWERS:
        raise UsageError(f"the query ends with {kinds[-1]}, which gives no rows; end it with a SELECT")
    return statements


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind that DuckDB's Python library lacks, such as UPDATE EXTENSIONS
        return "this statement"


def _with_unique_names(schema: pa.Schema) -> pa.Schema:
    names: list[str] = []
    for name in schema.names:
        number, unique = 0, name
        while unique in names:
            number += 1
            unique = f"{name}_{number}"
        names.append(unique)
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])


def _translated(path: Path, error: Exception) -> AvailabilityError:
    """DuckDB's error in one sentence; after the first rows it arrives as Arrow's, with DuckDB's text."""
    text = str(error)
    # Without the excerpt of the query.
    message = " ".join(text.partition("\n\nLINE ")[0].split())
    if isinstance(error, MemoryError) or text.startswith("Out of Memory Error"):
        return UsageError(f"the query needs more memory than it is allowed; {_LESS_MEMORY}")
    if text.startswith(_DAMAGE):
        try:
            with reading(path):
                raise duckdb.IOException(text)
        except AvailabilityError as translated:
            return translated
    if "attached in read-only mode" in text:
        return UsageError("the published database is read-only; CREATE TEMP TABLE makes a table of your own")
    if text.startswith("Permission Error"):
        return UsageError(
            f"a query reads the published relations and no file or extension ({message}); see SHOW TABLES"
        )
    if "Unable to transform python value" in text:
        return UsageError(
            f"a parameter is of a type that SQL does not know ({message}); pass a number, a string or a date"
        )
    return UsageError(message)

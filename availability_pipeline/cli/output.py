"""Output of every query: `--format` and `--output`, the four formats, and files that are written atomically."""

from __future__ import annotations

import csv
import datetime as dt
import functools
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from availability_pipeline.cli.options import path_named
from availability_pipeline.errors import AvailabilityError, UsageError, cause_of
from availability_pipeline.warehouse.atomic import draft_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from availability_pipeline.queries.result import Result


class _Sink(io.FileIO):
    def __init__(self, file: Path | int, mode: str, failure: Callable[[OSError], Exception]) -> None:
        self._failure = failure
        super().__init__(file, mode, closefd=not isinstance(file, int))

    def write(self, data: ReadableBuffer, /) -> int:
        with self._translated():
            return super().write(data)

    def close(self) -> None:
        with self._translated():
            super().close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # click ends the command
            raise
        except OSError as error:
            raise self._failure(error) from error


def sink(file: Path | int, mode: str, failure: Callable[[OSError], Exception]) -> IO[bytes]:
    """Open a file, or take a descriptor that stays open.

    Args:
        file: The file.
        mode: As of `open`, for binary writing.
        failure: Makes the exception for a failed write; BrokenPipeError is raised as it is.

    Raises:
        OSError: The file cannot be opened.
    """
    return io.BufferedWriter(_Sink(file, mode, failure))


FORMATS = ("table", "json", "csv", "parquet")

Row = Mapping[str, Any]


report_format = click.option(
    "--format",
    "chosen",
    type=click.Choice(("table", "json")),
    help="Default: table on a terminal, json otherwise.",
)
"""The option of commands that print a report and not rows."""


def printed_as_json(chosen: str | None, report: object) -> bool:
    """Print a report as json if that is the format, by choice or for want of a terminal."""
    if (chosen or ("table" if sys.stdout.isatty() else "json")) == "table":
        return False
    click.echo(json.dumps(report, ensure_ascii=False, default=plain, indent=2))
    return True


@dataclass(frozen=True)
class Answer:
    """A result, and its form as a table."""

    result: Result[Any]
    """Complete, for json, csv and parquet."""
    table: Callable[[], Iterable[Row]]
    """The rows of a table; called once at most."""
    title: Callable[[], str]
    """The title of the table; called after `table`."""
    days: Callable[[], Sequence[tuple[dt.date, str]]] = list
    """Days with their statuses, of which a strip is shown above the table; called once at most."""


@dataclass(frozen=True)
class Output:
    """Destination and format of an answer."""

    format: str
    path: Path | None

    @classmethod
    def choose(cls, chosen: str | None, path: Path | None) -> Output:
        """Choose the format; raises UsageError for parquet on a terminal."""
        ending = path.suffix[1:].lower() if path else ""
        if chosen is None and ending in FORMATS:
            chosen = ending
        on_terminal = path is None and sys.stdout.isatty()
        chosen = chosen or ("table" if on_terminal else "json")
        if chosen == "parquet" and on_terminal:
            raise UsageError(
                "parquet is binary and does not go to a terminal; name a file with --output FILE"
            )
        return cls(chosen, path)

    def write(self, answer: Answer) -> None:
        """Write the answer; a regular file is replaced atomically.

        Raises:
            UsageError: The file cannot be created.
            AvailabilityError: It cannot be written.
        """
        if self.format == "parquet":
            with _binary_output(self.path) as file:
                _write_parquet(answer, file)
        else:
            with text_output(self.path) as text:
                _WRITERS[self.format](answer, text)


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of output to a command, which gets one `Output` as `output`."""

    @click.option(
        "--format",
        "chosen",
        type=click.Choice(FORMATS),
        help="Default: by the ending of --output, table on a terminal, json otherwise.",
    )
    @file_options
    @functools.wraps(command)
    def with_output(*args: object, chosen: str | None, path: Path | None, **kwargs: object) -> None:
        command(*args, output=Output.choose(chosen, path), **kwargs)

    return with_output


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--output` and `--force` to a command, which gets `path`, None for stdout; existing files need `--force`."""

    @click.option(
        "--output",
        "path",
        type=click.Path(dir_okay=False, allow_dash=True),
        callback=_file_named,
        help="Write to a file; - is standard output.",
    )
    @click.option("--force", is_flag=True, help="Replace the file of --output if it exists.")
    @functools.wraps(command)
    def with_file(*args: object, path: Path | None, force: bool, **kwargs: object) -> None:
        if path and _is_there(path) and not force:
            raise UsageError(f"{path} exists already; pass --force to replace it")
        command(*args, path=path, **kwargs)

    return with_file


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _not_made(path, error) from error


def _not_made(path: Path, error: OSError) -> UsageError:
    cause = cause_of(error)
    return UsageError(f"{path} cannot be made ({cause.reason}); {cause.remedy}, or choose another --output")


def _file_named(context: click.Context, parameter: click.Parameter, text: str | None) -> Path | None:
    return None if text in (None, "-") else path_named(context, parameter, text)


@contextmanager
def text_output(path: Path | None) -> Iterator[IO[str]]:
    """A text file that is written atomically, or stdout; raises as `Output.write`."""
    if path is None:
        yield sys.stdout
        # Not at exit, where a closed pipe would end in a traceback.
        sys.stdout.flush()
    else:
        with _open(path) as file, io.TextIOWrapper(file, "utf-8", newline="", write_through=True) as text:
            yield text


@contextmanager
def _binary_output(path: Path | None) -> Iterator[IO[bytes]]:
    """As `text_output`, for bytes."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with _open(path) as file:
            yield file


def _open(path: Path) -> AbstractContextManager[IO[bytes]]:
    if path.exists() and not path.is_file():
        return _in_place(path)
    return _replacing(Path(os.path.realpath(path)) if path.is_symlink() else path)


@contextmanager
def _in_place(path: Path) -> Iterator[IO[bytes]]:
    """A pipe or a device, which is not replaced."""
    with _opened(path, path, "wb") as file:
        yield file


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A draft that replaces the file when complete."""
    with draft_of(path) as new:
        with _opened(path, new, "xb") as file:
            yield file
        try:
            new.replace(path)
        except OSError as error:
            raise _unwritten(path, error) from error


def _opened(path: Path, file: Path, mode: str) -> IO[bytes]:
    """The open file or draft, whose errors name `path`."""
    try:
        return sink(file, mode, lambda error: _unwritten(path, error))
    except OSError as error:
        raise _not_made(path, error) from error


def _unwritten(path: Path, error: OSError) -> AvailabilityError:
    cause = cause_of(error)
    return AvailabilityError(
        f"{path} could not be written ({cause.reason}); {cause.remedy}, or choose another --output"
    )


def only(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[Row]:
    """The rows with these columns only."""
    return ({column: row[column] for column in columns} for row in rows)


def plain(value: object) -> object:
    """A value for json: days and UTC moments in ISO format, bytes in hexadecimal."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value.hex() if isinstance(value, bytes) else value


def _write_json(answer: Answer, file: IO[str]) -> None:
    between = "[\n"
    for row in answer.result.stream():
        file.write(between + _json(row))
        between = ",\n"
    file.write("[]\n" if between == "[\n" else "\n]\n")


def _json(row: Row) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, default=plain, allow_nan=False)
    except ValueError:  # JSON has no infinity
        return json.dumps(_finite(row), ensure_ascii=False, default=plain)


def _finite(value: object) -> object:
    """The value with null for NaN and infinity."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_csv(answer: Answer, file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.result.columns)
    writer.writerows(
        [_csv_text(row[column]) for column in answer.result.columns] for row in answer.result.stream()
    )


def _csv_text(value: object) -> object:
    """Booleans in lower case, which DuckDB, pandas and polars read; nested values as json."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=plain)
    return value if isinstance(value, Decimal) else plain(value)


def _write_parquet(answer: Answer, file: IO[bytes]) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only this format needs it

    pq.write_table(answer.result.arrow(), file, compression="zstd")


def _write_table(answer: Answer, file: IO[str]) -> None:
    from availability_pipeline.cli.tables import print_table, show_table  # noqa: PLC0415 - rich is slow to import

    rows = list(answer.table())
    if file is sys.stdout:
        show_table(rows, answer.title(), answer.days())
    else:
        print_table(rows, answer.title(), file, answer.days())


_WRITERS: dict[str, Callable[[Answer, IO[str]], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
}

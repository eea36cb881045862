"""Files that answers are written to: what keeps them from being written is told apart from every other error."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Sink(io.FileIO):
    def __init__(self, file: Path | int, mode: str, failure: Callable[[OSError], Exception]) -> None:
        self._failure = failure
        super().__init__(file, mode, closefd=not isinstance(file, int))

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:  # its reader has left, which click ends the command for
            raise
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        try:
            super().close()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failure(error) from error


def sink(file: Path | int, mode: str, failure: Callable[[OSError], Exception]) -> IO[bytes]:
    """Open a file, or take a descriptor that stays open.

    Args:
        file: The file.
        mode: As of `open`, for binary writing.
        failure: What is raised for an error of writing, unless it is that the reader of a pipe has left.

    Raises:
        OSError: It cannot be opened.
    """
    return io.BufferedWriter(_Sink(file, mode, failure))

"""The file `.env` of a checkout: it is read as `dagster dev` reads it, so that both work with the same settings."""

from __future__ import annotations

import os
from pathlib import Path

from availability_pipeline.errors import UsageError
from availability_pipeline.locations import is_url
from availability_pipeline.settings import VARIABLES
from availability_pipeline.worker_process import checkout

NAME = ".env"

_PATHS = ("AVAILABILITY_DATA_DIR", "AVAILABILITY_DB_PATH")

_OURS = {"DAGSTER_HOME", *(variable for variable, _ in VARIABLES.values())}


def read_env_file() -> None:
    """Put what the checkout's `.env` sets into the environment, if the current folder is in a checkout that has one.

    Dagster lets the file win over the environment. Where that would be another setting than the one that was exported,
    possibly for this one command, nothing is done with either.

    Raises:
        UsageError: The file cannot be read, or contradicts the environment.
    """
    folder = checkout()
    if folder is None or not (folder / NAME).exists():
        return
    for name, text in _values(folder / NAME).items():
        value = str(folder / text) if name in _PATHS and _is_relative(text) else text
        if name in _OURS and os.environ.get(name, "").strip() not in ("", value.strip()):
            raise UsageError(
                f"{name} is one thing in the environment and another in {folder / NAME}, which `dagster dev` goes by; "
                "unset the one or remove the other, or run the command outside the checkout"
            )
        os.environ[name] = value


def _values(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415 - most commands run where there is no such file

    try:
        values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); allow it to be read, or move it away"
        ) from error
    except UnicodeDecodeError:
        values = {"\0": ""}
    if any("\0" in name + value for name, value in values.items()):
        raise UsageError(
            f"{path} is no text in UTF-8; write it as lines such as AVAILABILITY_DATA_DIR=/srv/availability"
        )
    return values


def _is_relative(value: str) -> bool:
    return bool(value) and not (value.startswith(("/", "~")) or is_url(value))

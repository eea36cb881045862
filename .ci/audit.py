"""Known vulnerabilities of the pinned packages, asked of OSV by pip-audit: `make audit`.

Exit code 0: none, or only those of audit-exceptions.toml. 1: there are others, or an exception is over or needless.
3: the database of vulnerabilities could not be asked, so nothing is known.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OSV_URL = "https://api.osv.dev/v1/query"
"""Asked unless the variable OSV_URL names a mirror."""

UNKNOWN = 3
FIELDS = {"id", "package", "reason", "until"}


class NotAnswered(Exception):
    """pip-audit came to no result."""


def vulnerabilities(pins: Path, url: str) -> list[tuple[str, str, set[str]]]:
    """Package, version and names of each known vulnerability of the pinned packages.

    Raises:
        NotAnswered: The database of vulnerabilities did not answer for every package.
    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--osv-url", url, "--format", "json"]
    done = subprocess.run(  # noqa: S603 - our own arguments
        [*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines()
        raise NotAnswered(lines[-1] if lines else f"exit code {done.returncode}") from None
    if skipped := [f"{each['name']}: {each['skip_reason']}" for each in packages if "skip_reason" in each]:
        raise NotAnswered("; ".join(skipped[:3]))
    return [
        (each["name"], each["version"], {found["id"], *found["aliases"]})
        for each in packages
        for found in each["vulns"]
    ]


def exceptions(path: Path) -> list[dict[str, Any]]:
    """The entries of the list of exceptions.

    Raises:
        ValueError: One of them lacks something.
    """
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("exception", [])
    for entry in entries:
        if entry.keys() != FIELDS or not isinstance(entry["until"], dt.date) or not entry["reason"].strip():
            raise ValueError(f"{path.name}: an exception has {', '.join(sorted(FIELDS))}, not {entry}")
    return entries


def verdict(
    found: list[tuple[str, str, set[str]]], excepted: list[dict[str, Any]], today: dt.date
) -> list[str]:
    """What is wrong, one sentence each."""
    valid = [entry for entry in excepted if entry["until"] >= today]
    wrong = [
        f"the exception {entry['id']} ended on {entry['until']}" for entry in excepted if entry not in valid
    ]
    used = []
    for package, version, names in found:
        matching = [entry for entry in valid if entry["package"] == package and entry["id"] in names]
        used += matching
        if not matching:
            wrong.append(f"{package} {version} has the known vulnerability {', '.join(sorted(names))}")
    wrong += [f"the exception {entry['id']} is not needed any more" for entry in valid if entry not in used]
    return wrong


def main(pins: Path = ROOT / "constraints.txt", excepted: Path = ROOT / "audit-exceptions.toml") -> int:
    """Print what was found, and return the exit code."""
    try:
        allowed = exceptions(excepted)
        found = vulnerabilities(pins, os.environ.get("OSV_URL", OSV_URL))
    except ValueError as error:
        print(error)
        return 1
    except NotAnswered as error:
        print(f"NOT AUDITED: the database of vulnerabilities gave no answer ({error})")
        return UNKNOWN
    wrong = verdict(found, allowed, dt.datetime.now(dt.UTC).date())
    print("\n".join(wrong) or f"{pins.name}: no known vulnerability, {len(allowed)} excepted")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

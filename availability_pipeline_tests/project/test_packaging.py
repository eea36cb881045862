"""What is shipped: sdist and wheel hold what the program needs and nothing else, and the version has one place."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from availability_pipeline import __version__
from availability_pipeline_tests.dagster_side import root

NAME = "binance_futures_availability"
CODE = (".py", ".html", ".json", ".sql", ".tsv", ".csv", ".yaml")
BY_PACKAGER = {"PKG-INFO", "setup.cfg"}


@dataclass(frozen=True)
class Built:
    """The two archives, without the folder that each sdist has above its files."""

    sdist: frozenset[str]
    wheel: frozenset[str]
    metadata: Message
    entry_points: str


def tracked() -> list[str]:
    if not (root() / ".git").exists():
        pytest.skip("this is no clone, so there is nothing to compare with")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root(), capture_output=True, check=True)
    return [name for name in done.stdout.decode().split("\0") if name and (root() / name).is_file()]


def build(source: Path, out: Path) -> Built:
    """Both archives, the wheel made from the sdist, from a copy of what is tracked."""
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root() / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    [sdist], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    with tarfile.open(sdist) as archive:
        files = frozenset(member.name.partition("/")[2] for member in archive if member.isfile())
    with zipfile.ZipFile(wheel) as archive:
        info = f"{NAME}-{__version__}.dist-info/"
        return Built(
            sdist=files,
            wheel=frozenset(archive.namelist()),
            metadata=Parser().parsestr(archive.read(f"{info}METADATA").decode()),
            entry_points=archive.read(f"{info}entry_points.txt").decode(),
        )


def package_files() -> set[str]:
    return {name for name in tracked() if name.startswith("availability_pipeline/")}


def test_sdist_and_wheel_are_the_package_and_nothing_else(tmp_path: Path) -> None:
    built = build(tmp_path / "source", tmp_path / "out")
    sdist = {name for name in built.sdist if not name.startswith(f"{NAME}.egg-info/")}
    assert sdist == package_files() | {"LICENSE", "README.md", "pyproject.toml"} | BY_PACKAGER
    described = {name for name in built.wheel if name.startswith(f"{NAME}-{__version__}.dist-info/")}
    assert built.wheel - described == package_files()
    assert f"{NAME}-{__version__}.dist-info/licenses/LICENSE" in described
    assert (built.metadata["Version"], built.metadata["Requires-Python"]) == (__version__, ">=3.11")
    needed = [line for line in built.metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split(r"[<>=;\s]", line)[0] for line in needed}
    assert names >= {"boto3", "dagster", "dagster-duckdb", "dagster-webserver", "duckdb", "requests"}
    assert "binance-futures-availability = availability_pipeline.cli.main:main" in built.entry_points


def test_all_that_is_in_the_package_is_of_a_known_kind() -> None:
    others = {name for name in package_files() if not name.endswith((*CODE, "/py.typed"))}
    assert others == set()
    assert "availability_pipeline/py.typed" in package_files()


def test_the_version_is_written_in_one_place() -> None:
    """Not in the citation either, which would be forgotten at the next release."""
    places = [
        name
        for name in tracked()
        if not name.startswith(("availability_pipeline_tests/", "docs/", "CHANGELOG", "constraints"))
        if name.endswith((".py", ".toml", ".cff", ".yaml", ".cfg", "Dockerfile", "Makefile"))
        and re.search(rf"(?<![\d.=]){re.escape(__version__)}(?![\d.])", (root() / name).read_text("utf-8"))
    ]
    assert places == ["availability_pipeline/__init__.py"]


def test_the_citation_has_what_its_format_needs() -> None:
    citation = yaml.safe_load((root() / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    licence = (root() / "LICENSE").read_text("utf-8")
    assert all(author["name"] in licence for author in citation["authors"])
    assert citation["license"] == "MIT"


def test_lower_bounds_are_at_most_what_is_pinned() -> None:
    project = tomllib.loads((root() / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    pins = dict(
        line.split("==") for line in Path(root() / "constraints.txt").read_text("utf-8").splitlines()[1:]
    )
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    for line in lines:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line

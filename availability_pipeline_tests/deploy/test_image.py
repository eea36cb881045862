"""What the Dockerfile promises: it is built from what is sent to the builder, it is pinned, and nobody is root."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch

import pytest

from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.deploy.stack import FOLDER, image_environment, instructions

LAST = max(place for place, (keyword, _) in enumerate(instructions()) if keyword == "FROM")
COPIED = [
    source
    for keyword, rest in instructions()
    if keyword == "COPY" and not rest.startswith("--from")
    for source in shlex.split(rest)[:-1]
]


def sent(path: str) -> bool:
    """Whether a path goes to the builder: the last line of .dockerignore that fits decides."""
    answer = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            answer = line.startswith("!")
    return answer


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_exists_and_is_sent(source: str) -> None:
    assert (ROOT / source).exists()
    assert sent(source)


def test_nothing_else_is_sent() -> None:
    assert "availability_pipeline" in COPIED
    for path in (".git", ".env", "deploy/docker/.env", "deploy/pipeline.env", ".dagster", ".venv", "docs"):
        assert not sent(path), path


def test_both_stages_come_from_one_pinned_image() -> None:
    bases = [rest.split()[0] for keyword, rest in instructions() if keyword == "FROM"]
    assert bases == ["${PYTHON}", "${PYTHON}"]
    [base] = [rest.partition("=")[2] for keyword, rest in instructions() if rest.startswith("PYTHON=")]
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-\w+", base)


def test_versions_are_those_that_are_tested() -> None:
    first = instructions()[:LAST]
    assert any(
        "PIP_CONSTRAINT=/source/constraints.txt" in rest for keyword, rest in first if keyword == "ENV"
    )
    assert "constraints.txt" in COPIED


def test_the_last_stage_installs_nothing_and_is_nobody() -> None:
    last = instructions()[LAST:]
    runs = [rest for keyword, rest in last if keyword == "RUN"]
    assert all(run.startswith("install -d ") for run in runs)
    [user] = [rest for keyword, rest in last if keyword == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_the_instance_is_found() -> None:
    [(_, copied)] = [(k, rest) for k, rest in instructions() if k == "COPY" and "dagster.yaml" in rest]
    assert copied.split()[-1] == f"{image_environment()['DAGSTER_HOME']}/"
    assert ("WORKDIR", image_environment()["DAGSTER_HOME"]) in instructions()


def test_extras_are_some_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    named = {
        extra
        for extras in re.findall(r'^ARG EXTRAS=(\S+)|"([a-z,]+)"', text, re.MULTILINE)
        for extra in extras
    }
    assert {extra for extras in named for extra in extras.split(",") if extra} == {"postgres", "kubernetes"}
    assert {"postgres", "kubernetes"} <= set(project["optional-dependencies"])

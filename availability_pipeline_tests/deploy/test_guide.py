"""The commands of the guide to deployments, which need root, Docker or a cluster: what they name exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.deploy.commands import PROGRAMS, understood
from availability_pipeline_tests.deploy.stack import services
from availability_pipeline_tests.document_check import shown

GUIDE = (ROOT / "docs" / "guides" / "deployment.md").read_text(encoding="utf-8")
LINES = list(shown(GUIDE))
DOCKER = ROOT / "deploy" / "docker"
PROGRAMS_OF_OTHERS = {
    "cd", "cp", "docker", "helm", "install", "journalctl", "kubectl", "python", "python3", "rm", "runuser", "ssh",
    "systemctl", "systemd-analyze", "systemd-sysusers", "systemd-tmpfiles", "tar", "availability",
}  # fmt: skip


def words(line: str) -> list[str]:
    """A line without sudo and what follows the first command of several."""
    found = shlex.split(line, comments=True)
    return found[1:] if found[0] == "sudo" else found


def test_there_are_commands() -> None:
    assert len(LINES) > 30


@pytest.mark.parametrize("line", LINES)
def test_programs_are_known_ones(line: str) -> None:
    assert Path(words(line)[0]).name in PROGRAMS_OF_OTHERS


@pytest.mark.parametrize("line", LINES)
def test_files_exist(line: str) -> None:
    named = re.findall(r"(?<![\w/.-])(?:deploy/\S+|constraints\.txt|\.\./\S+\.example|\.env\.example)", line)
    for name in named:
        base = DOCKER if name.startswith(".") else ROOT
        assert list(base.glob(name.rstrip("/"))) or (base / name).exists(), name


@pytest.mark.parametrize("line", [line for line in LINES if "docker compose" in line])
def test_services_of_compose_exist(line: str) -> None:
    found = words(line)
    command, rest = found[2], [word for word in found[3:] if not word.startswith("-")]
    named = {"exec": rest[:1], "run": rest[:1], "stop": rest, "logs": rest}.get(command, [])
    assert command in ("build", "up", "exec", "run", "stop", "logs")
    assert set(named) <= set(services())
    if command in ("exec", "run") and rest[1] in PROGRAMS:
        assert understood(found[found.index(rest[1]) :])


@pytest.mark.parametrize("line", [line for line in LINES if "availability" in words(line)[:1]])
def test_what_the_services_user_runs_is_understood(line: str) -> None:
    assert understood(["binance-futures-availability", *words(line)[1:]])


def test_units_exist_and_all_are_enabled() -> None:
    named = set(re.findall(r"binance-futures-availability-[a-z]+(?:\.\w+)?", "\n".join(LINES)))
    units = {path.name for path in (ROOT / "deploy" / "systemd").glob("*.service")}
    units |= {path.name for path in (ROOT / "deploy" / "systemd").glob("*.timer")}
    assert {name if "." in name else f"{name}.service" for name in named} == units


def test_every_file_for_systemd_is_installed() -> None:
    installed = "\n".join(line for line in LINES if "deploy/" in line)
    for path in (ROOT / "deploy" / "systemd").iterdir():
        assert path.name in installed or f"*{path.suffix}" in installed, path.name


def test_only_the_services_user_reads_the_secrets() -> None:
    """Readers of the data are in its group."""
    [line] = [words(line) for line in LINES if "pipeline.env.example" in line and "install" in line]
    assert line[1:5] == ["-m", "0600", "-o", "availability"]


def test_folders_that_a_system_may_lack_are_made() -> None:
    """Debian has no /etc/sysusers.d at first."""
    made = [words(line) for line in LINES if re.search(r"/etc/(sysusers|tmpfiles)\.d/\S+$", line)]
    assert [line[:2] for line in made if line[0] == "install"] == [["install", "-D"]] * 2


def test_an_upgrade_builds_anew_and_replaces_what_was_installed() -> None:
    """An old wheel in `dist` would be installed too, and what `build` keeps would get into the new one."""
    first, upgrade = GUIDE.split("## Upgrading")
    cleaned, built = "$ rm -rf build dist\n", "$ python3 -m pip wheel "
    assert f"{cleaned}{built}" in first
    assert f"{cleaned}{built}" in upgrade
    replaced = [line for line in shown(first) if "deploy/systemd" in line and "sysusers" not in line]
    assert set(replaced) - set(shown(upgrade)) == {line for line in replaced if "tmpfiles" in line}


def test_the_chart_is_of_the_version_that_is_tested() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()[1:])
    [chart] = re.findall(r"dagster/dagster --version (\S+)", GUIDE)
    assert chart == pins["dagster"]


def test_names_in_the_cluster_are_those_of_the_files() -> None:
    manifests = (ROOT / "deploy" / "kubernetes" / "manifests.yaml").read_text(encoding="utf-8")
    values = (ROOT / "deploy" / "kubernetes" / "values.yaml").read_text(encoding="utf-8")
    for secret in re.findall(r"create secret generic (\S+)", GUIDE):
        assert f"generic {secret} " in manifests
        assert re.search(rf"(name|Secret(Name)?): {secret}\n", values)
    assert "service/availability-dagster-webserver 3000:3000" in GUIDE
    assert "service/availability-dagster-webserver 3000:3000" in values

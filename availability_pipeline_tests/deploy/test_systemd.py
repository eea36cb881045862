"""The systemd units, as systemd reads them: they are valid, confined, and agree with the user and the folders."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.deploy.commands import understood

FOLDER = ROOT / "deploy" / "systemd"
NAME = "binance-futures-availability"
SERVICES = ("code", "daemon", "webserver", "backup")
MOST_EXPOSURE = {"code": 1.5, "daemon": 1.0, "webserver": 1.3, "backup": 1.0}
"""What `systemd-analyze security` may say at most, of 10."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of Debian's package systemd"
)


def unit(service: str) -> configparser.ConfigParser:
    """A service with what all of them have in common; a setting given twice counts with both lines."""

    class Repeated(dict[str, object]):
        def __setitem__(self, key: str, value: object) -> None:
            old = self.get(key)
            super().__setitem__(
                key, [*old, *value] if isinstance(value, list) and isinstance(old, list) else value
            )

    parser = configparser.ConfigParser(strict=False, interpolation=None, dict_type=Repeated, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    common = FOLDER / f"{NAME}-.service.d" / "hardening.conf"
    parser.read([FOLDER / f"{NAME}-{service}.service", common], encoding="utf-8")
    return parser


def commands(service: str) -> list[list[str]]:
    found = unit(service)["Service"]["ExecStart"]
    return [shlex.split(line) for line in found.splitlines()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as in /etc/systemd/system, with programs that exist on this machine."""
    folder = tmp_path_factory.mktemp("units")
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    for path in folder.glob("*.service"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(rf"/opt/{NAME}/bin/[a-z-]+", "/bin/true", text), encoding="utf-8")
    return folder


def analyze(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@needs_systemd
def test_systemd_finds_nothing_wrong(installed: Path) -> None:
    units = [*installed.glob("*.service"), *installed.glob("*.timer")]
    assert len(units) == len(SERVICES) + 1
    done = analyze(installed, "verify", "--man=no", *units)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_would_find_a_wrong_word(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    with (tmp_path / f"{NAME}-.service.d" / "hardening.conf").open("a", encoding="utf-8") as file:
        file.write("ProtectSystm=strict\n")
    assert "ProtectSystm" in analyze(tmp_path, "verify", "--man=no", tmp_path / f"{NAME}-code.service").stderr


@needs_systemd
@pytest.mark.parametrize("service", SERVICES)
def test_services_are_confined(installed: Path, service: str) -> None:
    done = analyze(installed, "security", "--offline=true", installed / f"{NAME}-{service}.service")
    [exposure] = re.findall(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert float(exposure) <= MOST_EXPOSURE[service]


@pytest.mark.parametrize("service", SERVICES)
def test_their_commands_are_understood(service: str) -> None:
    assert commands(service)
    assert all(understood(words) for words in commands(service))


def test_the_web_server_listens_on_this_machine_only() -> None:
    [words] = commands("webserver")
    assert words[words.index("--host") + 1] == "127.0.0.1"


@pytest.mark.parametrize("service", SERVICES)
def test_units_are_named_as_they_are(service: str) -> None:
    named = re.findall(rf"{NAME}-\w+\.\w+", (FOLDER / f"{NAME}-{service}.service").read_text("utf-8"))
    assert [name for name in named if not (FOLDER / name).exists()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_what_they_write_to_is_made_for_them(service: str) -> None:
    lines = (FOLDER / f"{NAME}.tmpfiles.conf").read_text("utf-8").splitlines()
    made = {words[1]: words[3] for line in lines if (words := line.split()) and words[0] == "d"}
    settings = unit(service)["Service"]
    environment = dict(line.split("=", 1) for line in settings["Environment"].splitlines())
    assert settings["User"] == settings["Group"] == "availability"
    assert made[environment["AVAILABILITY_DATA_DIR"]] == "availability"
    assert environment["AVAILABILITY_DATA_DIR"] == f"/var/lib/{settings['StateDirectory']}"
    assert made[environment["DAGSTER_HOME"]] == "root"
    assert made[settings.get("ReadWritePaths", environment["HOME"])] == "availability"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("systemd-sysusers") is None, reason="needs root and systemd"
)
def test_the_user_and_the_folders_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", FOLDER / f"{NAME}.sysusers.conf"], check=True)
    assert "availability:x:" in (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")
    subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", FOLDER / f"{NAME}.tmpfiles.conf"], check=True
    )
    assert (tmp_path / "var" / "lib" / NAME).stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "var" / "lib" / NAME).stat().st_uid != 0


def test_the_command_line_has_the_settings_of_the_services(tmp_path: Path) -> None:
    environment = dict(line.split("=", 1) for line in unit("code")["Service"]["Environment"].splitlines())
    script = (FOLDER / "availability").read_text(encoding="utf-8")
    for name in ("DAGSTER_HOME", "AVAILABILITY_DATA_DIR"):
        assert f"export {name}={environment[name]}\n" in script
    place = {f"/etc/{NAME}": tmp_path, f"/var/lib/{NAME}": tmp_path, f"/opt/{NAME}/bin/{NAME}": "printenv"}
    for path, here in place.items():
        script = script.replace(path, str(here))
    script = script.replace("= availability ]", '= "$(id -un)" ]')
    (tmp_path / "pipeline.env").write_text('AVAILABILITY_ALERT_URLS="https://h.example/?a&b"\n', "utf-8")
    done = subprocess.run(
        ["sh", "-c", script, "availability", "AVAILABILITY_ALERT_URLS", "DAGSTER_HOME"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["https://h.example/?a&b", str(tmp_path)]

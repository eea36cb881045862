"""The `.env` of a checkout: the command line goes by it as `dagster dev` does, and by no other file of that name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster._core.secrets.env_file import get_env_var_dict

from availability_pipeline_tests.cli.conftest import Shell
from availability_pipeline_tests.daemon_side import make_checkout
from availability_pipeline_tests.publishing import sample

SECRET = "https://hooks.slack.com/services/T0/B0/secret"  # noqa: S105 - made up


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = make_checkout(tmp_path / "checkout")
    (folder / "deep" / "er").mkdir(parents=True)
    return folder


def told(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, with nothing set but these variables."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AVAILABILITY_")}
    return subprocess.run(
        [sys.executable, "-m", "availability_pipeline", *arguments], cwd=folder, env={**own, **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("AVAILABILITY_DATA_DIR={folder}/data", ""),
        ("export AVAILABILITY_DATA_DIR='{folder}/data'  # ours", ""),
        ("AVAILABILITY_DATA_DIR=data", ""),
        ("AVAILABILITY_DATA_DIR=data", "deep/er"),
        ("HERE={folder}\nAVAILABILITY_DB_PATH=${{HERE}}/data/availability.duckdb", "deep"),
        ("AVAILABILITY_DB_PATH=./data/availability.duckdb", "deep/er"),
        ("\ufeffNOTHING\nAVAILABILITY_DATA_DIR={folder}/data", ""),
    ],
)
def test_the_command_line_reads_what_dagster_dev_writes(checkout: Path, text: str, below: str) -> None:
    published = sample.copy_published(checkout / "data").path
    (checkout / ".env").write_text(text.format(folder=checkout), encoding="utf-8")
    done = told(checkout / below, "status", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = Path(json.loads(done.stdout)["path"])
    assert found.samefile(published)
    # Relative paths are those of a `dagster dev` that is started in the checkout.
    by_dagster = get_env_var_dict(str(checkout))
    for name in by_dagster.keys() & {"AVAILABILITY_DATA_DIR", "AVAILABILITY_DB_PATH"}:
        assert found.is_relative_to((checkout / by_dagster[name]).resolve())


def test_other_variables_count_as_well(checkout: Path) -> None:
    (checkout / ".env").write_text(f"AVAILABILITY_LOG_FORMAT=json\nAVAILABILITY_DATA_DIR={checkout}/none\n")
    done = told(checkout, "status")
    assert (done.returncode, json.loads(done.stderr)["level"]) == (1, "ERROR")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVAILABILITY_DATA_DIR", "/srv/other"),
        ("AVAILABILITY_ALERT_URLS", SECRET),
        ("DAGSTER_HOME", "/srv/dagster"),
    ],
)
def test_a_contradiction_is_settled_by_nobody_but_the_user(checkout: Path, name: str, value: str) -> None:
    (checkout / ".env").write_text(f"{name}={value}\n")
    for command in ("status", "validate", "backfill"):
        done = told(checkout, command, **{name: f"{value}-else"})
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"Error: {name} is one thing in the environment and another in {checkout / '.env'}, which `dagster dev` "
            "goes by; unset the one or remove the other, or run the command outside the checkout\n"
        )
        assert SECRET not in done.stderr
    assert "is one thing" not in told(checkout, "status", **{name: value}).stderr
    assert told(checkout, "--help", **{name: f"{value}-else"}).returncode == 0


@pytest.mark.parametrize("content", [b"AVAILABILITY_DATA_DIR=/srv/\xe5\xff", b"A=b\0c"])
def test_a_file_that_is_no_text_is_one_sentence(checkout: Path, content: bytes) -> None:
    (checkout / ".env").write_bytes(content)
    done = told(checkout, "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: {checkout / '.env'} is no text in UTF-8; write it as lines such as "
        "AVAILABILITY_DATA_DIR=/srv/availability\n"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_cannot_be_read_is_one_sentence(checkout: Path) -> None:
    (checkout / ".env").write_text("A=b")
    (checkout / ".env").chmod(0)
    done = told(checkout, "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{checkout / '.env'} cannot be read (Permission denied)" in done.stderr


def test_a_file_outside_a_checkout_is_not_read(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AVAILABILITY_DATA_DIR=/srv/other\n")
    assert "/srv/other" not in told(tmp_path, "status", AVAILABILITY_DATA_DIR=str(tmp_path / "own")).stderr
    assert shell("status").returncode == 0


def test_the_demo_does_not_go_by_it(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".env").write_text("AVAILABILITY_DATA_DIR=-\nAVAILABILITY_DB_PATH=s3://bucket/prefix\n")
    (tmp_path / "demo" / "working").mkdir(parents=True)
    (tmp_path / "demo" / "working" / "availability.duckdb").write_bytes(b"mine")
    done = told(checkout, "demo", "--data-dir", str(tmp_path / "demo"), "--symbols", "1")
    assert "holds real data" in done.stderr  # and nothing of the settings

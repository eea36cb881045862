"""The services of compose.yaml as processes of this machine: their own commands, files, environment and health checks.

Only names that exist in containers alone are replaced: hosts and ports by free ones on 127.0.0.1, and every absolute
path by one in a folder of the test.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.deploy.postgres import Server, free_port

FOLDER = root() / "deploy" / "docker"


def services(**variables: str) -> dict[str, dict[str, Any]]:
    """What compose.yaml says of each service, with the variables of `.env` put in."""

    def value(match: re.Match[str]) -> str:
        assert match[2] is not None or match[1] in variables, f"{match[1]} has neither a value nor a refusal"
        return variables.get(match[1]) or match[0]

    text = re.sub(r"\$\{(\w+)(:\?[^}]+)?\}", value, (FOLDER / "compose.yaml").read_text("utf-8"))
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: keyword and the rest, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.split(None, 1) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(keyword, rest.strip()) for keyword, rest in lines]


def image_environment() -> dict[str, str]:
    """What the last stage of the image sets."""
    last = max(place for place, (keyword, _) in enumerate(instructions()) if keyword == "FROM")
    settings = [rest for keyword, rest in instructions()[last:] if keyword == "ENV"]
    return dict(word.split("=", 1) for setting in settings for word in shlex.split(setting))


@dataclass(frozen=True)
class Stack:
    """The services, in a folder that stands for the root of each container."""

    place: Path
    postgres: Server
    code_port: int
    web_port: int
    pipeline: Mapping[str, str]
    """Settings of the pipeline, as `pipeline.env` has them; only the code server has that file."""

    @property
    def graphql(self) -> str:
        """The URL of the UI's GraphQL endpoint."""
        return f"http://127.0.0.1:{self.web_port}/graphql"

    @property
    def home(self) -> Path:
        """The Dagster instance."""
        return Path(self.environment("code")["DAGSTER_HOME"])

    def environment(self, service: str) -> dict[str, str]:
        """The environment of a service."""
        said = services(DAGSTER_POSTGRES_PASSWORD=self.postgres.password)[service]
        ours = {**image_environment(), **said["environment"]}
        del ours["PATH"]
        ours |= {"DAGSTER_POSTGRES_HOST": "127.0.0.1", "DAGSTER_POSTGRES_PORT": str(self.postgres.port)}
        found = {
            name: self._placed(value) if value.startswith("/") else value for name, value in ours.items()
        }
        if "env_file" in said:
            found = {**self.pipeline, **found}
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(root()),
            "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
            **found,
        }

    def make(self) -> None:
        """The files of the image, and its folders."""
        for name in ("dagster.yaml", "workspace.yaml"):
            text = (FOLDER / name).read_text("utf-8").replace("host: code", "host: 127.0.0.1")
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(self._here(text), encoding="utf-8")
        for name in ("HOME", "AVAILABILITY_DATA_DIR", "DAGSTER_LOGS_DIR"):
            Path(self.environment("code")[name]).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """A service, from when its health check succeeds."""
        command = [self._here(word) for word in services()[service]["command"]]
        with (self.place / f"{service}.log").open("wb") as log, subprocess.Popen(
            command, cwd=self.home, env=self.environment(service), stdout=log, stderr=log, start_new_session=True
        ) as process:  # fmt: skip
            try:
                deadline = time.monotonic() + 240
                # Each look starts a Python: one that cannot succeed yet only keeps the service from starting.
                while not (self._has_begun(service) and self.healthy(service)):
                    assert process.poll() is None, f"{service} has ended"
                    assert time.monotonic() < deadline, f"{service} does not become healthy"
                    time.sleep(1)
                yield process
            finally:
                os.killpg(process.pid, signal.SIGKILL)

    def _has_begun(self, service: str) -> bool:
        """Whether the service's port takes connections, or one without a port has said that it runs."""
        port = {"code": self.code_port, "webserver": self.web_port}.get(service)
        if port is None:
            return b"configured with the following daemons" in (self.place / f"{service}.log").read_bytes()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def healthy(self, service: str) -> bool:
        """What the service's own health check says."""
        kind, *command = services()[service]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            [self._here(word) for word in command],
            cwd=self.home, env=self.environment(service), capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        return done.returncode == 0

    def _here(self, text: str) -> str:
        ports = {"0.0.0.0": "127.0.0.1", "4000": str(self.code_port), "3000": str(self.web_port)}  # noqa: S104
        return re.sub(r"\b(0\.0\.0\.0|4000|3000)\b", lambda match: ports[match[1]], text)

    def _placed(self, path: str) -> str:
        return f"{self.place}{path}"


def stack(place: Path, postgres: Server, pipeline: Mapping[str, str]) -> Stack:
    """The services on free ports, with their files."""
    made = Stack(place, postgres, free_port(), free_port(), pipeline)
    made.make()
    return made

"""What compose.yaml promises: nobody is root, nothing is written but to volumes, nothing is reachable from outside."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from availability_pipeline.settings import VARIABLES
from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.deploy.commands import understood
from availability_pipeline_tests.deploy.stack import FOLDER, image_environment, instructions, services

DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = services()
OURS = [name for name in SERVICES if name != "postgres"]

every_service = pytest.mark.parametrize("name", SERVICES)
every_one_of_ours = pytest.mark.parametrize("name", OURS)


def test_there_is_what_a_team_needs() -> None:
    assert set(SERVICES) == {"postgres", "code", "daemon", "webserver"}


@every_service
def test_nobody_is_root_and_nobody_becomes_it(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode"} & set(service)


@every_service
def test_the_root_file_system_is_read_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    written = [entry.split(":")[0] for entry in service["tmpfs"]]
    written += [entry.split(":")[1] for entry in service.get("volumes", ())]
    assert all(PurePosixPath(path).is_absolute() for path in written)
    assert "/tmp" in written  # noqa: S108


@every_one_of_ours
def test_what_is_written_to_is_in_the_image_and_its_users(name: str) -> None:
    service = SERVICES[name]
    [made] = [rest for keyword, rest in instructions() if keyword == "RUN" and rest.startswith("install -d")]
    owner, group = service["user"].split(":")
    assert f"-o {owner} -g {group} " in made
    assert {entry.split(":")[1] for entry in service.get("volumes", ())} <= set(made.split())
    assert ("USER", service["user"]) in instructions()


@every_one_of_ours
def test_folders_that_the_environment_names_can_be_written_to(name: str) -> None:
    service = SERVICES[name]
    environment = image_environment() | service["environment"]
    places = ["/tmp", *(entry.split(":")[1] for entry in service.get("volumes", ()))]  # noqa: S108
    needed = ["HOME", "DAGSTER_LOCAL_DIR"]
    needed += {"code": ["AVAILABILITY_DATA_DIR", "DAGSTER_LOGS_DIR"], "webserver": ["DAGSTER_LOGS_DIR"]}.get(
        name, []
    )
    for variable in needed:
        assert any(PurePosixPath(environment[variable]).is_relative_to(place) for place in places), variable


@every_service
def test_it_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} == set(service["healthcheck"])
    for other, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@every_service
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image.endswith(":${IMAGE_TAG:?set it in .env}") or re.fullmatch(r"postgres:\d+\.\d+-\w+", image)


def test_only_the_web_server_is_reachable_and_from_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"webserver": ["127.0.0.1:3000:3000"]}


def test_records_and_daemon_have_no_way_out() -> None:
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    networks = {name: service["networks"] for name, service in SERVICES.items()}
    assert networks["postgres"] == networks["daemon"] == ["inside"]
    assert networks["code"] == networks["webserver"] == ["inside", "outside"]
    assert {network for names in networks.values() for network in names} == set(DOCUMENT["networks"])


def test_the_volumes_that_are_mounted_are_there() -> None:
    mounted = {entry.split(":")[0] for service in SERVICES.values() for entry in service.get("volumes", ())}
    assert mounted == set(DOCUMENT["volumes"])


def test_the_password_and_the_tag_have_no_default() -> None:
    asked = set(re.findall(r"\$\{(\w+)([^}]*)\}", (FOLDER / "compose.yaml").read_text("utf-8")))
    assert asked == {(name, ":?set it in .env") for name in ("IMAGE_TAG", "DAGSTER_POSTGRES_PASSWORD")}
    example = (FOLDER / ".env.example").read_text(encoding="utf-8")
    assert dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE)) == {
        "IMAGE_TAG": "", "DAGSTER_POSTGRES_PASSWORD": "",
    }  # fmt: skip


@every_one_of_ours
def test_variables_are_those_that_are_read(name: str) -> None:
    environment = SERVICES[name]["environment"]
    asked = re.findall(r"env: (DAGSTER_\w+)", (FOLDER / "dagster.yaml").read_text("utf-8"))
    assert set(asked) <= set(environment) | set(image_environment())
    pipeline = {variable for variable in environment if variable.startswith("AVAILABILITY_")}
    assert pipeline <= {variable for variable, _ in VARIABLES.values()}
    assert bool(pipeline) is (name == "code") is ("env_file" in SERVICES[name])


def test_the_example_of_settings_has_settings() -> None:
    text = (ROOT / "deploy" / "pipeline.env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?(\w+)=", text, re.MULTILINE))
    assert "AVAILABILITY_ALERT_URLS" in named
    known = {variable for variable, _ in VARIABLES.values()} | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert named <= known


@every_one_of_ours
def test_commands_and_health_checks_are_understood(name: str) -> None:
    assert understood(SERVICES[name]["command"])
    kind, *check = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD"
    assert check[0] == "python" or understood(check)


def test_the_code_is_found_where_it_is_served() -> None:
    [location] = yaml.safe_load((FOLDER / "workspace.yaml").read_text("utf-8"))["load_from"]
    command = SERVICES[location["grpc_server"]["host"]]["command"]
    assert command[command.index("--port") + 1] == str(location["grpc_server"]["port"])
    checkout = yaml.safe_load((ROOT / "workspace.yaml").read_text("utf-8"))["load_from"][0]["python_module"]
    assert command[command.index("--module-name") + 1] == checkout["module_name"]
    assert location["grpc_server"]["location_name"] == checkout["location_name"]


def test_a_restarted_code_server_knows_its_runs_again() -> None:
    assert SERVICES["code"]["hostname"] == "code"

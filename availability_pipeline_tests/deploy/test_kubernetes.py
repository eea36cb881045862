"""The values for Dagster's Helm chart: the pods of runs that Dagster makes of them, and that they fit the code server.

The chart is not at hand here; what its templates make of these values is repeated in `launcher` and `context`.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

from availability_pipeline.settings import VARIABLES
from availability_pipeline_tests.conftest import ROOT
from availability_pipeline_tests.deploy.commands import understood

FOLDER = ROOT / "deploy" / "kubernetes"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((FOLDER / "manifests.yaml").read_text(encoding="utf-8"))
)
[CODE] = VALUES["dagster-user-deployments"]["deployments"]
NOWHERE = {
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {}}],
    "contexts": [{"name": "n", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "n",
}
"""A cluster that is never asked."""


def launcher() -> dict[str, Any]:
    """The run launcher's part of the chart's dagster.yaml."""
    said = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    pods = said["runK8sConfig"]
    assert set(said) == {"imagePullPolicy", "securityContext", "runK8sConfig"}
    return {
        "service_account_name": "availability-dagster",
        "instance_config_map": "availability-dagster-instance",
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
        "dagster_home": "/opt/dagster/dagster_home",
        "job_namespace": "default",
        "image_pull_policy": said["imagePullPolicy"],
        "security_context": said["securityContext"],
        "run_k8s_config": {
            "pod_spec_config": pods["podSpecConfig"],
            "job_spec_config": pods["jobSpecConfig"],
        },
    }


def context() -> dict[str, Any]:
    """What the chart tells the code server of itself, for the runs that are made from its code."""
    return {
        "k8s": {
            "image_pull_policy": CODE["image"]["pullPolicy"],
            "env_secrets": [secret["name"] for secret in CODE["envSecrets"]],
            "volume_mounts": CODE["volumeMounts"],
            "volumes": CODE["volumes"],
            "resources": CODE["resources"],
            "env": CODE["env"],
            "run_k8s_config": {"pod_spec_config": {"security_context": CODE["podSecurityContext"]}},
        }
    }


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pod of a run, as it would be sent to the cluster."""
    config = tmp_path_factory.mktemp("kubernetes") / "config"
    config.write_text(yaml.safe_dump(NOWHERE), encoding="utf-8")
    made = K8sRunLauncher(**launcher(), load_incluster_config=False, kubeconfig_file=str(config))
    ours = K8sContainerContext(
        security_context=made.security_context,
        run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(made.run_k8s_config),
    ).merge(K8sContainerContext.create_from_config(context()))
    job = construct_dagster_k8s_job(
        ours.get_k8s_job_config(f"{CODE['image']['repository']}:{CODE['image']['tag']}", made),
        ["dagster", "api", "execute_run"],
        "dagster-run-1",
        user_defined_k8s_config=ours.run_k8s_config,
    )
    spec: dict[str, Any] = job.to_dict()["spec"]["template"]["spec"]
    return spec


def test_dagster_takes_what_is_said_of_its_launcher() -> None:
    schema = resolve_to_config_type(K8sRunLauncher.config_type())
    assert process_config(schema, launcher()).success
    assert not process_config(schema, {**launcher(), "securityContext": {}}).success


def test_a_run_has_what_the_code_server_has(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    assert container["image"] == f"{CODE['image']['repository']}:{CODE['image']['tag']}"
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert {entry["name"]: entry["value"] for entry in CODE["env"]}.items() <= environment.items()
    assert {source["secret_ref"]["name"] for source in container["env_from"] if source["secret_ref"]} == {
        "availability-secrets"
    }
    assert container["resources"]["limits"] == CODE["resources"]["limits"]


def test_a_run_has_the_data(pod: dict[str, Any]) -> None:
    claims = [v["persistent_volume_claim"] for v in pod["volumes"] if v["persistent_volume_claim"]]
    assert [claim["claim_name"] for claim in claims] == [MANIFESTS[0]["metadata"]["name"]]
    mounts = {mount["mount_path"] for mount in pod["containers"][0]["volume_mounts"]}
    environment = {entry["name"]: entry["value"] for entry in CODE["env"]}
    assert {environment["AVAILABILITY_DATA_DIR"], "/tmp"} <= mounts  # noqa: S108


def test_a_run_is_where_the_volume_is(pod: dict[str, Any]) -> None:
    assert MANIFESTS[0]["spec"]["accessModes"] == ["ReadWriteOnce"]
    [term] = pod["affinity"]["pod_affinity"]["required_during_scheduling_ignored_during_execution"]
    assert term["topology_key"] == "kubernetes.io/hostname"
    assert term["label_selector"]["match_labels"]["deployment"] == CODE["name"]


def test_a_run_is_not_root(pod: dict[str, Any]) -> None:
    assert pod["security_context"]["run_as_non_root"] is True
    assert pod["security_context"]["run_as_user"] == 10001
    security = pod["containers"][0]["security_context"]
    assert security["read_only_root_filesystem"] is True
    assert security["allow_privilege_escalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize("part", [CODE, VALUES["dagsterDaemon"], VALUES["dagsterWebserver"]])
def test_nothing_else_is_root_either(part: dict[str, Any]) -> None:
    assert part["podSecurityContext"] == CODE["podSecurityContext"]
    assert part["securityContext"] == VALUES["runLauncher"]["config"]["k8sRunLauncher"]["securityContext"]
    assert part["image"] == CODE["image"]
    assert "/tmp" in {mount["mountPath"] for mount in part["volumeMounts"]}  # noqa: S108
    assert {mount["name"] for mount in part["volumeMounts"]} == {volume["name"] for volume in part["volumes"]}
    assert part["resources"]["limits"]["memory"]


def test_variables_and_commands_exist() -> None:
    assert {entry["name"] for entry in CODE["env"]} <= {variable for variable, _ in VARIABLES.values()}
    assert understood(["dagster", "api", "grpc", "--port", str(CODE["port"]), *CODE["dagsterApiGrpcArgs"]])
    for probe in ("livenessProbe", "startupProbe"):
        assert understood(VALUES["dagsterDaemon"][probe]["exec"]["command"])


def test_nothing_is_reachable_from_outside_and_no_password_is_written_down() -> None:
    assert VALUES["ingress"] == {"enabled": False}
    assert VALUES["dagsterWebserver"]["service"] == {"type": "ClusterIP", "port": 3000}
    assert VALUES["generatePostgresqlPasswordSecret"] is False
    text = "".join(path.read_text(encoding="utf-8").lower() for path in FOLDER.iterdir())
    assert "postgresqlpassword:" not in text
    assert "secret_access_key" not in text


def test_only_pods_of_the_release_reach_the_code_server() -> None:
    [policy] = [manifest["spec"] for manifest in MANIFESTS if manifest["kind"] == "NetworkPolicy"]
    assert policy["podSelector"]["matchLabels"]["deployment"] == CODE["name"]
    assert policy["policyTypes"] == ["Ingress"]
    [rule] = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": CODE["port"]}]
    assert "podSelector" in rule["from"][0]


def test_the_scheme_of_the_records_is_that_of_the_containers() -> None:
    containers = yaml.safe_load((ROOT / "deploy" / "docker" / "dagster.yaml").read_text(encoding="utf-8"))
    scheme = containers["storage"]["postgres"]["postgres_db"]["scheme"]
    assert VALUES["postgresql"]["postgresqlScheme"] == scheme
    assert VALUES["postgresql"]["enabled"] is False

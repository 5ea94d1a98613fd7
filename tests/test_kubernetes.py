"""The files of kubernetes/ are valid, and run what docker-compose.yaml runs, as confined and with no more secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "kubernetes"
TEXTS = {path.name: path.read_text() for path in sorted(FOLDER.iterdir())}
MANIFESTS = {name: list(yaml.safe_load_all(text)) for name, text in TEXTS.items() if name != "values.yaml"}
VALUES: dict[str, Any] = yaml.safe_load(TEXTS["values.yaml"])
SETTINGS: dict[str, str] = MANIFESTS["settings.yaml"][0]["data"]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
PAGE = (ROOT / "docs" / "how-to" / "running_on_kubernetes.md").read_text()
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest version of Kubernetes that the page names."""
COMPONENTS = {
    "scheduler": "scheduler",
    "dagProcessor": "dag-processor",
    "triggerer": "triggerer",
    "apiServer": "api-server",
}
"""The section of the chart's values -> the service of Compose."""
WORKERS = VALUES["workers"]["celery"]
SETS = {each["name"]: each for each in WORKERS["sets"]}
SLOTS = {"pulls": "TRIBUTARY_PULL_SLOTS", "loads": "TRIBUTARY_LOAD_SLOTS"}
"""The set of workers -> its slots."""
INIT = ["dumb-init", "--single-child"]

DIFFERENT = {
    "AIRFLOW__CORE__EXECUTOR": "tasks run in workers",
    "AIRFLOW__CORE__PARALLELISM": "the sum of the slots",
    "TRIBUTARY_PULL_SLOTS": "those of all workers that can be added",
    "TRIBUTARY_LOAD_SLOTS": "those of all workers that can be added",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "a worker may wait for a node",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "where the chart mounts the pod's own logs",
    "AIRFLOW__API__BASE_URL": "the firm's host",
    "TRIBUTARY_GO_LIVE": "the firm's date",
}
ONLY_HERE = {"TRIBUTARY_HOST", "TRIBUTARY_WEBHOOKS_URL"} | {
    f"TRIBUTARY_OIDC_{name}"
    for name in ("ISSUER", "CLIENT_ID", "SCOPES", "USER_CLAIM", "GROUPS_CLAIM", "ROLES", "ACR", "AMR")
}
"""Settings that Compose has elsewhere: the proxy, and the services that use them."""
SECRET = {
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
}
"""Settings that the chart reads from Secrets."""


def settings(service: str) -> dict[str, str]:
    """Return a service's environment in Compose with the defaults of an empty .env."""
    environment = SERVICES[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in environment.items()}


def find_pods(documents: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the pod of each Deployment and Job."""
    for each in documents:
        if each["kind"] in ("Deployment", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def find_secret_keys(node: Any) -> Iterator[tuple[str, str]]:
    """Yield the names and keys of Secrets from which environment variables are read."""
    if isinstance(node, dict):
        if "secretKeyRef" in node:
            yield node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]
        for value in node.values():
            yield from find_secret_keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from find_secret_keys(value)


def read_rows(heading: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each name in the first column of a table of the page, and what the second column has in backticks."""
    table = PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0]
    names: list[str] = []
    for first, second in re.findall(r"^\| (.*?) ?\| (.*?) \|", table, re.MULTILINE):
        names = re.findall(r"`([\w-]+)`", first) or names
        for name in names:
            yield name, set(re.findall(r"`([\w.-]+)`", second))


def list_secrets() -> dict[str, set[str]]:
    """Return the keys of each Secret that the page has the firm create."""
    keys: dict[str, set[str]] = {}
    for name, second in read_rows("## Secrets"):
        keys.setdefault(name, set()).update(second)
    return keys


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_knows_every_field(name: str, version: str) -> None:
    assert f"Kubernetes {VERSIONS[0]} and {VERSIONS[1]}" in PAGE
    for document in MANIFESTS[name]:
        kubernetes_validate.validate(document, version, strict=True)


# --- the same as Compose ---


def test_the_settings_are_those_of_compose() -> None:
    compose = {name: value for name, value in settings("dag-processor").items() if not name.startswith("AIRFLOW_CONN_")}
    assert SETTINGS.keys() - compose.keys() == ONLY_HERE
    assert compose.keys() - SETTINGS.keys() == SECRET
    assert {name for name in SETTINGS.keys() & compose.keys() if SETTINGS[name] != compose[name]} == DIFFERENT.keys()
    assert SETTINGS["AIRFLOW_HOME"] == VALUES["airflowHome"]
    assert VALUES["extraEnvFrom"] == "- configMapRef: {name: tributary-settings}\n"


def test_the_sign_on_has_the_defaults_of_compose() -> None:
    compose = settings("api-server")
    names = {name for name in SETTINGS if "OIDC" in name}
    assert {name: SETTINGS[name] for name in names} == {name: compose[name] for name in names}


@pytest.mark.parametrize("section", COMPONENTS)
def test_a_component_runs_the_command_and_the_check_of_compose(section: str) -> None:
    service, values = SERVICES[COMPONENTS[section]], VALUES[section]
    assert values["args"] == [*INIT, *service["command"]]
    if section == "apiServer":  # the chart asks it over HTTP; Airflow's own probe does not depend on the database
        assert values["livenessProbe"]["scheme"] == values["readinessProbe"]["scheme"] == "HTTPS"
        return
    assert values["livenessProbe"]["command"] == service["healthcheck"]["test"][1:]
    assert values["livenessProbe"]["timeoutSeconds"] >= int(service["healthcheck"]["timeout"].removesuffix("s"))


@pytest.mark.parametrize("name", SETS)
def test_a_worker_runs_the_command_and_the_check_of_compose_for_its_queue(name: str) -> None:
    service = SERVICES[f"worker-{name}"]
    values = {"workers.queue": SETS[name]["queue"], "config.celery.worker_concurrency": service["command"][-1]}
    args = [re.sub(r"^{{ \.Values\.([\w.]+) }}$", lambda found: values[found[1]], each) for each in WORKERS["args"]]
    assert args == [*INIT, *service["command"]]
    assert WORKERS["livenessProbe"]["command"] == service["healthcheck"]["test"][1:]
    assert WORKERS["livenessProbe"]["timeoutSeconds"] >= int(service["healthcheck"]["timeout"].removesuffix("s"))


@pytest.mark.parametrize("name", SETS)
def test_a_worker_that_ends_has_the_time_of_compose(name: str) -> None:
    minutes = int(SERVICES[f"worker-{name}"]["stop_grace_period"].removesuffix("m"))
    assert SETS[name]["terminationGracePeriodSeconds"] == minutes * 60


@pytest.mark.parametrize("section", COMPONENTS)
def test_a_component_knows_no_more_than_in_compose(section: str) -> None:
    here = {each["name"]: each.get("value") for each in VALUES[section].get("env", [])}
    compose = settings(COMPONENTS[section])
    if section == "scheduler":  # it runs no tasks
        assert here == {}
    else:
        assert here.keys() - SETTINGS.keys() == compose.keys() - SETTINGS.keys() - SECRET
    different = {name: value for name, value in here.items() if name in SETTINGS}
    assert different == {name: compose[name] for name in different}


def test_the_dag_processor_can_send_alerts() -> None:
    assert set(find_secret_keys(VALUES["dagProcessor"])) == {("tributary-alerts", "connection")}


def test_the_triggerer_moves_no_logs() -> None:
    """It has no key of staging."""
    assert settings("triggerer")["AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS"] == ""
    assert {"name": "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS", "value": ""} in VALUES["triggerer"]["env"]
    assert "tributary-staging" not in {name for name, _ in find_secret_keys(VALUES["triggerer"])}


def test_workers_have_every_connection_of_compose_and_a_line_for_a_vendor() -> None:
    here = {each["name"] for each in WORKERS["env"]}
    compose = settings("worker-loads").keys() - SETTINGS.keys() - SECRET
    example = re.findall(r"^(AIRFLOW_CONN_\w+)=", (ROOT / "connections.env.example").read_text(), re.MULTILINE)
    assert here == {*compose, *example}


def test_the_gateway_is_that_of_compose() -> None:
    [(_, pod)] = find_pods(MANIFESTS["gateway.yaml"])
    [container] = pod["containers"]
    assert container["command"] == [part.replace("/certificates/", "/tls/") for part in SERVICES["gateway"]["command"]]
    assert {each["name"] for each in container["env"]} == settings("gateway").keys()
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": "https", "scheme": "HTTPS"}
    assert container["ports"] == [{"name": "https", "containerPort": 8090}]
    assert "https://localhost:8090/health" in SERVICES["gateway"]["healthcheck"]["test"][-1]


def test_the_migration_is_that_of_compose() -> None:
    [(_, pod)] = find_pods(MANIFESTS["migrate.yaml"])
    [container] = pod["containers"]
    assert container["command"] == SERVICES["init"]["command"]
    here = {*SETTINGS, *(each["name"] for each in container["env"]), *list_secrets()["tributary-migrate"]}
    # It starts no server and no task.
    unused = SECRET - here | {"TRIBUTARY_OIDC_CLIENT_SECRET"}
    assert here - ONLY_HERE == settings("init").keys() - ONLY_HERE - unused


def test_the_proxy_reaches_what_the_caddyfile_names() -> None:
    caddyfile = (ROOT / "docker" / "Caddyfile").read_text()
    services = {each["metadata"]["name"]: each["spec"] for name in ("gateway.yaml", "proxy.yaml")
                for each in MANIFESTS[name] if each["kind"] == "Service"}  # fmt: skip
    upstreams = set(re.findall(r"https://([\w-]+):(\d+)", caddyfile))
    assert {(name, str(spec["ports"][0]["port"])) for name, spec in services.items() if name != "proxy"} == upstreams
    assert {each["targetPort"] for each in services["proxy"]["ports"]} == {"http", "https"}
    [(_, pod)] = find_pods(MANIFESTS["proxy.yaml"])
    [container] = pod["containers"]
    assert container["image"] == SERVICES["proxy"]["image"]
    assert {each["name"] for each in container["env"]} == settings("proxy").keys()
    assert {each["containerPort"] for each in container["ports"]} == {8443, 8080}
    assert container["readinessProbe"]["exec"]["command"] == SERVICES["proxy"]["healthcheck"]["test"][1:]
    assert "create configmap tributary-proxy --from-file docker/Caddyfile" in PAGE


def test_every_file_has_the_same_image() -> None:
    image = VALUES["images"]["airflow"]
    images = {c["image"] for name in ("gateway.yaml", "migrate.yaml") for _, pod in find_pods(MANIFESTS[name]) for c in pod["containers"]}  # fmt: skip
    assert images == {f"{image['repository']}:{image['tag']}"}
    assert not any(re.search(r"\blatest\b", text) for text in TEXTS.values())


# --- work ---


@pytest.mark.parametrize("name", SETS)
def test_a_pool_has_as_many_slots_as_all_workers_of_its_queue(name: str) -> None:
    """Otherwise a task waits in Redis, and after a while counts as lost."""
    slots = SETS[name]["keda"]["maxReplicaCount"] * VALUES["config"]["celery"]["worker_concurrency"]
    assert SETTINGS[SLOTS[name]] == str(slots)


def test_one_scheduler_can_fill_all_slots() -> None:
    assert int(SETTINGS["AIRFLOW__CORE__PARALLELISM"]) == sum(int(SETTINGS[name]) for name in SLOTS.values())


def test_every_queue_has_one_set_of_workers_and_the_default_one_is_never_without() -> None:
    assert {name: each["queue"] for name, each in SETS.items()} == {"pulls": "pulls", "loads": "loads"}
    assert SETS[SETTINGS["AIRFLOW__OPERATORS__DEFAULT_QUEUE"]]["keda"]["minReplicaCount"] == 1
    assert not WORKERS["enableDefault"]


# --- secrets ---


def test_no_file_has_a_secret() -> None:
    documents = [VALUES, *(each for documents in MANIFESTS.values() for each in documents)]
    assert "Secret" not in {each.get("kind") for each in documents}
    pattern = re.compile(r"PASSWORD|SECRETS?$|_KEYS?$|BROKER|RESULT_BACKEND|SQL_ALCHEMY|CONN_|DATABASE$|REDIS")
    assert [name for name in SETTINGS if pattern.search(name)] == []
    variables = [
        *(each for section in [*COMPONENTS, "pgbouncer"] for each in VALUES[section].get("env", [])),
        *WORKERS["env"],
        *(each for documents in MANIFESTS.values() for _, pod in find_pods(documents) for c in pod["containers"] for each in c["env"]),
    ]  # fmt: skip
    plain = {each["name"]: each["value"] for each in variables if "value" in each and pattern.search(each["name"])}
    assert plain == {"AIRFLOW__API__SSL_KEY": "/tls/tls.key"}  # a path
    assert not any(re.search(r"://[^/\s]+:[^/\s]+@", text) for text in TEXTS.values())


def test_the_page_names_every_secret_with_its_keys() -> None:
    listed = list_secrets()
    used = {
        *find_secret_keys(VALUES),
        *(each for documents in MANIFESTS.values() for each in find_secret_keys(documents)),
    }
    assert len(used) == 19
    assert {(name, key) for name, key in used if key not in listed[name]} == set()
    mounted = {name for text in TEXTS.values() for name in re.findall(r"secretName: ([\w-]+)", text)}
    assert mounted == {name for name, _ in read_rows("## Certificates")}


def test_only_the_migration_has_the_administrator_s_login() -> None:
    users = [name for name, text in TEXTS.items() if "name: tributary-migrate}" in text]
    assert users == ["migrate.yaml"]


# --- what a process may do ---


def check_confined(name: str, pod: dict[str, Any], uid: int) -> None:
    """Check a pod as the pod security standard `restricted` does, and that it can't write to its image."""
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, uid), name
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
    added = {"add": ["NET_BIND_SERVICE"]} if name == "proxy" else {}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]} | added}  # fmt: skip
        assert container["securityContext"] == confined, name
        assert {"cpu", "memory"} == container["resources"]["requests"].keys(), name
        assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize(("name", "uid"), [("gateway.yaml", 10001), ("migrate.yaml", 10001), ("proxy.yaml", 10002)])
def test_a_pod_is_confined(name: str, uid: int) -> None:
    for pod_name, pod in find_pods(MANIFESTS[name]):
        check_confined(pod_name, pod, uid)
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


@pytest.mark.parametrize("name", ["gateway.yaml", "proxy.yaml"])
def test_a_server_survives_the_loss_of_a_node_and_ends_gracefully(name: str) -> None:
    [deployment] = [each for each in MANIFESTS[name] if each["kind"] == "Deployment"]
    [budget] = [each for each in MANIFESTS[name] if each["kind"] == "PodDisruptionBudget"]
    spec = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"] == {"maxUnavailable": 1, "selector": deployment["spec"]["selector"]}
    zones = {each["topologyKey"] for each in spec["topologySpreadConstraints"]}
    assert zones == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause + 10  # the gateway's own limit, timeout_graceful_shutdown

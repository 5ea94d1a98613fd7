"""Airflow's chart makes of kubernetes/values.yaml what it should. Only where Helm is, and AIRFLOW_CHART is the path of the chart."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.test_kubernetes import (
    COMPONENTS,
    FOLDER,
    PAGE,
    SECRET,
    SETS,
    VALUES,
    VERSIONS,
    WORKERS,
    check_confined,
    find_pods,
    find_secret_keys,
    list_secrets,
)


def run_helm(*command: str, options: Sequence[str] = ()) -> list[Any]:
    """Return the documents that a command of Helm prints about the chart. Skip the test without Helm or the chart."""
    helm, chart = shutil.which("helm"), os.environ.get("AIRFLOW_CHART")
    if not helm or not chart:
        pytest.skip("helm is not here, or AIRFLOW_CHART does not name Airflow's chart")
    done = subprocess.run([helm, *command, chart, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def render(*options: str) -> list[Any]:
    """Return what the chart makes of the values."""
    return run_helm("template", "tributary", options=["--values", str(FOLDER / "values.yaml"), *options])


def find_unknown(values: dict[str, Any], defaults: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the keys of values that the chart does not have. A default that is empty may get any keys."""
    for key, value in values.items():
        if key not in defaults:
            yield f"{path}{key}"
        elif isinstance(value, dict) and defaults[key]:
            yield from find_unknown(value, defaults[key], f"{path}{key}.")


def test_the_chart_has_every_key_of_the_values() -> None:
    """Its schema accepts unknown keys at the top."""
    [chart] = run_helm("show", "chart")
    assert f"--version {chart['version']} " in PAGE
    [defaults] = run_helm("show", "values")
    assert list(find_unknown(VALUES, defaults)) == []
    workers = defaults["workers"]["celery"] | {"name": ""}
    assert [key for each in WORKERS["sets"] for key in find_unknown(each, workers)] == []


@pytest.fixture(scope="module")
def rendered() -> list[Any]:
    return render()


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field_of_the_rendered_chart(rendered: list[Any], version: str) -> None:
    known = [each for each in rendered if each["apiVersion"] != "keda.sh/v1alpha1"]
    assert len(known) < len(rendered)
    for document in known:
        kubernetes_validate.validate(document, version, strict=True)


def test_every_rendered_pod_is_confined(rendered: list[Any]) -> None:
    pods = dict(find_pods(rendered))
    sets = {f"tributary-worker-{name}" for name in SETS}
    assert pods.keys() == sets | {f"tributary-{name}" for name in (*COMPONENTS.values(), "pgbouncer")}
    for name, pod in pods.items():
        check_confined(name, pod, 65534 if name == "tributary-pgbouncer" else 10001)
    accounts = {each["metadata"]["name"]: each for each in rendered if each["kind"] == "ServiceAccount"}
    used = {accounts[pod["serviceAccountName"]]["automountServiceAccountToken"] for pod in pods.values()}
    assert used == {False}


def test_every_rendered_variable_comes_from_a_secret_that_the_page_names(rendered: list[Any]) -> None:
    listed = list_secrets()
    assert "Secret" not in {each["kind"] for each in rendered}
    for name, pod in find_pods(rendered):
        if name != "tributary-pgbouncer":
            [container] = pod["containers"]
            assert {each["name"] for each in container["env"]} >= SECRET - {"AIRFLOW__API_AUTH__JWT_SECRET"}, name
        unknown = {(secret, key) for secret, key in find_secret_keys(pod) if key not in listed[secret]}
        assert unknown == set(), name


def test_every_rendered_pod_imports_the_module_of_settings_in_the_image(rendered: list[Any]) -> None:
    """Python imports the first `airflow_local_settings.py` in its path, which begins with the image's PYTHONPATH."""
    for name, pod in find_pods(rendered):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert "PYTHONPATH" not in {each["name"] for each in container.get("env", [])}, name
            paths = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
            assert [path for path in paths if path.endswith(".py") or path.startswith("/opt/tributary")] == [], name


@pytest.mark.parametrize("name", SETS)
def test_a_rendered_worker_has_its_own_queue_slots_size_and_grace(rendered: list[Any], name: str) -> None:
    [pod] = [pod for pod_name, pod in find_pods(rendered) if pod_name == f"tributary-worker-{name}"]
    [container] = pod["containers"]
    concurrency = str(VALUES["config"]["celery"]["worker_concurrency"])
    assert container["args"][-4:] == ["--queues", name, "--concurrency", concurrency]
    assert {"name": "DUMB_INIT_SETSID", "value": "0"} in container["env"]  # SIGTERM reaches the worker, not its group
    assert "lifecycle" not in container
    assert pod["terminationGracePeriodSeconds"] == SETS[name]["terminationGracePeriodSeconds"]
    [scaled] = [each["spec"] for each in rendered if each["metadata"]["name"] == f"tributary-worker-{name}" and each["kind"] == "ScaledObject"]  # fmt: skip
    assert scaled["maxReplicaCount"] == SETS[name]["keda"]["maxReplicaCount"]
    query = scaled["triggers"][0]["metadata"]["query"]
    assert f"/ {concurrency})" in query
    assert query.endswith(f"queue IN ('{name}')")


def test_the_rendered_triggerer_overrides_the_setting_of_logs(rendered: list[Any]) -> None:
    """The chart leaves out an empty value. Kubernetes sets a variable without a value to the empty string, also if the settings have it."""
    [pod] = [pod for name, pod in find_pods(rendered) if name == "tributary-triggerer"]
    [variable] = [each for each in pod["containers"][0]["env"] if each["name"] == "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS"]  # fmt: skip
    assert variable.keys() == {"name"}


def test_a_rendered_pod_is_in_one_disruption_budget_at_most(rendered: list[Any]) -> None:
    """Kubernetes moves no pod that is in two, so its node can't be drained."""
    budgets = [each["spec"]["selector"]["matchLabels"].items() for each in rendered if each["kind"] == "PodDisruptionBudget"]  # fmt: skip
    labels = [each["spec"]["template"]["metadata"]["labels"].items() for each in rendered if each["kind"] == "Deployment"]  # fmt: skip
    assert {sum(budget <= each for budget in budgets) for each in labels} == {0, 1}


def test_the_stop_before_an_upgrade_stops_every_component() -> None:
    [step] = re.findall(r"helm upgrade tributary [^`]*?(--set [^`]*?)\n +kubectl scale", PAGE)
    stopped = render(*step.replace("\\", "").split())
    replicas = {each["metadata"]["name"]: each["spec"]["replicas"] for each in stopped if each["kind"] == "Deployment"}
    assert replicas.pop("tributary-pgbouncer") == 2
    assert len(replicas) == 6
    assert set(replicas.values()) == {0}
    assert not [each for each in stopped if each["apiVersion"] == "keda.sh/v1alpha1"]

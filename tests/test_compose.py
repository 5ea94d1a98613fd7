"""The production shape runs Airflow as the demo does, and exposes no other endpoint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from include import watchdog
from include.warehouse import schema
from local import airflow
from tests.compose_file import EXAMPLE, ROOT, SERVICES, WORKERS, settings

COMMAND_ENDS = {"api-server": ["--proxy-headers"]}
"""The API server is behind a proxy that terminates TLS, and must trust its header that the browser used https."""

DIFFERENT = {
    "AIRFLOW__CORE__DAGS_FOLDER": "place in the image",
    "AIRFLOW__CORE__PLUGINS_FOLDER": "place in the image",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "a volume that those who read logs share",
    "AIRFLOW__CORE__PARALLELISM": "as many as the host carries",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "another container",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "another container, a role of its own",
    "AIRFLOW__API__HOST": "the container's own address",
    "AIRFLOW__API__PORT": "the container's own port",
    "AIRFLOW__API__BASE_URL": "the proxy's name",
    "AIRFLOW__CORE__FERNET_KEY": "secret",
    "AIRFLOW__API__SECRET_KEY": "secret",
    "AIRFLOW__API_AUTH__JWT_SECRET": "secret",
}
ONLY_DEMO = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"}
OF_SERVER = {"AIRFLOW__CORE__PLUGINS_FOLDER"}
ONLY_HERE = {
    "AIRFLOW__API__SSL_CA_FILE",
    "AIRFLOW__CORE__AUTH_MANAGER",
    "AIRFLOW__FAB__CONFIG_FILE",
    "AIRFLOW__FAB__COOKIE_SECURE",
    "AIRFLOW__FAB__SESSION_LIFETIME_MINUTES",
    "AIRFLOW__FAB__SESSION_MAX_LIFETIME_MINUTES",
    "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS",
    "AIRFLOW__OPERATORS__DEFAULT_QUEUE",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    environment = airflow.environment(tmp_path_factory.mktemp("home"), "postgresql://u:p@127.0.0.1:1/a", 8080, ROOT)
    return {name: value for name, value in environment.items() if name.startswith("AIRFLOW__")}


@pytest.mark.parametrize("name", airflow.COMPONENTS)
def test_a_component_runs_the_demos_command(name: str) -> None:
    assert SERVICES[name]["command"] == ["airflow", *airflow.COMPONENTS[name], *COMMAND_ENDS.get(name, [])]


@pytest.mark.parametrize("name", [*airflow.COMPONENTS, *WORKERS.values()])
def test_the_health_check_of_a_component_ends_it_if_it_hangs(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    component = "worker" if name in WORKERS.values() else name
    assert check["test"] == ["CMD", "python", "-m", "include.watchdog", component, "--end-children-of", "1"]
    assert SERVICES[name]["init"]  # the first process of the container, so that the component is its child
    last_check = watchdog.PING_SECONDS if component == "worker" else watchdog.POLL_SECONDS
    assert float(check["timeout"].removesuffix("s")) > watchdog.HANG_SECONDS + watchdog.POLL_SECONDS + last_check


def test_a_worker_of_loads_is_not_killed_before_a_transaction_ends() -> None:
    longest = schema.list_settings("tributary_load")["transaction_timeout"]
    assert SERVICES["worker-loads"]["stop_grace_period"] == longest.removesuffix("in")


@pytest.mark.parametrize(("queue", "name"), WORKERS.items())
def test_a_worker_has_as_many_slots_as_the_pool_of_its_queue(queue: str, name: str) -> None:
    """Otherwise tasks wait in Redis, and those that wait longer than the time for lost messages are queued again."""
    variable = f"TRIBUTARY_{queue.removesuffix('s').upper()}_SLOTS"
    slots = SERVICES["init"]["environment"][variable]
    assert SERVICES[name]["command"][3:] == ["--skip-serve-logs", "--queues", queue, "--concurrency", slots]
    pool = (
        "default_pool" if queue == SERVICES["scheduler"]["environment"]["AIRFLOW__OPERATORS__DEFAULT_QUEUE"] else queue
    )
    assert f'airflow pools set {pool} "${variable}"' in (ROOT / "docker" / "init.sh").read_text()
    assert int(settings("scheduler")["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"]) <= 300


def test_all_pools_together_have_no_more_slots_than_airflow_runs_tasks() -> None:
    here = settings("scheduler")
    slots = [f"TRIBUTARY_{queue}_SLOTS" for queue in ("PULL", "LOAD")]
    assert int(here["AIRFLOW__CORE__PARALLELISM"]) == sum(int(here[each]) for each in slots)
    assert int(EXAMPLE["TRIBUTARY_PARALLELISM"]) == sum(int(EXAMPLE[each]) for each in slots)


@pytest.mark.parametrize(("parallelism", "is_accepted"), [(16, True), (15, False)])
def test_fewer_tasks_at_once_than_slots_are_refused(tmp_path: Path, parallelism: int, is_accepted: bool) -> None:
    done = run_init(tmp_path, AIRFLOW__CORE__PARALLELISM=str(parallelism))
    assert (done.returncode == 9) == is_accepted
    assert ("TRIBUTARY_PULL_SLOTS + TRIBUTARY_LOAD_SLOTS = 16" in done.stderr) != is_accepted


@pytest.mark.parametrize("name", [*airflow.COMPONENTS, *WORKERS.values(), "init"])
def test_a_component_has_the_demos_settings(name: str, demo: dict[str, str]) -> None:
    here = {key: value for key, value in settings(name).items() if key.startswith("AIRFLOW__")}
    of_server = {f"AIRFLOW__API__SSL_{each}" for each in ("CERT", "KEY")} if name == "api-server" else set()
    assert here.keys() - demo.keys() == ONLY_HERE | of_server
    assert demo.keys() - here.keys() == ONLY_DEMO | (set() if name == "api-server" else OF_SERVER)
    assert {key for key in here.keys() & demo.keys() if here[key] != demo[key]} <= DIFFERENT.keys()


def run_init(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script of `init`, with valid settings unless others are given, up to its first command, which ends it with 9."""
    (folder / "python").write_text("#!/bin/sh\nexit 9\n")
    (folder / "python").chmod(0o755)
    valid = {
        "PATH": f"{folder}:{os.defpath}", "TRIBUTARY_GO_LIVE": (datetime.now(UTC).date() - timedelta(days=1)).isoformat(),
        **{name: settings("init")[name] for name in ("TRIBUTARY_PULL_SLOTS", "TRIBUTARY_LOAD_SLOTS", "AIRFLOW__CORE__PARALLELISM")},
    }  # fmt: skip
    command = ["sh", str(ROOT / "docker" / "init.sh")]
    return subprocess.run(command, env=valid | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("days", "is_accepted"), [(-1, True), (0, False), (30, False)])
def test_the_schedules_must_begin_on_a_date_before_today(tmp_path: Path, days: int, is_accepted: bool) -> None:
    """Otherwise a run that a user starts has no tasks, and succeeds, or no DAG can be read."""
    check_first_day(tmp_path, (datetime.now(UTC).date() + timedelta(days=days)).isoformat(), is_accepted)


@pytest.mark.parametrize("day", ["12/01/2025", "2025-1-5", "2025", "2025-02-30"])
def test_the_schedules_must_begin_on_a_date(tmp_path: Path, day: str) -> None:
    check_first_day(tmp_path, day, False)


def check_first_day(folder: Path, day: str, is_accepted: bool) -> None:
    done = run_init(folder, TRIBUTARY_GO_LIVE=day)
    assert (done.returncode == 9) == is_accepted
    assert ("must be a date before today" in done.stderr) != is_accepted


def test_airflow_treats_the_auth_manager_as_fab() -> None:
    # Airflow searches the setting for this name before it writes permissions of DAGs or deletes old sessions.
    name = settings("dag-processor")["AIRFLOW__CORE__AUTH_MANAGER"].removeprefix("tributary.sign_on.")
    assert "FabAuthManager" in name
    assert f"\nclass {name}(FabAuthManager):" in (ROOT / "plugins" / "tributary" / "sign_on.py").read_text()


def test_the_image_holds_the_settings_of_sign_on() -> None:
    # Without the file, FAB would silently use its defaults.
    path = settings("api-server")["AIRFLOW__FAB__CONFIG_FILE"].removeprefix("/opt/tributary/")
    assert (ROOT / path).exists()
    assert path in (ROOT / "Dockerfile").read_text()
    assert f"!{path}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_ports_are_bound_to_named_addresses_and_only_the_proxy_serves_people() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"proxy", "postgres"}
    assert all(re.match(r"\$\{TRIBUTARY_(DB_)?BIND:-127\.0\.0\.1\}:", port) for each in ports.values() for port in each)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"proxy-volume"}))
def test_a_service_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["restart"] == "no" if name in ("init", "certificates") else "healthcheck" in service


def test_every_variable_of_the_file_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert used == EXAMPLE.keys()


def test_the_image_manages_memory_as_the_demo_does() -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert {name: re.findall(rf"\b{name}=(\w+)", image) for name in airflow.MEMORY} == {
        name: [value] for name, value in airflow.MEMORY.items()
    }


def test_the_image_runs_unprivileged_and_contains_no_sandbox() -> None:
    assert re.findall(r"^USER (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["tributary"]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert not {"!sandbox", "!local"} & set(lines)


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    compose = _find_compose()
    if compose is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is here")
    example = tmp_path / ".env"
    example.write_text("".join(f"{name}={value or 'x'}\n" for name, value in EXAMPLE.items()))
    command = [*compose, "--env-file", str(example), "--profile", "celery", "--profile", "object-store", "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()


def test_compose_refuses_to_start_without_secrets() -> None:
    compose = _find_compose()
    if compose is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is here")
    command = [*compose, "--env-file", os.devnull, "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "set it in .env" in done.stderr


def _find_compose() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    return None

"""The production shape runs Airflow as the demo does, and exposes no other endpoint."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import watchdog
from include.gateway.webhooks.senders import SENDERS
from include.keys.keyring import PURPOSES, Keyring
from include.vendors import VENDORS
from include.warehouse import schema
from include.warehouse.schema import OPTIONAL_ROLES, ROLES
from local import airflow
from local.postgres import _find_binaries
from tests.conftest import Database

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
EXAMPLE = dict(
    line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
)
WORKERS = {"pulls": "worker-pulls", "loads": "worker-loads"}
"""The queue of each worker."""
TASKS = ("scheduler", *WORKERS.values())
SIGN_ON = ("api-server", "init")
GATEWAYS = ("gateway", "gateway-2")
AT_GATEWAYS = "reverse_proxy " + " ".join(f"https://{name}:8090" for name in GATEWAYS)
SERVERS = {"postgres": "postgres", "redis": "redis", "gateway": "gateway", "gateway-2": "gateway", "api-server": "api-server",
           "object-store": "object-store"}  # fmt: skip
"""The service of each server -> the name of its certificate."""
AUTHORITY = "/certificates/ca.crt"
SCRIPT = (ROOT / "docker" / "certificates.sh").read_text()

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


def settings(service: str) -> dict[str, str]:
    """Return a service's environment with the defaults of an empty .env."""
    environment = SERVICES[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in environment.items()}


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


@pytest.mark.parametrize("name", TASKS)
def test_what_runs_tasks_has_every_connection(name: str) -> None:
    connections = [
        "tributary_db",
        "tributary_staging",
        "tributary_keys",
        "tributary_alerts",
        "tributary_audit",
        "salesforce",
    ]
    assert {f"AIRFLOW_CONN_{each}".upper() for each in connections} <= settings(name).keys()
    assert SERVICES[name]["env_file"] == [{"path": "connections.env", "required": False}]


def test_vendors_connections_are_in_one_file_that_git_ignores() -> None:
    assert [name for name, service in SERVICES.items() if "env_file" in service] == [*TASKS]
    assert "connections.env" in (ROOT / ".gitignore").read_text().splitlines()
    lines = (ROOT / "connections.env.example").read_text().splitlines()
    [(name, value)] = [line.split("=", 1) for line in lines if not line.startswith("#")]
    assert name.removeprefix("AIRFLOW_CONN_").lower() in {vendor.name for vendor in VENDORS}
    assert (value[0], value[-1]) == ("'", "'")  # Compose takes it as it is; in other text, it replaces a $
    assert json.loads(value.strip("'"))["conn_type"] == "http"


def test_connections_made_of_parts_are_json() -> None:
    staging = json.loads(settings("scheduler")["AIRFLOW_CONN_TRIBUTARY_STAGING"])
    assert staging["extra"] == {"root": "/var/lib/tributary/staging", "options": None}
    for name in ("AIRFLOW_CONN_TRIBUTARY_ALERTS", "AIRFLOW_CONN_TRIBUTARY_KEYS"):
        assert "password" in json.loads(settings("scheduler")[name])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {*TASKS}))
def test_nothing_else_knows_more_than_it_needs(name: str) -> None:
    connections = {key for key in settings(name) if key.startswith("AIRFLOW_CONN_")}
    # The API server's pages: identity review and signed documents. The triggerer listens to notifications and Salesforce.
    its_own = {
        "api-server": {f"AIRFLOW_CONN_TRIBUTARY_{name}" for name in ("DB", "STAGING", "KEYS")},
        "triggerer": {"AIRFLOW_CONN_TRIBUTARY_DB", "AIRFLOW_CONN_SALESFORCE", "AIRFLOW_CONN_TRIBUTARY_KEYS"},
    }.get(name, set())
    assert connections <= {"AIRFLOW_CONN_TRIBUTARY_ALERTS"} | its_own


@pytest.mark.parametrize("name", [*TASKS, "dag-processor", "triggerer"])
def test_what_calls_back_can_send_alerts(name: str) -> None:
    """Workers report failed tasks, the DAG processor those whose process died, and the triggerer missed deadlines."""
    assert "AIRFLOW_CONN_TRIBUTARY_ALERTS" in settings(name)
    assert "outside" in SERVICES[name]["networks"]


def test_the_triggerer_has_every_connection_that_a_trigger_uses() -> None:
    triggers = [text for text in map(Path.read_text, (ROOT / "plugins").rglob("*.py")) if "(BaseEventTrigger)" in text]
    used = {name for text in triggers for name in re.findall(r'connections\.connection\W+"(\w+)"', text)}
    assert used == {"salesforce"}
    assert {f"AIRFLOW_CONN_{name}".upper() for name in used | {"tributary_db"}} <= settings("triggerer").keys()


def test_the_triggerer_the_gateways_and_the_api_server_write_nothing_that_is_not_theirs() -> None:
    # The tests of the wake-up trigger and of Salesforce's changes use this role, so they cover its rights.
    assert settings("triggerer")["AIRFLOW_CONN_TRIBUTARY_DB"].startswith("postgresql://tributary_listener:")
    assert settings("api-server")["AIRFLOW_CONN_TRIBUTARY_DB"].startswith("postgresql://tributary_web:")
    for name in GATEWAYS:
        assert settings(name)["TRIBUTARY_GATEWAY_DATABASE"].startswith("postgresql://tributary_gateway:")
        assert settings(name)["TRIBUTARY_API_DATABASE"].startswith("postgresql://tributary_api:")


def test_the_gateways_and_the_triggerer_can_encrypt_messages_and_decrypt_nothing() -> None:
    for name in (*GATEWAYS, "triggerer"):
        variables = set(re.findall(r"\$\{(TRIBUTARY_\w*KEYS?)\b", str(SERVICES[name]["environment"])))
        assert variables == {"TRIBUTARY_RECEIVING_KEY"}, name
    keys = re.search(r"for p in ([a-z ]+);", (ROOT / ".env.example").read_text())
    assert keys is not None
    assert {*keys[1].split(), "staging"} == {*PURPOSES}


def test_every_gateway_has_every_sender_s_secrets_and_a_name_that_the_proxy_knows() -> None:
    assert [name for name in SERVICES if "TRIBUTARY_GATEWAY_DATABASE" in settings(name)] == [*GATEWAYS]
    for name in GATEWAYS:
        assert {f"{sender.connection.upper()}_SECRETS" for sender in SENDERS} <= settings(name).keys()
        assert SERVICES["proxy"]["depends_on"][name] == {"condition": "service_healthy"}
        assert "https://localhost:8090/health" in SERVICES[name]["healthcheck"]["test"][-1]
    assert AT_GATEWAYS in (ROOT / "docker" / "Caddyfile").read_text()


def test_only_init_has_the_databases_superuser() -> None:
    assert [name for name in SERVICES if "TRIBUTARY_ADMIN_URL" in settings(name)] == ["init"]
    assert {f"{role.upper()}_PASSWORD" for role in ROLES} <= settings("init").keys()


def test_the_server_and_its_backups_use_one_repository_with_one_key() -> None:
    server, backup = SERVICES["postgres"], SERVICES["backup"]
    assert "archive_command=pgbackrest --stanza=tributary archive-push %p" in server["command"]
    assert "archive_mode=on" in server["command"]
    assert server["image"] == backup["image"]
    assert {*backup["volumes"]} == {"postgres:/var/lib/postgresql:ro", "ca:/certificates:ro", *server["volumes"][1:3]}
    key = "PGBACKREST_REPO1_CIPHER_PASS"
    assert server["environment"][key] == backup["environment"][key]


def test_a_backup_keeps_what_the_restored_database_is_compared_with_and_is_recorded(
    tmp_path: Path, database: Database
) -> None:
    for name, text in {
        "pgbackrest": 'echo "$PGBACKREST_STANZA $*" >> "$CALLS"', "sleep": "exit 9", "touch": "exit 0", "find": "exit 0",
        "psql": f"exec '{_find_binaries() / 'psql'}' \"$@\" --dbname '{database.admin_url}'",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}", "CALLS": str(tmp_path / "calls")}
    done = subprocess.run(["sh", str(ROOT / "docker" / "backup.sh")], env=environment, capture_output=True)
    assert done.returncode == 9, done.stderr
    stanza, backup = (tmp_path / "calls").read_text().splitlines()
    assert stanza == "tributary stanza-create"
    [recorded] = database.rows("select kind, known_at from control.backup")
    call = re.fullmatch(r"tributary backup --type=(full|incr) --annotation=fingerprint=({.*})", backup)
    assert call
    assert call[1] == recorded["kind"]
    assert datetime.fromisoformat(json.loads(call[2])["known_at"]) == recorded["known_at"]


def test_drills_read_the_repository_of_the_backups_and_write_nothing_to_it() -> None:
    text = (ROOT / "docker" / "drill.yaml").read_text()
    drills, backup = yaml.safe_load(text)["services"], SERVICES["backup"]
    assert drills.keys() == set(TASKS)
    for each in drills.values():
        folder, config = each["volumes"]
        assert {folder.removesuffix(":ro"), config} <= set(backup["volumes"])
        assert folder.endswith(":ro")
        assert each["environment"].items() <= backup["environment"].items()
    assert set(re.findall(r"\$\{(\w+)", text)) <= EXAMPLE.keys()


def test_containers_that_run_tasks_share_only_what_a_bucket_replaces_and_the_logs_of_running_tasks() -> None:
    shared = [{*volumes(name)} - {"ca"} for name in TASKS]
    assert shared == [{"logs", "staging", "audit"}] * len(TASKS)
    assert {"logs", "staging"} == {*volumes("api-server")} - {"tls-api-server"}
    settings_of_roots = str(SERVICES["worker-loads"]["environment"])
    assert {"TRIBUTARY_STAGING_ROOT", "TRIBUTARY_AUDIT_ROOT"} <= set(re.findall(r"\$\{(\w+)", settings_of_roots))
    assert settings("worker-loads")["AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS"] == "tributary.task_logs.LOGGING_CONFIG"


# --- TLS between the containers ---


def volumes(service: str) -> dict[str, str]:
    """Return the named volumes and folders of a service, with their places in it."""
    mounts = [each.split(":") for each in SERVICES[service].get("volumes", []) if not each.startswith(("$", "/"))]
    return {name: place for name, place, *_ in mounts}


@pytest.mark.parametrize(("name", "certificate"), SERVERS.items())
def test_each_server_has_its_own_key_and_no_other(name: str, certificate: str) -> None:
    assert {each for each in volumes(name) if each.startswith("tls-")} == {f"tls-{certificate}"}
    assert volumes(name)[f"tls-{certificate}"] == "/certificates"
    assert f"/certificates/{certificate}" == volumes("certificates")[f"tls-{certificate}"]
    assert re.search(rf"^issue {certificate} .*\b{name}\b", SCRIPT, re.MULTILINE)


def test_only_the_one_shot_service_has_the_authority_s_key() -> None:
    assert [name for name in SERVICES if "authority" in volumes(name)] == ["certificates"]
    assert SERVICES["certificates"]["network_mode"] == "none"
    assert not [name for name in set(SERVICES) - {"certificates", *SERVERS} if any("tls-" in v for v in volumes(name))]


@pytest.mark.parametrize("name", ["postgres", "redis", "object-store"])
def test_servers_start_after_their_certificates(name: str) -> None:
    assert SERVICES[name]["depends_on"]["certificates"] == {"condition": "service_completed_successfully"}


def test_every_client_of_the_database_verifies_it() -> None:
    urls = {
        f"{name}: {key}": value
        for name in SERVICES
        for key, value in settings(name).items()
        if "@postgres:5432/" in value
    }
    assert len(urls) > 20
    for where, url in urls.items():
        if "SQL_ALCHEMY_CONN" in where or "RESULT_BACKEND" in where:  # its asynchronous driver takes no such parameters
            name = where.split(":")[0]
            assert (settings(name)["PGSSLMODE"], settings(name)["PGSSLROOTCERT"]) == ("verify-full", AUTHORITY)
        else:
            assert url.endswith(f"?sslmode=verify-full&sslrootcert={AUTHORITY}"), where
    assert settings("backup")["PGSSLMODE"] == "verify-full"
    clients = {where.split(":")[0] for where in urls} | {"backup"}
    assert all("/certificates" in volumes(name).values() for name in clients)


def test_the_database_accepts_only_tls_from_outside() -> None:
    assert "hba_file=/etc/postgresql/pg_hba.conf" in SERVICES["postgres"]["command"]
    rules = [line.split()[0] for line in (ROOT / "docker" / "pg_hba.conf").read_text().splitlines() if line[0] != "#"]
    assert rules == ["local", "hostssl"]


def test_redis_the_object_store_and_the_api_server_accept_only_tls() -> None:
    assert "--port 0 --tls-port 6379" in SERVICES["redis"]["command"][-1]
    broker = settings("worker-loads")["AIRFLOW__CELERY__BROKER_URL"]
    assert broker.startswith("rediss://")
    assert broker.endswith(f"?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={AUTHORITY}")
    command = SERVICES["object-store"]["command"]
    assert {"-s3.cert.file=/certificates/tls.crt", "-s3.key.file=/certificates/tls.key"} <= set(command)
    assert not any(
        each.startswith("-s3.port.https") for each in command
    )  # it would open a second port, and leave the first without TLS
    assert settings("scheduler")["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("https://api-server:")
    assert settings("api-server")["AIRFLOW__API__SSL_CERT"] == "/certificates/tls.crt"


def test_no_secret_has_a_default() -> None:
    secret = re.compile(r"PASSWORD|SECRET|KEY|BROKER|RESULT_BACKEND|SQL_ALCHEMY|ADMIN_URL|MIGRATE_URL|CONN_|REDISCLI")
    plain = {
        f"{name}: {key}"
        for name in SERVICES
        for key, value in SERVICES[name].get("environment", {}).items()
        if secret.search(key) and ":?" not in str(value)
    }
    # Staging's options are empty for a folder, and so are Salesforce and the identity provider if the firm does not use them.
    unguarded = {
        f"{name}: AIRFLOW_CONN_{each}"
        for name in TASKS
        for each in ("TRIBUTARY_STAGING", "TRIBUTARY_AUDIT", "SALESFORCE")
    }
    unguarded |= {f"{name}: {sender.connection.upper()}_SECRETS" for name in GATEWAYS for sender in SENDERS}
    assert plain == unguarded | {
        *(f"{name}: TRIBUTARY_OIDC_CLIENT_SECRET" for name in SIGN_ON),
        "api-server: AIRFLOW_CONN_TRIBUTARY_STAGING",
        "api-server: AIRFLOW__API__SSL_KEY",  # a path
        *(f"init: {role.upper()}_PASSWORD" for role in OPTIONAL_ROLES),
        "triggerer: AIRFLOW_CONN_SALESFORCE",
    }
    assert all(settings(name)["AIRFLOW_CONN_SALESFORCE"] == "" for name in TASKS)


TODAY = datetime.now(UTC).date()


def run_init(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script of `init`, with valid settings unless others are given, up to its first command, which ends it with 9."""
    (folder / "python").write_text("#!/bin/sh\nexit 9\n")
    (folder / "python").chmod(0o755)
    valid = {
        "PATH": f"{folder}:{os.defpath}", "TRIBUTARY_GO_LIVE": (TODAY - timedelta(days=1)).isoformat(),
        **{name: settings("init")[name] for name in ("TRIBUTARY_PULL_SLOTS", "TRIBUTARY_LOAD_SLOTS", "AIRFLOW__CORE__PARALLELISM")},
    }  # fmt: skip
    command = ["sh", str(ROOT / "docker" / "init.sh")]
    return subprocess.run(command, env=valid | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("day", "is_accepted"),
    [
        ((TODAY - timedelta(days=1)).isoformat(), True),
        (TODAY.isoformat(), False),
        ((TODAY + timedelta(days=30)).isoformat(), False),
        ("12/01/2025", False),
        ("2025-1-5", False),
        ("2025", False),
        ("2025-02-30", False),
    ],
)
def test_the_schedules_must_begin_on_a_date_before_today(tmp_path: Path, day: str, is_accepted: bool) -> None:
    """Otherwise a run that a user starts has no tasks, and succeeds, or no DAG can be read."""
    done = run_init(tmp_path, TRIBUTARY_GO_LIVE=day)
    assert (done.returncode == 9) == is_accepted
    assert ("must be a date before today" in done.stderr) != is_accepted


CHOSEN = {
    "TRIBUTARY_HOST",
    "TRIBUTARY_GO_LIVE",
    "TRIBUTARY_ALERT_URLS",
    "TRIBUTARY_RECEIVING_KEY",
    "AIRFLOW_ADMIN_USER",
}
"""The required settings that are not random values."""


def test_the_script_of_secrets_fills_in_all_required_settings_that_are_random(tmp_path: Path) -> None:
    def run() -> dict[str, str]:
        command = ["sh", str(ROOT / "docker" / "secrets.sh"), str(tmp_path / ".env")]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        lines = (tmp_path / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    first = run()
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yaml").read_text()))
    assert {name for name in required if not first[name]} == CHOSEN
    assert {name for name in first if first[name] != EXAMPLE[name]} == required - CHOSEN
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    Keyring.parse(f"{first['TRIBUTARY_KEYS']} {first['TRIBUTARY_STAGING_KEYS']}", PURPOSES)
    assert len(base64.urlsafe_b64decode(first["AIRFLOW_FERNET_KEY"])) == 32
    assert run() == first


def test_without_openssl_no_secret_is_written(tmp_path: Path) -> None:
    for name in ("sh", "cp", "chmod", "grep", "sed", "date"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    command = ["sh", str(ROOT / "docker" / "secrets.sh"), str(tmp_path / ".env")]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "openssl is not installed" in done.stderr
    assert not (tmp_path / ".env").exists()


def test_no_user_has_a_default_name() -> None:
    assert SERVICES["init"]["environment"]["AIRFLOW_ADMIN_USER"] == "${AIRFLOW_ADMIN_USER:?set it in .env}"
    text = (ROOT / "docker" / "init.sh").read_text()
    assert re.findall(r"--username (\S+)", text) == ['"$AIRFLOW_ADMIN_USER"']


def test_only_containers_that_hold_its_key_reach_the_object_store() -> None:
    connected = {name for name, service in SERVICES.items() if "objects" in service.get("networks", [])}
    assert connected == {"object-store"} | {
        name for name in SERVICES if "AIRFLOW_CONN_TRIBUTARY_STAGING" in settings(name)
    }
    assert SERVICES["object-store"]["networks"] == ["objects"]


def test_only_the_api_server_and_init_know_the_identity_provider() -> None:
    names = {f"TRIBUTARY_OIDC_{name}" for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ROLES")}
    assert [name for name in SERVICES if names & settings(name).keys()] == [*SIGN_ON]
    assert all(names <= settings(name).keys() for name in SIGN_ON)
    assert "outside" in SERVICES["api-server"]["networks"]


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

"""Each service of the production shape has the connections, keys and folders that it needs, and no others."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from include.gateway.webhooks.senders import SENDERS
from include.keys.keyring import PURPOSES, Keyring
from include.vendors import VENDORS
from include.warehouse.schema import OPTIONAL_ROLES, ROLES
from local.postgres import _find_binaries
from tests.compose_file import EXAMPLE, GATEWAYS, ROOT, SERVICES, SIGN_ON, TASKS, settings, volumes
from tests.conftest import Database

AT_GATEWAYS = "reverse_proxy " + " ".join(f"https://{name}:8090" for name in GATEWAYS)


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

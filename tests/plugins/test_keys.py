"""The keyring in Airflow's connections: a task gets no vendor, staging or database with keys that the database does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, run, said
from tests.firm_keys import KEYRING, write_keyring

pytestmark = pytest.mark.airflow

_OPEN = """
from include.errors import ConfigurationError
from tributary import connections
try:
    connections.site()
    print("OPENED yes")
except ConfigurationError as error:
    print("OPENED", error)
"""


def open_site(database: Database, folder: Path, password: str | None, **settings: str) -> str:
    """Open the site in an Airflow; without a password, there is no `tributary_keys` in the environment."""
    known = {
        "tributary_db": database.url(),
        "tributary_staging": f'{{"conn_type": "generic", "extra": {{"root": "{folder}"}}}}',
    }
    if password is not None:
        known["tributary_keys"] = write_connection(password)
    environ = environment(folder / "airflow", known) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"} | settings
    return said(run(environ, _OPEN), "OPENED")


def write_connection(password: str) -> str:
    return json.dumps({"conn_type": "generic", "password": password})


@pytest.mark.parametrize("password", [KEYRING.receiving_key.text, write_keyring()], ids=["receiving key", "keyring"])
def test_the_triggerer_needs_only_the_receiving_key(tmp_path: Path, password: str) -> None:
    known = {"tributary_keys": write_connection(password)}
    environ = environment(tmp_path / "airflow", known) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    code = "from tributary import connections; print('KEY', connections.receiving_key().text)"
    assert said(run(environ, code), "KEY") == KEYRING.receiving_key.text


def test_a_task_opens_its_site_only_with_the_keys_of_its_database(database: Database, tmp_path: Path) -> None:
    assert open_site(database, tmp_path, write_keyring()) == "yes"
    assert open_site(database, tmp_path, write_keyring()) == "yes"
    assert open_site(database, tmp_path, write_keyring("mistyped")).startswith("A key differs from the one")
    assert open_site(database, tmp_path, "").startswith("The keyring has no key for a purpose")


@pytest.fixture
def aws() -> Iterator[dict[str, str]]:
    """AWS on this machine: the options of its clients."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1", "aws_access_key_id": "only",
        "aws_secret_access_key": "tests",
    }  # fmt: skip
    server.stop()


def test_keyring_comes_from_a_secrets_backend_and_changes_without_a_restart(
    database: Database, tmp_path: Path, aws: dict[str, str]
) -> None:
    key = boto3.client("kms", **aws).create_key()["KeyMetadata"]["KeyId"]
    store = boto3.client("secretsmanager", **aws)
    name = "airflow/connections/tributary_keys"
    store.create_secret(Name=name, KmsKeyId=key, SecretString=write_connection(write_keyring()))
    settings = {
        "AIRFLOW__SECRETS__BACKEND": "tests.plugins.secret_store.SecretStore",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"prefix": "airflow/connections"} | aws),
    }
    assert open_site(database, tmp_path, None, **settings) == "yes"
    store.put_secret_value(SecretId=name, SecretString=write_connection(write_keyring("mistyped")))
    assert open_site(database, tmp_path, None, **settings).startswith("A key differs from the one")

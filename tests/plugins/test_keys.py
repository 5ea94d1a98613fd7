"""The keyring in Airflow's connections: a task gets no vendor, staging or database with keys that the database does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def open_site(database: Database, folder: Path, password: str) -> str:
    known = {
        "tributary_db": database.url(),
        "tributary_staging": f'{{"conn_type": "generic", "extra": {{"root": "{folder}"}}}}',
        "tributary_keys": f'{{"conn_type": "generic", "password": "{password}"}}',
    }
    environ = environment(folder / "airflow", known, folder) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    return said(run(environ, _OPEN), "OPENED")


@pytest.mark.parametrize("password", [KEYRING.receiving_key.text, write_keyring()], ids=["receiving key", "keyring"])
def test_the_triggerer_needs_only_the_receiving_key(tmp_path: Path, password: str) -> None:
    known = {"tributary_keys": f'{{"conn_type": "generic", "password": "{password}"}}'}
    environ = environment(tmp_path / "airflow", known, tmp_path) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    code = "from tributary import connections; print('KEY', connections.receiving_key().text)"
    assert said(run(environ, code), "KEY") == KEYRING.receiving_key.text


def test_a_task_opens_its_site_only_with_the_keys_of_its_database(database: Database, tmp_path: Path) -> None:
    assert open_site(database, tmp_path, write_keyring()) == "yes"
    assert open_site(database, tmp_path, write_keyring()) == "yes"
    assert open_site(database, tmp_path, write_keyring("mistyped")).startswith("A key differs from the one")
    assert open_site(database, tmp_path, "").startswith("The keyring has no key for a purpose")

"""The firm's connections and Variables in Airflow (with any secrets backend behind them), as objects of the product.

tributary_db         postgres   the database, as the role `tributary_load`; in the triggerer `tributary_listener` is enough
tributary_staging    generic    extra: {"root": "/data/staging" or "s3://...", "options": {...}}
tributary_keys       generic    password: the firm's keyring; see docs/reference/connections.md
tributary_alerts     generic    password: addresses of alerts (Apprise URLs or file://...), separated by spaces
<vendor>             http       host: base URL; login, password; extra: client_id, client_secret, ..., and what the firm chooses: see
                                docs/reference/connections.md
salesforce           http       host: login URL; extra: firm and what else it chooses; see docs/reference/salesforce.md

Variables: tributary_rules, tributary_identity (JSON: thresholds of the business rules, of identity resolution),
tributary_crm_paused (true: nothing is written), tributary_retention_years (of signed documents, 7),
tributary_subscribers (connections that receive our events, separated by spaces).
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, Variable
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, AirflowSkipException

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.connection import Connection
    from include.crm.settings import Settings
    from include.identity.policy import Policy as IdentityPolicy
    from include.keys.keyring import Keyring
    from include.pipeline.run import Run, Site, VendorRun
    from include.rules.policy import Policy
    from include.staging.partitions import Staging


def site() -> Site:
    """Open the firm's database, staging and secrets; called inside a task."""
    from include.pipeline.run import Site

    engine = database()
    return Site(engine, staging(), keyring(engine), speed=float(find_variable("tributary_speed", default="1")))


def keyring(engine: Engine) -> Keyring:
    """Return the firm's keys, compared with those that its database was written with."""
    from include.keys import register
    from include.keys.keyring import Keyring

    keys = Keyring.parse(find_connection("tributary_keys").password or "")
    register.check(engine, keys)
    return keys


def vendor_run(name: str, run: Run) -> VendorRun:
    """Return a vendor's run, with the firm's environment and the vendor's connection."""
    from include.pipeline.run import VendorRun
    from include.vendors import named

    return VendorRun(site(), named(name), connection(name), run)


def staging() -> Staging:
    """Open the storage of partitions and documents."""
    from include.keys.keyring import Keyring
    from include.staging.partitions import Staging

    known = find_connection("tributary_staging").extra_dejson
    keys = Keyring.parse(find_connection("tributary_keys").password or "", ("staging",))
    return Staging(known["root"], keys.staging, known.get("options"))


def database() -> Engine:
    """Open the firm's database, as the loading role."""
    from include.warehouse.schema import engine

    return engine(database_url())


def database_url() -> str:
    """Return the address of the firm's database, password included: for drivers, never for a log."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    find_connection("tributary_db")  # raises if it does not exist or Airflow does not answer
    url = PostgresHook(postgres_conn_id="tributary_db").sqlalchemy_url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def connection(conn_id: str) -> Connection:
    """Return address and credentials of a vendor or of Salesforce."""
    from include.connection import Connection

    known = find_connection(conn_id)
    return Connection(
        (known.host or "").rstrip("/"),
        known.login or "",
        known.password or "",
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.extra_dejson.items()},
    )


def is_connected(conn_id: str) -> bool:
    """Return whether the firm has this connection; unused vendors have none."""
    try:
        find_connection(conn_id)
    except AirflowNotFoundException:
        return False
    return True


def skip_without_salesforce() -> None:
    """Skip the task if the firm does not use Salesforce.

    Raises:
        AirflowSkipException: There is no connection `salesforce`.
    """
    if not is_connected("salesforce"):
        raise AirflowSkipException(
            "There is no connection salesforce: this firm does not use Salesforce, so there is nothing to do"
        )


def crm_settings() -> Settings:
    """Return the firm's Salesforce settings, from the extra fields of the connection."""
    from include.crm.settings import Settings

    return Settings.of(find_connection("salesforce").extra_dejson)


def rule_policy() -> Policy:
    """Return the thresholds of the business rules: a Variable in JSON, or the defaults."""
    from include.rules.policy import Policy

    return Policy.of(find_variable("tributary_rules", default={}, deserialize_json=True))


def identity_policy() -> IdentityPolicy:
    """Return the thresholds of identity resolution: a Variable in JSON, or the defaults."""
    from include.identity.policy import Policy

    return Policy.of(find_variable("tributary_identity", default={}, deserialize_json=True))


def is_crm_paused() -> bool:
    """Return whether an administrator has paused all writes to Salesforce."""
    return str(find_variable("tributary_crm_paused", default="false")).lower() == "true"


def retention_years() -> int:
    """Return the years for which signed documents are kept: the Variable `tributary_retention_years`, or seven."""
    return int(find_variable("tributary_retention_years", default="7"))


def find_connection(conn_id: str) -> Any:
    """Return a connection from Airflow; raises `AirflowNotFoundException` only if there is none."""
    with suppress(AirflowNotFoundException):
        return BaseHook.get_connection(conn_id)
    _check_answering()
    return BaseHook.get_connection(conn_id)


def find_variable(key: str, default: Any, deserialize_json: bool = False) -> Any:
    """Return a Variable, or the default only if there is none."""
    with suppress(AirflowRuntimeError):
        return Variable.get(key, deserialize_json=deserialize_json)
    _check_answering()
    return Variable.get(key, default=default, deserialize_json=deserialize_json)


def _check_answering() -> None:
    """Raise Airflow's own error, which is retried, if its API server does not respond to a task.

    Airflow 3.3.2 reports a setting that a task can't read as missing: by the default of `tributary_crm_paused`, a run would then write
    to a paused Salesforce.
    """
    from airflow.sdk.execution_time import task_runner

    if hasattr(task_runner, "SUPERVISOR_COMMS"):  # elsewhere settings are read from the database itself
        len(Variable.keys(prefix="tributary_"))


def work_folder() -> Path:
    """Return a local folder for temporary files."""
    folder = Path(os.environ.get("TRIBUTARY_WORK", tempfile.gettempdir())) / "tributary"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def data_docs() -> Path:
    """Return the folder of the data quality reports; the page that shows them reads the same variable."""
    return Path(os.environ["TRIBUTARY_DATA_DOCS"])


def alert_urls() -> list[str]:
    """Return where alerts go."""
    return (find_connection("tributary_alerts").password or "").split()

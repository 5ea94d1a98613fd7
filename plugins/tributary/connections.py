"""Read the firm's connections and Variables from Airflow, or from the secrets backend behind it.

Connections, by id and type:

tributary_db         postgres   the database, as the role `tributary_load`; in the triggerer `tributary_listener` is enough
tributary_db_session postgres   the same as tributary_db, without a connection pool in transaction mode, for the Salesforce sync; may be missing
tributary_db_gateway postgres   the same as the role `tributary_gateway`, for webhooks in the API server; may be missing
tributary_db_api     postgres   the same as the role `tributary_api`, for the API in the API server; may be missing
tributary_db_web     postgres   the same as the role `tributary_web`, for the pages in the API server; may be missing
tributary_staging    generic    extra: {"root": "/data/staging" or "s3://...", "options": {...}}
tributary_keys       generic    password: the firm's keyring; in the triggerer, a receiving key; see docs/reference/connections.md
tributary_audit      generic    extra: {"root": ..., "options": {...}}, the folder of the audit trail's published heads; may be missing
tributary_alerts     generic    password: addresses of alerts (Apprise URLs or file://...), separated by spaces
clamd                generic    host: the Unix socket of ClamAV's daemon, which scans signed documents; may be missing
<vendor>             http       host: base URL; login, password; extra: client_id, client_secret, ..., and optional settings: see
                                docs/reference/connections.md
salesforce           http       host: login URL; extra: firm, and optional settings: see docs/reference/salesforce.md

Variables:

tributary_rules             JSON: thresholds of the business rules, until the page Thresholds has saved some
tributary_identity          JSON: thresholds of identity resolution
tributary_crm_paused        true or false; if true, nothing is written to Salesforce
tributary_retention         JSON: retention periods by dataset; see docs/reference/retention.md
tributary_retention_years   years for which signed documents are retained; default 7, at least 6
tributary_backup_hours      maximum age of the last backup before an alert; default 26; 0 if the firm records no backups
tributary_subscribers       the subscribers' connections, separated by spaces
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, Variable
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, AirflowSkipException

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.audit.head import Heads
    from include.connection import Connection
    from include.crm.run import Org
    from include.crm.settings import Settings
    from include.identity.policy import Policy as IdentityPolicy
    from include.keys.inbox import ReceivingKey
    from include.keys.keyring import Keyring
    from include.pipeline.malware import Scanner
    from include.pipeline.run import Run, Site, VendorRun
    from include.rules.household_view import HouseholdView
    from include.rules.policy import Policy
    from include.rules.rule import Rule
    from include.rules.snapshot import Snapshot
    from include.staging.partitions import Staging

log = logging.getLogger(__name__)

# Airflow accepts these for a boolean, in its settings or elsewhere.
_TRUE = ("1", "on", "t", "true", "y", "yes")
_FALSE = ("0", "f", "false", "n", "no", "off")


def site() -> Site:
    """Return the firm's database, staging and keys; call it inside a task, because it reads connections."""
    from include import business_dates
    from include.pipeline.run import Site

    engine = database()
    speed = float(find_variable("tributary_speed", default="1"))
    redis_url = os.environ.get("TRIBUTARY_REDIS_URL", "")
    return Site(engine, staging(), keyring(engine), business_dates.get_now, speed, redis_url)


def keyring(engine: Engine) -> Keyring:
    """Return the firm's keys from the connection `tributary_keys`.

    Raises:
        ConfigurationError: The keys are invalid, or differ from the keys that are registered in this database.
    """
    from include.keys import register
    from include.keys.keyring import Keyring

    keys = Keyring.parse(find_connection("tributary_keys").password or "")
    register.check(engine, keys)
    return keys


def receiving_key() -> ReceivingKey:
    """Return the key that encrypts messages for the inbox, from the connection `tributary_keys`.

    The connection's password is a receiving key, or a keyring with an inbox key, from which the receiving key is derived.

    Raises:
        ConfigurationError: The password is neither of these.
    """
    from include.keys.inbox import ReceivingKey
    from include.keys.keyring import Keyring

    text = find_connection("tributary_keys").password or ""
    return ReceivingKey.parse(text) if text.startswith("receive:") else Keyring.parse(text, ("inbox",)).receiving_key


def vendor_run(name: str, run: Run) -> VendorRun:
    """Return a vendor's run, with the firm's database, staging and keys and the vendor's connection."""
    from include.pipeline.run import VendorRun
    from include.vendors import named

    return VendorRun(site(), named(name), connection(name), run)


def staging() -> Staging:
    """Open the storage of partitions and documents."""
    from include.keys.keyring import Keyring
    from include.staging.partitions import Staging

    known = find_connection("tributary_staging").extra_dejson
    keys = Keyring.parse(find_connection("tributary_keys").password or "", ("staging",))
    return Staging(known["root"], keys.staging, known.get("options"), keys.redactor)


def audit_heads(keys: Keyring) -> Heads | None:
    """Open the folder of published audit heads; None if the firm has no connection `tributary_audit`."""
    from include.audit.head import Heads

    if not is_connected("tributary_audit"):
        return None
    known = find_connection("tributary_audit").extra_dejson
    return Heads(known["root"], keys.audit, known.get("options"))


def database(conn_id: str = "tributary_db") -> Engine:
    """Return an engine for the firm's database, as the role of a connection. The ledger records the firm's folder in force."""
    from include.firm.content import compute_hash, find_folder
    from include.warehouse.schema import engine

    return engine(database_url(conn_id), compute_hash(find_folder()))


def session_database() -> Engine:
    """Return an engine whose connections have sessions of their own, as a Salesforce sync needs.

    It uses the connection `tributary_db_session` if there is one, else `tributary_db`.
    """
    return database("tributary_db_session" if is_connected("tributary_db_session") else "tributary_db")


def database_url(conn_id: str = "tributary_db") -> str:
    """Return the URL of the firm's database, as a connection states it. It includes the password: pass it to drivers only, and never log it.

    Raises:
        ConfigurationError: The database is on another machine, and the connection has no `sslmode=verify-full`.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from include.database.tls import require_verified

    extra = find_connection(conn_id).extra_dejson  # raises if it does not exist or Airflow does not answer
    url = PostgresHook(postgres_conn_id=conn_id).sqlalchemy_url.set(drivername="postgresql")
    url = url.update_query_dict({name: value for name, value in extra.items() if name in ("sslmode", "sslrootcert")})
    text = url.render_as_string(hide_password=False)
    require_verified(text)
    return text


def malware_scanner() -> Scanner | None:
    """Return the scanner for signed documents; None if the firm has no connection `clamd`."""
    from include.pipeline.malware import Scanner

    if not is_connected("clamd"):
        return None
    known = find_connection("clamd")
    return Scanner(known.host or "", known.port or 3310)


def connection(conn_id: str) -> Connection:
    """Return the address and the credentials of a vendor or of Salesforce, with the overrides of the firm's folder."""
    from include.connection import Connection
    from include.firm.folder import in_force

    known = find_connection(conn_id)
    extra = {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.extra_dejson.items()}
    stated = Connection((known.host or "").rstrip("/"), known.login or "", known.password or "", extra, conn_id)
    return in_force().complete(stated)


def is_connected(conn_id: str) -> bool:
    """Return whether the firm has this connection; a firm has none for a vendor that it does not use."""
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


def org() -> Org:
    """Return the Salesforce org with all that its records are compared by; call it inside a task."""
    from include.crm.run import Org

    return Org(session_database(), connection("salesforce"), crm_settings(), site().redactor, identity_policy())


def crm_settings() -> Settings:
    """Return the firm's Salesforce settings: the extra fields of the connection, and the changes in the firm's folder."""
    from include.crm.settings import Settings
    from include.firm.folder import in_force

    return Settings.of(find_connection("salesforce").extra_dejson, in_force().changes)


def rule_policy() -> Policy:
    """Return the thresholds of the business rules that are in force."""
    _, policy = read_rule_policy(database())
    return policy


def rules() -> tuple[tuple[Rule[Snapshot], ...], tuple[Rule[HouseholdView], ...]]:
    """Return the rules on a vendor's day and those on the household view: the project's and the firm's own."""
    from include.firm.folder import rules_in_force

    return rules_in_force()


def read_rule_policy(engine: Engine) -> tuple[int | None, Policy]:
    """Return the id of the newest change of the thresholds, None if there is none, and the thresholds in force.

    In force are those in the firm's folder, then those that the page *Thresholds* saved last, and defaults for the rest. Before the first
    change on the page, those in the Variable `tributary_rules` are in force.
    """
    from include.firm.folder import in_force
    from include.rules.policy import Policy
    from include.rules.thresholds import read_saved

    with engine.connect() as db:
        change_id, saved = read_saved(db)
    if saved is None:
        saved = find_variable("tributary_rules", default={}, deserialize_json=True)
    return change_id, Policy.of({**saved, **{name: value for name, (value, _) in in_force().thresholds.items()}})


def identity_policy() -> IdentityPolicy:
    """Return the thresholds of identity resolution: those in the Variable `tributary_identity`, and defaults for the rest."""
    from include.identity.policy import Policy

    return Policy.of(find_variable("tributary_identity", default={}, deserialize_json=True))


def is_crm_paused() -> bool:
    """Return whether all writes to Salesforce are paused by the Variable `tributary_crm_paused`.

    Raises:
        ConfigurationError: The Variable is neither true nor false, so nothing may be written.
    """
    from include.errors import ConfigurationError

    text = str(find_variable("tributary_crm_paused", default="false")).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ConfigurationError("The Variable tributary_crm_paused is neither true nor false: set it to one of them")


def describe_crm_pause() -> str:
    """Return why nothing is written to Salesforce, for the pages; an empty text if writes are not paused."""
    from include.errors import ConfigurationError

    try:
        return "The Variable tributary_crm_paused is true" if is_crm_paused() else ""
    except ConfigurationError as error:
        return str(error)


def retention_years() -> int:
    """Return the years for which signed documents are kept: the Variable `tributary_retention_years`, or seven."""
    from include.retention.periods import read_document_years

    return read_document_years(str(find_variable("tributary_retention_years", default="7")))


def retention_periods() -> dict[str, str]:
    """Return the period of each dataset: those in the Variable `tributary_retention`, and defaults for the rest."""
    from include.retention.periods import read_periods

    return read_periods(find_variable("tributary_retention", default={}, deserialize_json=True))


def backup_limit() -> timedelta:
    """Return the maximum age of the last backup: the Variable `tributary_backup_hours`, or 26 hours; zero switches the alert off."""
    return timedelta(hours=float(find_variable("tributary_backup_hours", default="26")))


def find_connection(conn_id: str) -> Any:
    """Return a connection from Airflow.

    Raises:
        AirflowNotFoundException: There is no such connection.
        AirflowRuntimeError: Airflow's API server does not respond.
    """
    with suppress(AirflowNotFoundException):
        return BaseHook.get_connection(conn_id)
    _check_answering()
    return BaseHook.get_connection(conn_id)


def describe_missing(error: AirflowNotFoundException) -> str:
    """Return what is missing and what to do, for a page that needs a connection which does not exist."""
    return f"{error}. An administrator creates connections in Airflow under Admin, Connections: see docs/reference/connections.md"


def find_variable(key: str, default: Any, deserialize_json: bool = False) -> Any:
    """Return a Variable, or `default` if there is none.

    Raises:
        AirflowRuntimeError: Airflow's API server does not respond, so the Variable may exist.
    """
    with suppress(AirflowRuntimeError):
        return Variable.get(key, deserialize_json=deserialize_json)
    _check_answering()
    return Variable.get(key, default=default, deserialize_json=deserialize_json)


def _check_answering() -> None:
    """Raise `AirflowRuntimeError`, which is retried, if Airflow's API server does not respond to this task.

    If a task can't read a setting, Airflow 3.3.2 reports it as missing. Without this check, `tributary_crm_paused` would then get its
    default, and the run would write to a paused Salesforce.
    """
    from airflow.sdk.execution_time import task_runner

    if hasattr(task_runner, "SUPERVISOR_COMMS"):  # other processes read settings directly from Airflow's database
        len(Variable.keys(prefix="tributary_"))


def work_folder() -> Path:
    """Return a local folder for temporary files, which only this user can access; create it if it does not exist."""
    folder = Path(os.environ.get("TRIBUTARY_WORK", tempfile.gettempdir())) / "tributary"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def alert_urls(kind: str = "") -> list[str]:
    """Return the addresses to send an alert of a kind to: of the connections that the firm's folder names, else of `tributary_alerts`.

    If a named connection is missing or the folder is invalid, the alert goes to `tributary_alerts`, so that no alert is lost.
    """
    from include.errors import ConfigurationError
    from include.firm.folder import in_force

    try:
        routed = in_force().routes.get(kind, ())
    except ConfigurationError as error:
        log.warning("The alert goes to tributary_alerts: %s", error)
        routed = ()
    if missing := [name for name in routed if not is_connected(name)]:
        log.warning("The alert goes to tributary_alerts: there is no connection %s", ", ".join(missing))
    ids = routed if routed and not missing else ("tributary_alerts",)
    return [url for name in ids for url in (find_connection(name).password or "").split()]

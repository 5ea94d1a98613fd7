"""Read the connections of other systems from the environment, in the form that Airflow reads: `AIRFLOW_CONN_<NAME>`, as JSON in one line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from include.connection import Connection
from include.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.crm.run import Org

CONNECTIONS = "AIRFLOW_CONN_<SYSTEM> (JSON)"


def is_connected(system: str) -> bool:
    """Return whether the environment has a connection to a system."""
    return bool(os.environ.get(_name_of(system)))


def read_fields(system: str) -> dict[str, Any]:
    """Return the fields of a connection, as they are stated.

    Raises:
        ConfigurationError: The connection is missing or not in JSON.
    """
    text = os.environ.get(_name_of(system), "")
    if not text:
        raise ConfigurationError(f"The environment variable {_name_of(system)} is not set")
    return _parse_object(text, system)


def read_extra(system: str) -> dict[str, Any]:
    """Return the extra fields of a connection.

    Raises:
        ConfigurationError: The connection is missing or not in JSON.
    """
    return _parse_object(read_fields(system).get("extra") or {}, system)


def read_connection(system: str) -> Connection:
    """Return the address and credentials of a system, with the overrides of the firm's folder.

    Raises:
        ConfigurationError: The connection is missing or not in JSON, or the firm's folder has mistakes.
    """
    from include.firm.folder import in_force

    known = read_fields(system)
    extra = {name: value if isinstance(value, str) else json.dumps(value) for name, value in read_extra(system).items()}
    texts = (str(known.get(name) or "") for name in ("host", "login", "password"))
    host, login, password = texts
    return in_force().complete(Connection(host.rstrip("/"), login, password, extra, system))


def read_org(engine: Engine) -> Org:
    """Return the Salesforce org: its connection, and the settings with the changes of the firm's folder.

    Raises:
        ConfigurationError: The connection is missing or invalid, or the firm's folder has mistakes.
    """
    from include.crm.run import Org
    from include.crm.salesforce import VENDOR
    from include.crm.settings import Settings
    from include.firm.folder import in_force

    return Org(engine, read_connection(VENDOR), Settings.of(read_extra(VENDOR), in_force().changes))


def _parse_object(value: Any, system: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ConfigurationError(
            f"The environment variable {_name_of(system)} is not a JSON object, as docs/reference/connections.md shows"
        )
    return parsed


def _name_of(system: str) -> str:
    return f"AIRFLOW_CONN_{system.upper()}"

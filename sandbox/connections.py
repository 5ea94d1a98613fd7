"""The Airflow connections to this sandbox. Their credentials are valid only here."""

from typing import Any

from sandbox.firm.world import World
from sandbox.vendors import VENDORS


def list_connections(world: World, url: str, org_url: str, org: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the connections to a sandbox at `url`: `{vendor: {"host", "login", "password", "extra"}}`.

    The CRM's connection has the host `org_url` and the extra fields `org`: `pubsub`, the address of its events, and `shape`. It has no
    login, because the client first registers an app there.
    """
    vendors = {vendor.name: _connection(**vendor.connect(world, url)) for vendor in VENDORS}
    return vendors | {"salesforce": _connection(org_url, **org)}


def _connection(host: str, login: str = "", password: str = "", **extra: str) -> dict[str, Any]:
    return {"host": host, "login": login, "password": password, "extra": extra}

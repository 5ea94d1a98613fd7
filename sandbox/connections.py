"""The Airflow connections to this sandbox. Their credentials are valid only here."""

from typing import Any

from sandbox.firm.world import World
from sandbox.vendors import VENDORS


def list_connections(world: World, url: str, org_url: str, pubsub: str) -> dict[str, dict[str, Any]]:
    """Return `{vendor: {"host", "login", "password", "extra"}}` of a sandbox at `url`.

    The CRM is at `org_url`, without a login: its caller registers an app first. Its events are at `pubsub`.
    """
    vendors = {vendor.name: _connection(**vendor.connect(world, url)) for vendor in VENDORS}
    return vendors | {"salesforce": _connection(org_url, pubsub=pubsub)}


def _connection(host: str, login: str = "", password: str = "", **extra: str) -> dict[str, Any]:
    return {"host": host, "login": login, "password": password, "extra": extra}

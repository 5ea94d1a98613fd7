"""Plan the on-demand refresh of one client: a run for each vendor that can return single clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from include.contract import Vendor
from include.crm.changes.refresh import Client
from include.errors import ConfigurationError
from include.pipeline.plan import plan_day
from include.vendors import VENDORS


def plan_refresh(clients: Sequence[Client], name: str = "") -> dict[str, dict[str, Any]]:
    """Plan the on-demand runs that refresh one client.

    Args:
        clients: The client's records at the vendors.
        name: Name of the vendor to pull from; empty for all vendors.

    Returns:
        Vendor -> params of its DAG run. A vendor is left out if it has no record of the client, or can only return all clients.
    """
    plans = {}
    for vendor in VENDORS:
        keys = sorted(
            {each.key for each in clients if each.vendor == vendor.name and each.entity == find_entity(vendor)}
        )
        params = {
            "tables": [table.name for table in vendor.requested_tables],
            "business_date": None,
            "full_refresh": False,
            "wait": True,
            "on_demand": True,
            "keys": keys,
        }
        if keys and name in ("", vendor.name) and _can_plan(vendor, params):
            plans[vendor.name] = params
    return plans


def find_entity(vendor: Vendor) -> str:
    """Return the entity whose keys select single clients of a vendor: `household` or `person`.

    It is `household` if the vendor has both, because a person's key may be derived from the household's.
    """
    keyed = {table.name for table in vendor.requested_tables if vendor.is_keyed(table)}
    entities = {each.entity for each in vendor.maps if each.table in keyed}
    return "household" if "household" in entities else "person"


def _can_plan(vendor: Vendor, params: dict[str, Any]) -> bool:
    try:
        plan_day(vendor, params, None)
    except ConfigurationError:
        return False
    return True

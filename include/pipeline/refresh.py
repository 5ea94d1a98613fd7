"""What has to be pulled to bring one client's figures up to date: of each vendor that can be asked for single clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from include.contract import Vendor
from include.crm.changes.refresh import Client
from include.errors import ConfigurationError
from include.pipeline.plan import plan_day
from include.vendors import VENDORS


def plan_refresh(clients: Sequence[Client], name: str = "") -> dict[str, dict[str, Any]]:
    """Plans on-demand runs.

    Args:
        clients: The records that vendors have of the client.
        name: Of the vendor to ask; empty for every one that can be asked for single clients.

    Returns:
        Vendor -> what the form of its DAG is filled in with. A vendor that has no record of the client, or can only be asked for
        everything at once, is left out.
    """
    found = {}
    for vendor in VENDORS:
        keys = sorted({each.key for each in clients if each.vendor == vendor.name and each.entity == _entity(vendor)})
        params = {
            "tables": [table.name for table in vendor.asked],
            "business_date": None,
            "full_refresh": False,
            "wait": True,
            "on_demand": True,
            "keys": keys,
        }
        if keys and name in ("", vendor.name) and _can_be_asked(vendor, params):
            found[vendor.name] = params
    return found


def _entity(vendor: Vendor) -> str:
    """The entity whose keys choose single clients: a person's own may be made of a household's."""
    keyed = {table.name for table in vendor.asked if vendor.is_keyed(table)}
    entities = {each.entity for each in vendor.maps if each.table in keyed}
    return "household" if "household" in entities else "person"


def _can_be_asked(vendor: Vendor, params: dict[str, Any]) -> bool:
    try:
        plan_day(vendor, params, None)
    except ConfigurationError:
        return False
    return True

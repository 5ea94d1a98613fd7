"""What all Operations pages share: their headers, the values that every template uses, and the right to see clients."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from include.contract import Vendor
from include.operations.lists import GROUPS
from include.vendors import VENDORS
from tributary.operations.rendering import render

HEADERS = {
    # The pages contain text from vendors: only our own scripts run, and nothing is loaded from other hosts.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
REPLAYABLE = {
    f"{vendor.name}.{table.name}" for vendor in VENDORS for table in vendor.requested_tables if not table.parent
}
"""Tables whose dead letters can be replayed, as `<vendor>.<table>`."""
SNAPSHOTS = {f"{vendor.name}.{table.name}" for vendor in VENDORS for table in vendor.tables if table.pull == "snapshot"}
"""Tables whose rows are about one business date."""

require_reviewer = requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, "salesforce")
"""Dependency of pages that show clients: the right to answer approval requests of the DAG `salesforce`."""


def show_page(template: str, here: str = "", root: str = "./", **values: Any) -> HTMLResponse:
    """Return a page. `here` is its entry in the navigation; `root` leads from its address to the start page."""
    return HTMLResponse(
        render(template, groups=GROUPS, replayable=REPLAYABLE, snapshots=SNAPSHOTS, here=here, root=root, **values),
        headers=HEADERS,
    )


def find_vendor(name: str) -> Vendor:
    """Return the vendor with a name.

    Raises:
        HTTPException: 404, there is no such vendor.
    """
    vendor = next((vendor for vendor in VENDORS if vendor.name == name), None)
    if vendor is None:
        raise HTTPException(404, "There is no such vendor", headers=HEADERS)
    return vendor

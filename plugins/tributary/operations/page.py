"""Shared parts of all Operations pages: their headers, and the values that every template uses."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from include.contract import Vendor
from include.operations.navigation import PARTS, PATHS
from include.vendors import VENDORS
from tributary.operations.rendering import render
from tributary.policy import vendor_of

HEADERS = {
    # The pages contain text from vendors and users: only our own scripts run, and nothing is loaded from other hosts.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would not send the origin of our own forms
    "Cache-Control": "private, no-store",
}


def show_page(template: str, here: str = "", root: str = "./", status_code: int = 200, **values: Any) -> HTMLResponse:
    """Return a page.

    Args:
        template: Name of its template.
        here: Its entry in the navigation.
        root: Relative URL of the start page, as seen from this page.
        status_code: HTTP status.
        **values: What the template shows.
    """
    page = render(template, navigation=PARTS, paths=PATHS, here=here, root=root, **values)
    return HTMLResponse(page, status_code, HEADERS)


def find_vendor_name(dag_id: str) -> str:
    """Return the name of the vendor whose daily, on-demand or live DAG it is; empty for any other DAG."""
    name = vendor_of(dag_id)
    return name if any(vendor.name == name for vendor in VENDORS) else ""


def find_vendor(name: str) -> Vendor:
    """Return the vendor with a name.

    Raises:
        HTTPException: 404, unknown vendor.
    """
    vendor = next((vendor for vendor in VENDORS if vendor.name == name), None)
    if vendor is None:
        raise HTTPException(404, "Vendor not found", headers=HEADERS)
    return vendor

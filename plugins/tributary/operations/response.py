"""Respond with the pages of Operations: the frame that all pages share, and the headers that protect them."""

from __future__ import annotations

from typing import Any

from fastapi.responses import HTMLResponse

from include.operations.lists import GROUPS
from include.vendors import VENDORS
from tributary.operations.rendering import render

HEADERS = {
    # The pages contain text from vendors: only our own script runs, and nothing is loaded from other hosts.
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


def respond(template: str, here: str = "", root: str = "./", **values: Any) -> HTMLResponse:
    """Return a page. `here` is its entry in the navigation; `root` leads from its address to the start page."""
    return HTMLResponse(
        render(template, groups=GROUPS, replayable=REPLAYABLE, snapshots=SNAPSHOTS, here=here, root=root, **values),
        headers=HEADERS,
    )

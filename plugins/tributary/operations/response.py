"""Responses of the Operations pages."""

from __future__ import annotations

from typing import Any

from fastapi.responses import HTMLResponse

from include.operations.lists import GROUPS
from tributary.operations.rendering import render

HEADERS = {
    # The pages contain text from vendors and users: only our own script runs, and nothing is loaded from other hosts.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would not send the origin of our own forms
    "Cache-Control": "private, no-store",
}


def respond(template: str, here: str = "", root: str = "./", status_code: int = 200, **values: Any) -> HTMLResponse:
    """Return a page.

    Args:
        template: Name of its template.
        here: Its entry in the navigation.
        root: Leads from its address to the start page.
        status_code: HTTP status.
        **values: What the template shows.
    """
    return HTMLResponse(render(template, groups=GROUPS, here=here, root=root, **values), status_code, HEADERS)

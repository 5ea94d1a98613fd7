"""Data Docs, the report on data quality to hand out, in Airflow's menu under Browse; and the pages of changes to Salesforce.

`include.validation.docs.build` and `include.crm.sync.difference.write` write the pages to staging, encrypted. Both show values of clients: they require the permission to answer approval requests of the DAG `salesforce`, as
*Who is who* does. The audit trail records who opened which page.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import HTMLResponse, Response

from tributary.connections import describe_missing
from tributary.operations.access import require_reviewer

# The pages contain vendors' values: no script may run in them, and nothing is loaded from other hosts.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}

# Airflow mounts plugin apps without authentication.
app = FastAPI(title="Data Docs", dependencies=[Depends(require_reviewer)], openapi_url=None)
changes = FastAPI(title="Changes to Salesforce", dependencies=[Depends(require_reviewer)], openapi_url=None)


@app.exception_handler(HTTPException)
@changes.exception_handler(HTTPException)
async def explain_failure(request: Request, error: HTTPException) -> Response:
    """Return the reason as a page, if a browser shows it; else the usual response."""
    if "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    return HTMLResponse(f"<p>{escape(str(error.detail))}</p>", error.status_code, HEADERS)


@app.get("/{page:path}")
def read_page(page: str, user: GetUserDep) -> HTMLResponse:
    """Return a page of the site; before the first validation, the start page says that nothing has been validated yet.

    Raises:
        HTTPException: 404, there is no such page; 502, its file was altered or moved; 503, the storage, the database or the connection to
            one of them is unavailable.
    """
    from include.validation.site import read_page as read

    try:
        return _read(read, page or "index.html", user.get_name(), "report.opened")
    except HTTPException as error:
        if error.status_code == 404 and not page:
            return HTMLResponse("<p>Nothing has been validated yet.</p>", headers=HEADERS)
        raise


@changes.get("/{page}")
def read_changes(page: str, user: GetUserDep) -> HTMLResponse:
    """Return the page of a run's changes to Salesforce. It shows names, birth dates and balances of clients.

    Raises:
        HTTPException: As for `read_page`.
    """
    from include.crm.sync.difference import read_page as read

    return _read(read, page, user.get_name(), "changes.opened")


def _read(read: Callable[[Any, str], bytes], page: str, user: str, action: str) -> HTMLResponse:
    from include.errors import TargetUnavailable, TributaryError
    from tributary import audit, connections

    try:
        content = read(connections.staging(), page)
        audit.record(user, action, page)
    except TargetUnavailable as error:
        raise HTTPException(503, str(error), headers=HEADERS) from error
    except AirflowNotFoundException as error:
        raise HTTPException(503, describe_missing(error), headers=HEADERS) from error
    except FileNotFoundError as error:
        raise HTTPException(
            404, "Page not found: the address is wrong, or its retention period has ended", headers=HEADERS
        ) from error
    except TributaryError as error:
        raise HTTPException(502, str(error), headers=HEADERS) from error
    return HTMLResponse(content, headers=HEADERS)


class DataDocs(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "data_docs"
    # Airflow requires these names as class attributes.
    fastapi_apps = [  # noqa: RUF012
        {"app": app, "url_prefix": "/data-docs", "name": "Data Docs"},
        {"app": changes, "url_prefix": "/salesforce-changes", "name": "Changes to Salesforce"},
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Data Docs",
            "href": "/data-docs/",
            "destination": "nav",
            "category": "browse",
            "url_route": "data-quality",
        },
    ]

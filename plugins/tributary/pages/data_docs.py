"""The data quality pages inside Airflow: in the menu under Browse, and on the page of each run.

`include.validation.docs.build` writes the pages to the folder that the environment variable `TRIBUTARY_DATA_DOCS` names. The audit trail
records who opened which page, because a page may show rows that failed a check.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

FOLDER = "TRIBUTARY_DATA_DOCS"

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
app = FastAPI(title="Data Docs", dependencies=[Depends(get_user)], openapi_url=None)


@app.get("/{page:path}")
def read_page(page: str, user: GetUserDep) -> HTMLResponse:
    """Return a page of the site; before the first validation, the start page says that nothing has been validated yet.

    Raises:
        HTTPException: 404, there is no such page; 503, the environment variable is not set, or the database is unavailable.
    """
    from include.errors import TargetUnavailable
    from tributary.pages import audit

    if not os.environ.get(FOLDER):
        raise HTTPException(503, f"The environment variable {FOLDER} is not set")
    site = (Path(os.environ[FOLDER]) / "site").resolve()
    if not page and not site.exists():
        return HTMLResponse("<p>Nothing has been validated yet.</p>", headers=HEADERS)
    try:
        path = (site / (page or "index.html")).resolve()
        if not path.is_relative_to(site) or path.suffix != ".html":
            raise HTTPException(404, headers=HEADERS)
        content = path.read_bytes()
        audit.record(user.get_name(), "report.opened", str(path.relative_to(site)))
    except TargetUnavailable as error:
        raise HTTPException(503, str(error), headers=HEADERS) from error
    except (OSError, ValueError) as error:  # no such page, or an invalid path: too long, or contains NUL
        raise HTTPException(404, headers=HEADERS) from error
    return HTMLResponse(content, headers=HEADERS)


class DataDocs(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "data_docs"
    # Airflow requires these names as class attributes.
    fastapi_apps = [{"app": app, "url_prefix": "/data-docs", "name": "Data Docs"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Data quality",
            "href": "/data-docs/",
            "destination": "nav",
            "category": "browse",
            "url_route": "data-quality",
        },
        {
            "name": "Data quality",
            "href": "/data-docs/index.html#{RUN_ID}",
            "destination": "dag_run",
            "url_route": "data-quality-of-run",
        },
    ]

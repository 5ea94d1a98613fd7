"""Serve signed documents at `/documents/<hash of the content>`, behind Airflow's login.

Reading a document requires the permission to answer approval requests of the DAG `salesforce`, as *Who is who* does. The audit trail
records who opened which document.
"""

from __future__ import annotations

import re
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import Response

from tributary.connections import describe_missing
from tributary.operations.access import require_reviewer

# A signed file may contain anything, so the browser shows it in a sandbox without access to other content.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}

# Airflow mounts plugin apps without authentication.
app = FastAPI(title="Documents", dependencies=[Depends(require_reviewer)], openapi_url=None)


@app.get("/{content_hash}")
def read_document(content_hash: str, user: GetUserDep) -> Response:
    """Return a document as PDF.

    Raises:
        HTTPException: 404, there is no such document; 502, its content no longer matches its hash, or the storage is unavailable; 503, the
            database is unavailable, or a connection is missing.
    """
    from include.errors import TargetUnavailable, TributaryError
    from include.pipeline import documents
    from tributary import audit

    if not re.fullmatch(r"[0-9a-f]{64}", content_hash):
        raise HTTPException(404, headers=HEADERS)
    try:
        content = documents.read(_staging(), content_hash)
        audit.record(user.get_name(), "document.opened", content_hash)
    except TargetUnavailable as error:
        raise HTTPException(503, str(error), headers=HEADERS) from error
    except AirflowNotFoundException as error:
        raise HTTPException(503, describe_missing(error), headers=HEADERS) from error
    except FileNotFoundError as error:
        raise HTTPException(404, headers=HEADERS) from error
    except TributaryError as error:
        raise HTTPException(502, str(error), headers=HEADERS) from error
    name = f'inline; filename="{content_hash[:12]}.pdf"'
    return Response(content, media_type="application/pdf", headers=HEADERS | {"Content-Disposition": name})


def _staging() -> Any:
    from tributary import connections

    return connections.staging()


class Documents(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "documents"
    # Airflow requires this name as a class attribute.
    fastapi_apps = [{"app": app, "url_prefix": "/documents", "name": "Documents"}]  # noqa: RUF012

"""Permissions on the Operations pages. Airflow's auth manager decides; most functions are dependencies of routes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import HTTPException, Request

from tributary.operations.page import HEADERS

require_reviewer = requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, "salesforce")
"""Require the right to answer approval requests of the DAG `salesforce`, because that DAG sends the outcome to advisors."""


def require_admin(user: GetUserDep) -> None:
    """Require the rights to change connections and roles. In production (FAB), only the role `Admin` has both.

    Raises:
        HTTPException: 403, the user lacks one of them.
    """
    manager = get_auth_manager()
    may_change_roles = manager.is_authorized_custom_view(method="PUT", resource_name="Roles", user=user)
    if not (may_change_roles and manager.is_authorized_connection(method="POST", user=user)):
        raise HTTPException(403, "Only users with the role Admin may do this", headers=HEADERS)


def can_start_runs(user: Any, dag_id: str) -> bool:
    """Return whether a user may start runs of a DAG."""
    details = DagDetails(id=dag_id)
    manager = get_auth_manager()
    return bool(manager.is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, details=details, user=user))


def refuse_nul(request: Request) -> None:
    """Reject addresses with the character NUL, which the database can't store or compare.

    Raises:
        HTTPException: 422, a part of the path or a query parameter contains it.
    """
    texts = [*request.path_params.values(), *request.query_params.keys(), *request.query_params.values()]
    if any("\x00" in str(text) for text in texts):
        raise HTTPException(422, "The address contains the character NUL", headers=HEADERS)


def refuse_foreign_page(request: Request) -> None:
    """Reject posts from pages of other sites, because browsers send the login cookie with them.

    A request with a bearer token is accepted from anywhere, because browsers never add a token by themselves.

    Raises:
        HTTPException: 403, the request has no token and does not come from a page of this server.
    """
    headers = request.headers
    if headers.get("authorization", "").lower().startswith("bearer "):
        return
    own = urlsplit(headers.get("origin", "")).netloc
    is_own = headers.get("sec-fetch-site", "same-origin") == "same-origin" and own and own == headers.get("host")
    if not is_own:
        raise HTTPException(403, "Only pages of this server, or a request with a token, may do this", headers=HEADERS)

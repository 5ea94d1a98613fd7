"""The audit trail of people: pages that they open, and changes that they make in Airflow.

A page that shows clients' data is recorded before it is shown. If the database is unavailable, it is not shown. A change in Airflow, such as
a new Variable or a cleared run, is recorded after it, with its status, so that operators can act while our database is unavailable.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from airflow.plugins_manager import AirflowPlugin
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from include.audit import trail

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@cache
def database() -> Engine:
    """Return the engine of the API server's pages."""
    from tributary import connections

    return connections.database()


def record(actor: str, action: str, subject: str, **details: Any) -> None:
    """Add an entry to the audit trail, and commit it.

    Raises:
        TargetUnavailable: The database is unavailable.
    """
    with database().begin() as connection:
        trail.record(connection, actor, action, subject, details)


class RecordChanges:
    """ASGI middleware that records each call of Airflow's API that may change something.

    Args:
        app: The application that responds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. If it is a change, record it before the caller gets the response."""
        if scope["type"] != "http" or scope["method"] not in CHANGING or not scope["path"].startswith("/api/v2/"):
            await self._app(scope, receive, send)
            return
        actor = await _find_user(Request(scope))

        async def record_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await run_in_threadpool(_record_call, actor, f"{scope['method']} {scope['path']}", message["status"])
            await send(message)

        await self._app(scope, receive, record_and_send)


async def _find_user(request: Request) -> str:
    """Return the name of the logged-in user; `anonymous` without a valid login."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        user = await resolve_user_from_token(
            token if kind.lower() == "bearer" else request.cookies.get(COOKIE_NAME_JWT_TOKEN)
        )
    except (HTTPException, ValueError):
        return "anonymous"
    return user.get_name()


def _record_call(actor: str, call: str, status: int) -> None:
    try:
        record(actor, "airflow.called", call, status=status)
    except Exception:
        log.exception("The audit trail lacks a call of Airflow's API: %s by %s, status %d", call, actor, status)


class Audit(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "audit"
    # Airflow requires this name as a class attribute.
    fastapi_root_middlewares = [{"middleware": RecordChanges, "args": [], "kwargs": {}, "name": "Audit trail"}]  # noqa: RUF012

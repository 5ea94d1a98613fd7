"""Refuse a backfill whose form sets a business date, before Airflow creates its runs.

The date would apply to every run of the backfill, so every run would fail. Airflow checks a form only against its JSON schema, which does
not know whether the form starts one run or a backfill.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/api/v2/backfills", "/api/v2/backfills/dry_run")
WHY = (
    "Leave the business date empty in a backfill: each run has its own, and this one would apply to all runs. To load one date, start a"
    " single run. To choose a backfill's dates, use the vendor's page in Operations."
)


class RefuseSharedDate:
    """ASGI middleware that answers 422 to a backfill whose parameters contain a business date.

    Args:
        app: The application that handles all other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it to the application unchanged."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in PATHS:
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        if _has_date(body):
            await JSONResponse({"detail": WHY}, 422)(scope, receive, send)
            return
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, receive_again, send)


def _has_date(body: bytes) -> bool:
    try:
        conf = json.loads(body)["dag_run_conf"]
    except (ValueError, KeyError, TypeError):
        return False  # Airflow answers an invalid request
    return isinstance(conf, dict) and bool(conf.get("business_date"))


class BackfillForm(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "backfill_form"
    # Airflow requires this name as a class attribute.
    fastapi_root_middlewares = [  # noqa: RUF012
        {"middleware": RefuseSharedDate, "args": [], "kwargs": {}, "name": "Backfill form"}
    ]

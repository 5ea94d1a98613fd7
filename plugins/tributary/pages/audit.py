"""Record in the audit trail the changes that users make in Airflow, such as a new Variable, a cleared run or a new user; log refusals.

The entry has the HTTP status, and is written before the caller gets the response. If our database is unavailable, the change
still succeeds, so that operators can act during an outage. The entry is then only in the API server's log.

The entry of an answer to an approval request also has the chosen option and the reason. The decision is recorded from this entry, because
it is written in the user's own session; see `include.crm.sync.approval`.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from airflow.plugins_manager import AirflowPlugin
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from tributary import audit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
PATHS = ("/api/v2/", "/auth/")
LOGINS = ("/auth/login", "/auth/logout", "/auth/token")
"""Paths of logins and logouts. They are not recorded here, because `tributary.sign_on` records them."""
ANSWER = re.compile(r"PATCH /api/v2/dags/approve_salesforce/dagRuns/[^/]+/taskInstances/decide/-1/hitlDetails")
"""The call with which a user answers an approval request."""
MAX_ANSWER_BYTES = 100_000


class RecordChanges:
    """ASGI middleware that records each call to Airflow's API by which a logged-in user may change something.

    Args:
        app: The application that handles the requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application. If the request may change something, record it before the caller gets the response.

        If the application raises, the call is recorded with status 500, and the exception is raised again.
        """
        if not _is_change(scope) or (actor := await _find_user(Request(scope))) is None:
            await self._app(scope, receive, _log_refusals(scope, send))
            return
        call, body = f"{scope['method']} {scope['path']}", bytearray()

        async def receive_and_keep() -> Message:
            message = await receive()
            if ANSWER.fullmatch(call) and len(body) <= MAX_ANSWER_BYTES:
                body.extend(message.get("body", b""))
            return message

        async def record_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await run_in_threadpool(_record_call, actor, call, message["status"], bytes(body))
            await send(message)

        try:
            await self._app(scope, receive_and_keep, record_and_send)
        except Exception:
            await run_in_threadpool(_record_call, actor, call, 500)
            raise


def _log_refusals(scope: Scope, send: Send) -> Send:
    """Return a function that sends a response. If the response refuses a logged-in user's request (403), the function logs it first."""

    async def log_and_send(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 403:
            request = Request(scope)
            if user := await _find_user(request):
                address = request.client.host if request.client else None
                call = f"{scope['method']} {scope['path']}"
                log.warning("refused %s", json.dumps({"user": user, "call": call, "address": address}))
        await send(message)

    return log_and_send


def _is_change(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] not in CHANGING:
        return False
    path: str = scope["path"]
    is_reading = path.endswith("/list")  # a list whose filters are in the body
    return path.startswith(PATHS) and not path.startswith(LOGINS) and not is_reading


async def _find_user(request: Request) -> str | None:
    """Return the name of the logged-in user; None without a valid login. Such a call changes nothing.

    As in Airflow, the token of the header is used if there is one, otherwise the token of the cookie.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if kind.lower() == "bearer" else ""
    try:
        user = await resolve_user_from_token(bearer or request.cookies.get(COOKIE_NAME_JWT_TOKEN))
    except (HTTPException, ValueError):
        return None
    return user.get_name()


def _record_call(actor: str, call: str, status: int, answer: bytes = b"") -> None:
    try:
        audit.record(
            actor, "airflow.called", call, status=status, **(_read_answer(answer) if answer and status == 200 else {})
        )
    except Exception:
        log.exception("The audit trail lacks a call of Airflow's API: %s by %s, status %d", call, actor, status)


def _read_answer(body: bytes) -> dict[str, Any]:
    """Return the option and the reason of an answer that Airflow has accepted. It has one option."""
    answer = json.loads(body)
    [option] = answer["chosen_options"]
    return {"chosen_option": option, "reason": str((answer.get("params_input") or {}).get("reason") or "")[:500]}


class Audit(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "audit"
    # Airflow requires this name as a class attribute.
    fastapi_root_middlewares = [{"middleware": RecordChanges, "args": [], "kwargs": {}, "name": "Audit trail"}]  # noqa: RUF012

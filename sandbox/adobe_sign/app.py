"""Adobe Acrobat Sign: REST v6, login and webhooks.

None of this has been checked against the real service. Each module states which behavior is documented and which is our choice.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Body, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from sandbox.adobe_sign.account import Account, open_state
from sandbox.adobe_sign.endpoint import create_adobe_app
from sandbox.adobe_sign.login import CLIENT_ID, CLIENT_SECRET, INTEGRATION_KEY, REFRESH_TOKEN
from sandbox.adobe_sign.routes import add_routes, find_point
from sandbox.adobe_sign.rows import draw_agreements, draw_users
from sandbox.adobe_sign.webhook_routes import add_webhook_routes
from sandbox.firm.world import World
from sandbox.server.response import read_form, reply

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "INTEGRATION_KEY",
    "REFRESH_TOKEN",
    "Account",
    "create_admin_router",
    "create_app",
    "list_true_matches",
]

Row = dict[str, Any]

API = "/api/rest/v6"


def create_app(account: Account) -> FastAPI:
    """Return the application to mount at `/adobe_sign`. Notifications are sent while the application runs."""
    app = create_adobe_app()

    @contextlib.asynccontextmanager
    async def run_lifespan(app: FastAPI) -> AsyncIterator[None]:
        account.webhooks.start()
        try:
            yield
        finally:
            await run_in_threadpool(account.webhooks.stop)

    app.router.lifespan_context = run_lifespan
    _add_login(app, account)
    add_routes(app, API, account)
    add_webhook_routes(
        app, API, account.authorizer, account.webhooks, lambda: account.users, lambda id_: account.find(id_) is not None
    )
    return app


def create_admin_router(account: Account) -> APIRouter:
    """Return the router of `POST /_sandbox/adobe_sign/quiet`.

    The route waits up to `seconds` (10 by default) until all notifications are delivered, dropped or lost, and returns their counts by
    state. It is not an edit, because a waiting edit would block the whole sandbox.
    """
    router = APIRouter(prefix="/_sandbox/adobe_sign")

    @router.post("/quiet")
    def wait_until_quiet(values: Row = Body(default_factory=dict)) -> Response:  # noqa: B008
        return reply(account.webhooks.wait(float(values.get("seconds", 10))))

    return router


def _add_login(app: FastAPI, account: Account) -> None:
    @app.post("/oauth/v2/token")
    async def redeem(request: Request) -> Response:
        form, point = await read_form(request), find_point(request)
        token = await run_in_threadpool(account.login.redeem, form)
        return reply(token | {"api_access_point": point, "web_access_point": point})

    @app.post("/oauth/v2/refresh")
    async def refresh(request: Request) -> Response:
        return reply(await run_in_threadpool(account.login.refresh, await read_form(request)))

    @app.post("/oauth/v2/revoke")
    async def revoke(request: Request) -> Response:
        await run_in_threadpool(account.login.revoke, await read_form(request))
        return Response()


def list_true_matches(world: World) -> list[tuple[str, str]]:
    """Return the correct matches, as pairs of keys (`agreements:<id>`, `household:<id>`), one for each generated agreement."""
    book, drawn_at = world.open_book(), datetime.fromisoformat(open_state(world).load()["drawn_at"])
    return [
        (f"agreements:{agreement.id}", f"household:{household.id}")
        for household, agreement in draw_agreements(book, draw_users(book.representatives), drawn_at)
    ]

"""The HTTP application of the org: login, the checks before every data request, the data and bulk resources, and the admin routes."""

import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from sandbox.salesforce.admin import create_router
from sandbox.salesforce.bulk import answer_bulk, read_json
from sandbox.salesforce.call import Call
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.identity import describe_identity, describe_userinfo, identity_url
from sandbox.salesforce.jobs import Jobs
from sandbox.salesforce.org import ADMINISTRATOR, Org
from sandbox.salesforce.pubsub import PubSub
from sandbox.salesforce.pubsub_bus import calling_as
from sandbox.salesforce.query import PAGE_ROWS
from sandbox.salesforce.routes import answer_call
from sandbox.salesforce.sessions import OAuthError
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults

VERSIONS = range(50, 67)
_VERSION = re.compile(r"v(\d\d)\.0")
_CLIENT = re.compile(r"client=([^,;\s]+)")
_BATCH_SIZE = re.compile(r"batchSize=(\d+)")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_BAD_TOKEN = PlainTextResponse("Bad_OAuth_Token", 403)


def create_app(
    state_dir: Path, faults: Faults | None = None, clock: Clock | None = None, shape: str | None = None
) -> FastAPI:
    """Create the org's application. It must be served at the root of an origin, because its URLs have no prefix.

    Faults that are set on the full path of a call:

    - `token_expired`: the token of the call expires.
    - `request_limit`: the daily calls are used up.
    - `unavailable`: the org is down, also for logins; without `times`, until the fault is removed.
    - `row_lock`: a share of the rows (`share`) is locked.

    Faults that are set on the path of a job (`.../jobs/ingest/750...`):

    - `row_lock`: a share of the rows is locked.
    - `row_parent_lock`: a share of the rows whose parent is also in the previous batch is locked.
    - `job_failed`: the job fails after `processed` rows.
    - `job_slow`: the job starts `seconds` later.

    The org is `app.state.org`. Its Pub/Sub API (see `pubsub`) runs as long as the application, at `app.state.pubsub.url`. The
    admin routes for tests and the operator are a separate application, `app.state.admin`.

    Args:
        state_dir: Folder that contains the folder `salesforce` with the org's state; created if missing.
        faults: The active faults; none by default.
        clock: The sandbox's time; by default that of the machine.
        shape: What the org is; see `Org`.

    Raises:
        ValueError: The folder holds an org of another shape.
    """
    org = Org(state_dir / "salesforce", faults or Faults(), clock or Clock(), shape)
    jobs, pubsub = Jobs(org), PubSub(org)

    @asynccontextmanager
    async def run_lifespan(app: FastAPI) -> AsyncIterator[None]:
        pubsub.start()
        yield
        await run_in_threadpool(pubsub.close)
        jobs.close()
        org.store.close()

    app = FastAPI(title="Sandbox Salesforce org", openapi_url=None, lifespan=run_lifespan)
    app.state.org, app.state.pubsub = org, pubsub
    app.state.admin = admin = FastAPI(openapi_url=None)
    admin.include_router(create_router(org, org.find_user(ADMINISTRATOR)))
    for each in (app, admin):
        each.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(404, _refuse_path)
    app.add_exception_handler(OAuthError, _refuse_login)

    _add_login(app, org)
    _add_data(app, org, jobs)
    return app


def _add_login(app: FastAPI, org: Org) -> None:
    """Add the routes that log in and out, and those that identify the user of a token."""

    @app.post("/services/oauth2/token")
    async def log_in(request: Request) -> Response:
        _check_available(org, request)
        form = {name: str(value) for name, value in (await request.form()).items()}
        return await run_in_threadpool(_log_in, org, form, request.headers.get("authorization", ""), _base(request))

    @app.api_route("/services/oauth2/revoke", methods=["GET", "POST"])
    async def revoke(request: Request) -> Response:
        _check_available(org, request)
        form = await request.form()
        token = str(form.get("token") or request.query_params.get("token", ""))
        await run_in_threadpool(org.sessions.revoke, token)
        return Response()

    @app.api_route("/services/oauth2/userinfo", methods=["GET", "POST"])
    def show_userinfo(request: Request) -> Response:
        username = _find_owner(org, request)
        if username is None:
            return _BAD_TOKEN
        return _respond(describe_userinfo(org, _base(request), org.find_user(username)))

    @app.get("/id/{org_id}/{user_id}")
    def show_identity(request: Request, org_id: str, user_id: str) -> Response:
        if _find_owner(org, request) is None:
            return _BAD_TOKEN
        identity = describe_identity(org, _base(request), org_id, user_id)
        return _respond(identity) if identity else PlainTextResponse("Bad_Id", 403)


def _add_data(app: FastAPI, org: Org, jobs: Jobs) -> None:
    """Add the routes of all API versions. Each call is authorized first, and its response states the calls used today."""

    @app.get("/services/data")
    def list_versions() -> list[dict[str, str]]:
        return [{"label": f"API {v}", "url": f"/services/data/v{v}.0", "version": f"{v}.0"} for v in VERSIONS]

    @app.api_route("/services/data/{version}", methods=_METHODS)
    @app.api_route("/services/data/{version}/{path:path}", methods=_METHODS)
    async def answer(request: Request, version: str) -> Response:
        match = _VERSION.fullmatch(version)
        if match is None or int(match[1]) not in VERSIONS:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        path = request.scope["raw_path"].decode().partition(f"/services/data/{version}")[2]
        try:
            username = await run_in_threadpool(_authorize, org, request)
            user_id = await run_in_threadpool(org.find_user, username)
            client = _CLIENT.search(request.headers.get("sforce-call-options", ""))
            with calling_as(client[1] if client else ""):
                if path.startswith("/jobs/"):
                    response = await answer_bulk(org, jobs, request, version, path.removeprefix("/jobs"), user_id)
                else:
                    response = await _answer_data(org, request, version, path, user_id)
        except ApiError as error:
            response = _respond(error.body, error.status)
        response.headers["Sforce-Limit-Info"] = f"api-usage={org.sessions.calls_used}/{org.sessions.daily_calls}"
        return response


async def _answer_data(org: Org, request: Request, version: str, path: str, user_id: str) -> Response:
    batch_size = _BATCH_SIZE.search(request.headers.get("sforce-query-options", ""))
    call = Call(
        org,
        user_id,
        _base(request),
        version,
        request.method,
        path,
        request.scope["path"],
        params=dict(request.query_params),
        body=await read_json(request),
        page_rows=min(PAGE_ROWS, max(200, int(batch_size[1]))) if batch_size else PAGE_ROWS,
    )
    answer = await run_in_threadpool(answer_call, call)
    if answer.body is None:
        return Response(status_code=answer.status)
    return _respond(answer.body, answer.status, answer.headers)


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _respond(error.body, error.status)


def _refuse_path(request: Request, error: Exception) -> Response:
    return _refuse(request, ApiError(404, "NOT_FOUND", "The requested resource does not exist"))


def _refuse_login(request: Request, error: Exception) -> Response:
    assert isinstance(error, OAuthError)
    return _respond(error.body, 400)


def _authorize(org: Org, request: Request) -> str:
    """Return the username of the call's token, after applying the faults that affect every call.

    Raises:
        ApiError: The token is invalid, the daily calls are used up, or the org is unavailable.
    """
    path = request.scope["path"]
    token = request.headers.get("authorization", "").partition(" ")[2]
    _check_available(org, request)
    if org.faults.take(path, "request_limit"):
        raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    if org.faults.take(path, "token_expired"):
        org.sessions.expire(token)
    return org.sessions.use(token)


def _check_available(org: Org, request: Request) -> None:
    if org.faults.take(request.scope["path"], "unavailable"):
        raise ApiError(503, "SERVER_UNAVAILABLE", "Too many requests waiting for connections")


def _log_in(org: Org, form: dict[str, str], authorization: str, base: str) -> Response:
    token, consumer = org.sessions.log_in(form, _basic(authorization), base)
    user_id = org.find_user(consumer.username)
    answer: dict[str, Any] = {
        "access_token": token,
        "scope": "api",
        "instance_url": base,
        "id": identity_url(base, user_id),
        "token_type": "Bearer",
        "token_format": "opaque",
        "issued_at": str(int(org.clock.now().timestamp() * 1000)),
    }
    return _respond(answer)


def _respond(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json;charset=UTF-8")


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _find_owner(org: Org, request: Request) -> str | None:
    """Return the username of the token in the header or, as some clients send it, in the query; None for an invalid token."""
    _check_available(org, request)
    token = request.headers.get("authorization", "").partition(" ")[2] or request.query_params.get("oauth_token", "")
    return org.sessions.find_username(token)


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, packed = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(packed, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "invalid client credentials") from error
    return name, secret

"""The routes of the API. Writes are checked, queued and acknowledged; reads come from the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from include.audit import trail
from include.contract import Table, Vendor
from include.errors import ConfigurationError
from include.gateway import traffic
from include.gateway.api import messages, reading, request_queue
from include.gateway.api.callers import Issuer
from include.gateway.api.document import build, describe_route
from include.gateway.api.endpoint import Endpoint, add_error_handlers, admit, check_parameters, read_json
from include.gateway.api.messages import Accepted, Name, ReplayOrder, RunOrder
from include.gateway.api.records import MAX_BYTES, check_records
from include.gateway.api.request_queue import Answer, Attempt
from include.gateway.api.scopes import Permission
from include.gateway.api.settings import Settings
from include.gateway.problem import Refusal
from include.keys.inbox import ReceivingKey
from include.operations import metrics, signals
from include.pipeline import plan
from include.vendors import VENDORS

RATE = "600/minute"
SMALL_BYTES = 256 * 1024

router = APIRouter(dependencies=[Depends(admit)])

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9._:-]{8,200}$",
        description="A new key for each new request; the same key when a request is retried, so that it is done once. "
        "Kept for 24 hours.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=500, description="The largest number of items to return.")]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="`next` of the previous page; left out: the first page."),
]
Since = Annotated[
    messages.Moment | None, Query(description="Return only items that were added or changed after this time.")
]
Permitted = Annotated[Permission, Depends(admit)]
SmallBody = Annotated[bytes, Depends(read_json(SMALL_BYTES))]


def create_app(
    database: Callable[[], sa.Engine],
    settings: Callable[[], Settings],
    issuer: Callable[[], Issuer],
    receiving_key: Callable[[], ReceivingKey],
    rate: str = RATE,
) -> FastAPI:
    """Create the API app, to be mounted under `/api/v1`.

    Args:
        database: Returns the engine; called when first needed. Its role needs only the privileges of `tributary_api`.
        settings: Returns the firm's settings.
        issuer: Returns the token issuer, which caches its public keys.
        receiving_key: Returns the key that encrypts pushed records; called for each push.
        rate: Rate limit per caller, such as `600/minute`; each process counts separately.
    """
    app = FastAPI(title="Tributary", openapi_url=None, redirect_slashes=False)
    app.state.endpoint = Endpoint(database, issuer, settings, rate)
    app.state.receiving_key = receiving_key
    app.include_router(router)
    add_error_handlers(app)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(check_parameters)])
    def show_document() -> JSONResponse:
        return JSONResponse(build(app, settings()))

    return app


@router.post(
    "/runs",
    operation_id="startRun",
    summary="Start a run on demand",
    status_code=202,
    **describe_route("runs", "runs:write", RunOrder, leads_to="getRun"),
)
def start_run(request: Request, permission: Permitted, body: SmallBody, key: IdempotencyKey) -> Accepted:
    """Order a run that pulls tables of a vendor for one business date. It starts within minutes; get its state from `status_url`."""
    order = RunOrder.model_validate_json(body)
    vendor = _vendor(order.vendor, 422)
    params: dict[str, Any] = {
        "tables": order.tables or [table.name for table in vendor.requested_tables],
        "business_date": None if order.business_date is None else order.business_date.isoformat(),
        "full_refresh": order.full_refresh,
        "wait": order.wait,
        "on_demand": True,
    }
    if order.clients:
        params["keys"] = order.clients
    permission.check(vendor.name, *order.tables)
    engine, attempt = _engine(request), Attempt.of(permission.caller, key, "runs", body)
    answer = request_queue.recall(engine, attempt)
    if answer is None:
        planned = _check_plan(permission, vendor, params)
        # With the tables that it pulls in addition: only a caller with the right to these may see the run.
        tables = list(dict.fromkeys([*params["tables"], *planned]))
        answer = request_queue.submit(engine, attempt, "run", vendor.name, params | {"tables": tables})
    return _accept(request, "runs", answer)


@router.get("/runs", operation_id="listRuns", summary="List runs and replays", **describe_route("runs", "status:read"))
def list_runs(
    request: Request,
    permission: Permitted,
    vendor: Annotated[Name | None, Query()] = None,
    state: Annotated[Literal["waiting", "started", "succeeded", "failed"] | None, Query()] = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> messages.RunPage:
    """Return the runs and replays that were requested through this API, the newest first.

    `since` selects the runs that were requested, or whose state was last checked, since that time. The state of a run is checked every
    few minutes until it ends.
    """
    filters = {"vendor": vendor, "state": state, "since": since}
    return messages.RunPage(**reading.read_page(_engine(request), "runs", permission, filters, limit, cursor))


@router.get(
    "/runs/{id}",
    operation_id="getRun",
    summary="Get a run or a replay",
    **describe_route("runs", "status:read", has_id=True),
)
def get_run(request: Request, permission: Permitted, id: UUID) -> messages.RunWithSteps:
    """Return a run or a replay: its state, and the row counts of each step."""
    return messages.RunWithSteps(**reading.read_run(_engine(request), permission, id))


@router.post(
    "/vendors/{vendor}/tables/{table}/records", operation_id="pushRecords", summary="Push records of a table", status_code=202,
    **describe_route("records", "records:write", "Records", has_id=True, leads_to="getPush"),
)  # fmt: skip
def push_records(
    request: Request,
    permission: Permitted,
    body: Annotated[bytes, Depends(read_json(MAX_BYTES))],
    vendor: Name,
    table: Name,
    key: IdempotencyKey,
) -> messages.AcceptedRecords:
    """Store rows of a declared table, in the vendor's field names; return the rejected rows with reasons.

    Each row must contain every field of the table (see getTable); send null for a field without a value. A row with an absent field is
    rejected. Rejected rows become dead letters; the other rows are loaded. If no row is accepted, or more than 1,000 rows are rejected,
    nothing is stored.
    """
    of_vendor = _vendor(vendor, 404)
    declared = _table(of_vendor, table, 404)
    permission.check(vendor, table)
    if not reading.is_pushable(of_vendor, declared):
        raise Refusal(404, "Records of this table can't be pushed; see listVendors")
    checked = check_records(declared, body)
    attempt = Attempt.of(permission.caller, key, f"{vendor}/{table}", body)
    answer = request_queue.push(_engine(request), attempt, vendor, table, body, request.app.state.receiving_key())
    taken = _accept(request, "pushes", answer)
    response = taken.model_dump() | {"accepted": checked.accepted, "rejected": checked.rejected}
    return messages.AcceptedRecords.model_validate(response)


@router.get(
    "/pushes/{id}",
    operation_id="getPush",
    summary="Get a push",
    **describe_route("records", "status:read", has_id=True),
)
def get_push(request: Request, permission: Permitted, id: UUID) -> messages.Push:
    """Return a push: its state, its row counts, and the rejected rows."""
    return messages.Push(**reading.read_push(_engine(request), permission, id))


@router.post(
    "/pushes/{id}/withdrawal", operation_id="withdrawPush", summary="Withdraw a push", status_code=202,
    **describe_route("records", "records:write", has_id=True, leads_to="getPush"),
)  # fmt: skip
def withdraw_push(request: Request, permission: Permitted, id: UUID, key: IdempotencyKey) -> Accepted:
    """Withdraw all records of a push; get the outcome from `status_url`, which is the push's own.

    If the push is not loaded yet, it never will be. If it is, each record gets back the version that it had before, or ends if it had
    none; a record that has changed since stays as it is. Only the caller that pushed can withdraw. A push is withdrawn at most once.
    """
    reading.read_push(_engine(request), permission, id)
    attempt = Attempt.of(permission.caller, key, f"pushes/{id}/withdrawal", b"")
    return _accept(request, "pushes", request_queue.withdraw(_engine(request), attempt, str(id)))


@router.get(
    "/vendors",
    operation_id="listVendors",
    summary="List vendors and tables",
    **describe_route("vendors", "status:read"),
)
def list_vendors(permission: Permitted) -> messages.Vendors:
    """Return the declared vendors, their tables, and which requests each table supports."""
    return messages.Vendors.model_validate({"items": reading.list_vendors(permission)})


@router.get(
    "/vendors/{vendor}/tables/{table}", operation_id="getTable", summary="Get a table and its fields",
    **describe_route("vendors", "status:read", has_id=True),
)  # fmt: skip
def get_table(permission: Permitted, vendor: Name, table: Name) -> messages.TableWithFields:
    """Return a declared table of a vendor and the fields that every pushed row must contain."""
    declared = _vendor(vendor, 404)
    described = reading.describe_table(declared, _table(declared, table, 404))
    permission.check(vendor, table)
    return messages.TableWithFields.model_validate(described)


@router.get(
    "/freshness", operation_id="getFreshness", summary="Get data freshness", **describe_route("vendors", "status:read")
)
def get_freshness(request: Request, permission: Permitted) -> messages.FreshnessOfAll:
    """Return, for every table, the newest loaded business date and whether the table is late."""
    return messages.FreshnessOfAll.model_validate(
        {"items": reading.read_freshness(_engine(request), datetime.now(UTC), permission)}
    )


@router.get(
    "/findings", operation_id="listFindings", summary="List findings", **describe_route("findings", "findings:read")
)
def list_findings(
    request: Request,
    permission: Permitted,
    vendor: Annotated[Name | None, Query()] = None,
    rule: Annotated[Name | None, Query()] = None,
    severity: Annotated[Literal["info", "warning", "critical"] | None, Query()] = None,
    household_id: Annotated[messages.Number | None, Query()] = None,
    state: Annotated[Literal["open", "closed"] | None, Query()] = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> messages.FindingPage:
    """Return the findings of the business rules, the newest first."""
    filters = {
        "vendor": vendor,
        "rule": rule,
        "severity": severity,
        "household_id": household_id,
        "state": state,
        "since": since,
    }
    return messages.FindingPage(**_read_clients_data(request, permission, "findings", filters, limit, cursor))


@router.get(
    "/dead-letters",
    operation_id="listDeadLetters",
    summary="List dead letters",
    **describe_route("dead_letters", "dead_letters:read"),
)
def list_dead_letters(
    request: Request,
    permission: Permitted,
    vendor: Annotated[Name | None, Query()] = None,
    table: Annotated[Name | None, Query()] = None,
    business_date: Annotated[messages.Day | None, Query()] = None,
    status: Annotated[Literal["open", "replayed", "superseded", "discarded"] | None, Query()] = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> messages.DeadLetterPage:
    """Return dead letters with their reasons, the newest first; never their content."""
    filters = {"vendor": vendor, "table": table, "business_date": business_date, "status": status, "since": since}
    return messages.DeadLetterPage(**_read_clients_data(request, permission, "dead-letters", filters, limit, cursor))


@router.post(
    "/dead-letters/replays", operation_id="replayDeadLetters", summary="Replay dead letters", status_code=202,
    **describe_route("dead_letters", "dead_letters:replay", ReplayOrder, leads_to="getRun"),
)  # fmt: skip
def replay_dead_letters(
    request: Request,
    permission: Permitted,
    body: SmallBody,
    key: IdempotencyKey,
) -> Accepted:
    """Order a replay, which pulls the rows of open dead letters again; get its state from `status_url`."""
    order = ReplayOrder.model_validate_json(body)
    table = _table(_vendor(order.vendor, 422), order.table, 422)
    permission.check(order.vendor, order.table)
    if table.parent:
        raise Refusal(
            422,
            f"Rows of this table are requested per row of {table.parent} and can't be replayed: start a run instead",
        )
    engine, attempt = _engine(request), Attempt.of(permission.caller, key, "replays", body)
    answer = request_queue.recall(engine, attempt)
    if answer is None:
        reading.check_open(engine, order.vendor, order.table, order.business_date, order.dead_letters)
        params = {
            "table": f"{order.vendor}.{order.table}",
            "business_date": order.business_date.isoformat(),
            "dead_letters": order.dead_letters,
            "dry_run": order.dry_run,
        }
        answer = request_queue.submit(engine, attempt, "replay", order.vendor, params)
    return _accept(request, "runs", answer)


@router.get(
    "/health", operation_id="getHealth", summary="Get health signals", **describe_route("health", "metrics:read")
)
def get_health(request: Request, permission: Permitted) -> messages.Health:
    """Return the health signals of the firm's data with one light for all of them; with a limited scope, only those of its vendors."""
    now = datetime.now(UTC)
    readings = signals.evaluate(reading.read_metrics(_engine(request), now, permission), now)
    return messages.Health.model_validate(signals.describe(readings, now))


# Not in the document: the response is not JSON, and only Prometheus reads it.
@router.get("/metrics", operation_id="getMetrics", include_in_schema=False, **describe_route("health", "metrics:read"))
def get_metrics(request: Request, permission: Permitted) -> Response:
    """Return the metrics in the text format of Prometheus; with a limited scope, only those of its vendors."""
    content = metrics.render(reading.read_metrics(_engine(request), datetime.now(UTC), permission))
    if permission.targets is None:
        content += traffic.render()
    return Response(content, media_type=metrics.CONTENT_TYPE)


def _read_clients_data(
    request: Request, permission: Permission, name: str, filters: dict[str, Any], limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return one page of a list about clients; see `reading.read_page`. Before that, record in the audit trail which items these are."""
    page = reading.read_page(_engine(request), name, permission, filters, limit, cursor)
    with _engine(request).begin() as connection:
        trail.record(
            connection, permission.caller, "api.read", name, {"ids": [item["place"] for item in page["items"]]}
        )
    return page


def _check_plan(permission: Permission, vendor: Vendor, params: dict[str, Any]) -> list[str]:
    """Refuse an impossible order now, so that it does not fail later; return the tables that the run will pull.

    Raises:
        Refusal: 422, the run can't be planned; 403, the run would also pull a table that the caller may not pull.
    """
    try:
        planned = plan.plan_day(vendor, params, None)
    except ConfigurationError as error:
        raise Refusal(422, str(error)) from None
    permission.check(vendor.name, *planned["tables"])
    return planned["tables"]


def _engine(request: Request) -> sa.Engine:
    endpoint: Endpoint = request.app.state.endpoint
    return endpoint.database()


def _accept(request: Request, collection: str, answer: Answer) -> Accepted:
    endpoint: Endpoint = request.app.state.endpoint
    url = f"{endpoint.settings().url}/{collection}/{answer.request_id}"
    return Accepted(id=UUID(answer.request_id), requested_at=answer.requested_at, status_url=url)


def _vendor(name: str, status: int) -> Vendor:
    for vendor in VENDORS:
        if vendor.name == name:
            return vendor
    raise Refusal(status, "Unknown vendor; see listVendors")


def _table(vendor: Vendor, name: str, status: int) -> Table:
    for table in vendor.requested_tables:
        if table.name == name:
            return table
    raise Refusal(status, "Unknown table of this vendor; see listVendors")

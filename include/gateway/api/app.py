"""The routes of the API. What is asked for is checked, kept and acknowledged; what is read comes of the database as it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse

from include.contract import Table, Vendor
from include.errors import ConfigurationError
from include.gateway.api import messages, reading, request_queue
from include.gateway.api.callers import Caller, Issuer
from include.gateway.api.document import build, tell
from include.gateway.api.endpoint import Door, add_refusals, check_parameters, need, take_json
from include.gateway.api.messages import Accepted, Name, ReplayOrder, RunOrder
from include.gateway.api.records import MAX_BYTES, check_records
from include.gateway.api.request_queue import Answer, Attempt
from include.gateway.api.settings import Settings
from include.gateway.problem import Refusal
from include.pipeline import plan
from include.vendors import VENDORS

RATE = "600/minute"
SMALL_BYTES = 256 * 1024

router = APIRouter()

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9._:-]{8,200}$",
        description="New for everything that is asked for, and the same when it is asked for again: then it is done once. "
        "Kept for 24 hours.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=500, description="At most so many.")]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="`next` of the page before; left out: the first page."),
]
Since = Annotated[messages.Moment | None, Query(description="Only what is new or has changed since.")]
SmallBody = Annotated[bytes, Depends(take_json(SMALL_BYTES))]


def create_app(
    database: Callable[[], sa.Engine],
    settings: Callable[[], Settings],
    issuer: Callable[[], Issuer],
    rate: str = RATE,
) -> FastAPI:
    """Makes the API, to be mounted under `/api/v1`.

    Args:
        database: Gives the engine when it is first needed; its role needs no more than `tributary_api` may.
        settings: Gives what the firm chose.
        issuer: Gives the issuer of tokens, who keeps what it knows of keys.
        rate: How often one caller may call, as `limits` reads it; each process counts for itself.
    """
    app = FastAPI(title="Tributary", openapi_url=None, redirect_slashes=False)
    app.state.door = Door(database, issuer, settings, rate)
    app.include_router(router)
    add_refusals(app)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(check_parameters)])
    def show_document() -> JSONResponse:
        return JSONResponse(build(app, settings()))

    return app


@router.post(
    "/runs",
    operation_id="startRun",
    summary="Start a run on demand",
    status_code=202,
    **tell("runs", "runs:write", RunOrder, leads_to="getRun"),
)
def start_run(
    request: Request, caller: Annotated[Caller, Depends(need("runs:write"))], body: SmallBody, key: IdempotencyKey
) -> Accepted:
    """Takes an order for a run of a vendor's day. It starts within minutes; ask `status_url` what became of it."""
    order = RunOrder.model_validate_json(body)
    vendor = _vendor(order.vendor, 422)
    params: dict[str, Any] = {
        "tables": order.tables or [table.name for table in vendor.asked],
        "business_date": None if order.business_date is None else order.business_date.isoformat(),
        "full_refresh": order.full_refresh,
        "wait": order.wait,
        "on_demand": True,
    }
    if order.clients:
        params["keys"] = order.clients
    engine, attempt = _engine(request), Attempt.of(caller.name, key, "runs", body)
    answer = request_queue.recall(engine, attempt)
    if answer is None:
        _check_plan(vendor, params)
        answer = request_queue.ask(engine, attempt, "run", vendor.name, params)
    return _accept(request, "runs", answer)


@router.get("/runs", operation_id="listRuns", summary="List runs and replays", **tell("runs", "status:read"))
def list_runs(
    request: Request,
    _: Annotated[Caller, Depends(need("status:read"))],
    vendor: Annotated[Name | None, Query()] = None,
    state: Annotated[Literal["waiting", "started", "succeeded", "failed"] | None, Query()] = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> messages.RunPage:
    """Returns runs and replays that were asked for by this API, the newest first. Of one under way, each look at it is a change."""
    filters = {"vendor": vendor, "state": state, "since": since}
    return messages.RunPage(**reading.read_page(_engine(request), "runs", filters, limit, cursor))


@router.get(
    "/runs/{id}", operation_id="getRun", summary="Get a run or a replay", **tell("runs", "status:read", has_id=True)
)
def get_run(request: Request, _: Annotated[Caller, Depends(need("status:read"))], id: UUID) -> messages.RunWithSteps:
    """Returns what became of a run or a replay: its state, and what each step took in and gave out."""
    return messages.RunWithSteps(**reading.read_run(_engine(request), id))


@router.post(
    "/vendors/{vendor}/tables/{table}/records", operation_id="pushRecords", summary="Push records of a table", status_code=202,
    **tell("records", "records:write", "Records", has_id=True, leads_to="getPush"),
)  # fmt: skip
def push_records(
    request: Request,
    caller: Annotated[Caller, Depends(need("records:write"))],
    body: Annotated[bytes, Depends(take_json(MAX_BYTES))],
    vendor: Name,
    table: Name,
    key: IdempotencyKey,
) -> messages.AcceptedRecords:
    """Takes rows of a declared table in the vendor's own field names, and returns which of them are rejected, and why.

    Each row states every field of the table (see getTable), null where it has no value: an absent field is not null, and overwrites nothing.
    A rejected row becomes a dead letter; the others are loaded. Where none is accepted, or more than 1,000 are rejected, nothing is kept.
    """
    declared = _table(_vendor(vendor, 404), table, 404)
    if not reading.is_pushable(declared):
        raise Refusal(404, "Records of this table can't be pushed; see listVendors")
    checked = check_records(declared, body)
    attempt = Attempt.of(caller.name, key, f"{vendor}/{table}", body)
    taken = _accept(request, "pushes", request_queue.push(_engine(request), attempt, vendor, table, body))
    told = taken.model_dump() | {"accepted": checked.accepted, "rejected": checked.rejected}
    return messages.AcceptedRecords.model_validate(told)


@router.get("/pushes/{id}", operation_id="getPush", summary="Get a push", **tell("records", "status:read", has_id=True))
def get_push(request: Request, _: Annotated[Caller, Depends(need("status:read"))], id: UUID) -> messages.Push:
    """Returns what became of pushed records."""
    return messages.Push(**reading.read_push(_engine(request), id))


@router.get("/vendors", operation_id="listVendors", summary="List vendors and tables", **tell("vendors", "status:read"))
def list_vendors(_: Annotated[Caller, Depends(need("status:read"))]) -> messages.Vendors:
    """Returns the declared vendors and their tables, and what each can be asked for."""
    return messages.Vendors.model_validate({"items": reading.list_vendors()})


@router.get(
    "/vendors/{vendor}/tables/{table}", operation_id="getTable", summary="Get a table and its fields",
    **tell("vendors", "status:read", has_id=True),
)  # fmt: skip
def get_table(
    _: Annotated[Caller, Depends(need("status:read"))], vendor: Name, table: Name
) -> messages.TableWithFields:
    """Returns a declared table of a vendor and the fields that every pushed row states."""
    declared = _vendor(vendor, 404)
    return messages.TableWithFields.model_validate(reading.describe_table(declared, _table(declared, table, 404)))


@router.get(
    "/freshness", operation_id="getFreshness", summary="Get how new the data is", **tell("vendors", "status:read")
)
def get_freshness(request: Request, _: Annotated[Caller, Depends(need("status:read"))]) -> messages.FreshnessOfAll:
    """Returns of every table the newest day that is in, and whether it is late."""
    return messages.FreshnessOfAll.model_validate(
        {"items": reading.read_freshness(_engine(request), datetime.now(UTC))}
    )


@router.get("/findings", operation_id="listFindings", summary="List findings", **tell("findings", "findings:read"))
def list_findings(
    request: Request,
    _: Annotated[Caller, Depends(need("findings:read"))],
    vendor: Annotated[Name | None, Query()] = None,
    rule: Annotated[Name | None, Query()] = None,
    severity: Annotated[Literal["info", "warning", "critical"] | None, Query()] = None,
    household_id: Annotated[messages.Number | None, Query()] = None,
    state: Annotated[Literal["open", "closed"] | None, Query()] = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> messages.FindingPage:
    """Returns what the business rules found, the newest first."""
    filters = {
        "vendor": vendor,
        "rule": rule,
        "severity": severity,
        "household_id": household_id,
        "state": state,
        "since": since,
    }
    return messages.FindingPage(**reading.read_page(_engine(request), "findings", filters, limit, cursor))


@router.get(
    "/dead-letters", operation_id="listDeadLetters", summary="List dead letters", **tell("dead_letters", "letters:read")
)
def list_dead_letters(
    request: Request,
    _: Annotated[Caller, Depends(need("letters:read"))],
    vendor: Annotated[Name | None, Query()] = None,
    table: Annotated[Name | None, Query()] = None,
    business_date: Annotated[messages.Day | None, Query()] = None,
    status: Annotated[Literal["open", "replayed", "superseded", "discarded"] | None, Query()] = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> messages.LetterPage:
    """Returns rows that could not go on, and why, the newest first; never what they hold."""
    filters = {"vendor": vendor, "table": table, "business_date": business_date, "status": status, "since": since}
    return messages.LetterPage(**reading.read_page(_engine(request), "dead-letters", filters, limit, cursor))


@router.post(
    "/dead-letters/replays", operation_id="replayDeadLetters", summary="Send dead letters again", status_code=202,
    **tell("dead_letters", "letters:replay", ReplayOrder, leads_to="getRun"),
)  # fmt: skip
def replay_dead_letters(
    request: Request, caller: Annotated[Caller, Depends(need("letters:replay"))], body: SmallBody, key: IdempotencyKey
) -> Accepted:
    """Takes an order to pull the rows of open dead letters again; ask `status_url` what became of it."""
    order = ReplayOrder.model_validate_json(body)
    table = _table(_vendor(order.vendor, 422), order.table, 422)
    if table.over:
        raise Refusal(422, f"Rows of this table come of {table.over}: start a run instead")
    engine, attempt = _engine(request), Attempt.of(caller.name, key, "replays", body)
    answer = request_queue.recall(engine, attempt)
    if answer is None:
        reading.check_open(engine, order.vendor, order.table, order.business_date, order.letters)
        params = {
            "table": f"{order.vendor}.{order.table}",
            "business_date": order.business_date.isoformat(),
            "dead_letters": order.letters,
            "dry_run": order.dry_run,
        }
        answer = request_queue.ask(engine, attempt, "replay", order.vendor, params)
    return _accept(request, "runs", answer)


def _check_plan(vendor: Vendor, params: dict[str, Any]) -> None:
    """Tells now what can't be had; the run would tell it later."""
    try:
        plan.plan_day(vendor, params, None)
    except ConfigurationError as error:
        raise Refusal(422, str(error)) from None


def _engine(request: Request) -> sa.Engine:
    door: Door = request.app.state.door
    return door.database()


def _accept(request: Request, what: str, answer: Answer) -> Accepted:
    door: Door = request.app.state.door
    url = f"{door.settings().url}/{what}/{answer.request_id}"
    return Accepted(id=UUID(answer.request_id), asked_at=answer.asked_at, status_url=url)


def _vendor(name: str, status: int) -> Vendor:
    for vendor in VENDORS:
        if vendor.name == name:
            return vendor
    raise Refusal(status, "There is no such vendor; see listVendors")


def _table(vendor: Vendor, name: str, status: int) -> Table:
    for table in vendor.asked:
        if table.name == name:
            return table
    raise Refusal(status, "The vendor has no such table; see listVendors")

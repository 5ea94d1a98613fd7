"""The Operations pages, in Airflow's menu, on its home page and on the page of each run.

The server renders them. Their scripts copy Airflow's theme, and call Airflow's own API for the buttons, as the user. Any user may see
counts and sums. Lists that show clients require the right to answer approval requests of the DAG `salesforce`, as *Who is who* does.
The audit trail records who opened which of these lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.staticfiles import StaticFiles

from include.audit.report import stream_csv
from include.errors import ConfigurationError, TargetUnavailable, TributaryError
from include.operations import signals
from include.operations.listing import MOST_CHOICES, MOST_ROWS, Listing, count_rows, read_list, stream_rows
from include.operations.lists import GROUPS
from include.operations.metrics import read_samples
from include.operations.navigation import PATHS
from include.operations.run import read_run
from include.operations.salesforce_status import SalesforceStatus, read_salesforce_status
from include.operations.vendor_status import VendorStatus, read_vendor_status
from include.vendors import VENDORS
from tributary import audit, connections
from tributary.operations import (
    api_keys,
    check_routes,
    client_routes,
    days,
    dead_letters,
    lineage,
    quality,
    salesforce_routes,
    thresholds,
    vendor_routes,
    who_is_who,
)
from tributary.operations.access import refuse_nul, require_reviewer
from tributary.operations.page import HEADERS, find_vendor_name, show_page
from tributary.operations.rendering import FOLDER

ROWS = 50
"""Maximum number of rows of a list on one page."""
NEEDS_REVIEWER = "This page shows clients. It requires the right to answer approval requests: ask an administrator for the role User."
"""The sentence for users without the right that `require_reviewer` requires."""
COUNTS = {
    "fetched": "Fetched", "staged": "Staged", "duplicate": "Duplicates", "dead": "Dead", "inserted": "New", "updated": "Changed",
    "unchanged": "Unchanged", "withdrawn": "Withdrawn", "sent": "Sent", "failed": "Rejected",
}  # fmt: skip
"""Counts of a run's tables -> their headings. The page shows those that the run has."""
BY_NAME = {listing.name: listing for listings in GROUPS.values() for listing in listings}

# Airflow mounts plugin apps without authentication.
app = FastAPI(title="Operations", dependencies=[Depends(get_user), Depends(refuse_nul)], openapi_url=None)
app.mount("/static", StaticFiles(directory=FOLDER / "static"))
PARTS = (
    vendor_routes, salesforce_routes, client_routes, dead_letters, days, thresholds, quality, lineage, who_is_who, api_keys,
    check_routes,
)  # fmt: skip
for part in PARTS:
    app.include_router(part.router)


@app.exception_handler(TargetUnavailable)
@app.exception_handler(ConfigurationError)
def respond_unavailable(request: Request, error: TributaryError) -> Response:
    """Return 503 while the database is unavailable, not migrated yet, or its connection is invalid."""
    return show_page("error.html", root=_find_root(request), status_code=503, title="Unavailable", message=str(error))


@app.exception_handler(AirflowNotFoundException)
def explain_missing(request: Request, error: AirflowNotFoundException) -> Response:
    """Return 503 while a connection is missing, with the connection and what to do."""
    message = f"{connections.describe_missing(error)}."
    return show_page("error.html", root=_find_root(request), status_code=503, title="Unavailable", message=message)


@app.exception_handler(StarletteHTTPException)
async def explain_refusal(request: Request, error: HTTPException) -> Response:
    """Return a page with the reason, if a browser shows it; else the usual response. A refusal names the right that the user needs."""
    if "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    message = NEEDS_REVIEWER if error.detail == "Forbidden" else f"{error.detail}."
    if request.method != "GET":
        message += " Nothing was changed."
    return _explain(request, error.status_code, message)


@app.exception_handler(RequestValidationError)
async def explain_invalid(request: Request, error: RequestValidationError) -> Response:
    """Return a page that names the invalid parts of the address or the form, if a browser shows it; else the usual response."""
    if "text/html" not in request.headers.get("accept", ""):
        return await request_validation_exception_handler(request, error)
    return _explain(request, 422, " ".join(f"{each['loc'][-1]}: {each['msg']}." for each in error.errors()))


def _explain(request: Request, status_code: int, message: str) -> Response:
    title = {403: "Not allowed", 404: "Not found", 422: "Invalid address or input"}.get(status_code, "Failed")
    return show_page("error.html", root=_find_root(request), status_code=status_code, title=title, message=message)


def _find_root(request: Request) -> str:
    """Return the relative address of the start page."""
    depth = request.url.path.removeprefix(f"{request.scope.get('root_path', '')}/").count("/")
    return "../" * depth or "./"


@app.get("/")
def show_today() -> HTMLResponse:
    """Return the page of today: a card per vendor, and one for Salesforce."""
    now = datetime.now(UTC)
    vendors, salesforce = _read_status(now)
    pause = connections.describe_crm_pause()
    lights = [status.summarize(now).light for status in vendors]
    lights += [salesforce.summarize(pause).light] if salesforce else []
    return show_page(
        "today.html", "Today", title="Today", now=now, vendors=vendors, salesforce=salesforce, pause=pause, lights=lights
    )  # fmt: skip


@app.get("/summary")
def read_summary() -> JSONResponse:
    """Return the title, page, light and worst sentence of each vendor and of Salesforce, for Airflow's home page."""
    now = datetime.now(UTC)
    vendors, salesforce = _read_status(now)
    cards = [(status.vendor.title, f"vendors/{status.vendor.name}", status.summarize(now)) for status in vendors]
    if salesforce:
        summary = salesforce.summarize(connections.describe_crm_pause())
        cards.append(("Salesforce", PATHS["Salesforce"], summary))
    return JSONResponse(
        [
            {"title": title, "page": page, "light": concern.light, "text": concern.text}
            for title, page, concern in cards
        ],
        headers=HEADERS,
    )


@app.get("/health")
def show_health() -> HTMLResponse:
    """Return the page of the health signals."""
    now = datetime.now(UTC)
    readings = _read_health(now)
    light = signals.find_overall_light(readings)
    return show_page(
        "health.html", "Health", title="Health", now=now, light=light, readings=signals.summarize(readings)
    )


@app.get("/health.json")
def read_health() -> JSONResponse:
    """Return the health signals, with one light for all of them; `getHealth` of the API returns the same to programs."""
    now = datetime.now(UTC)
    return JSONResponse(signals.describe(_read_health(now), now), headers=HEADERS)


def _read_health(now: datetime) -> list[signals.Reading]:
    with audit.database().connect() as db:
        return signals.evaluate(read_samples(db, VENDORS, now), now)


def _read_status(now: datetime) -> tuple[list[VendorStatus], SalesforceStatus | None]:
    """Return the status of the vendors that the firm uses, and of Salesforce; None if the firm does not use it.

    A system is used if it has data, or a connection that this process can read. In production, only tasks get the connections.
    """
    with audit.database().connect() as db:
        vendors, salesforce = read_vendor_status(db, VENDORS, now), read_salesforce_status(db, now)
    used = [
        status
        for status in vendors
        if not status.unused_since and (status.day or connections.is_connected(status.vendor.name))
    ]
    return used, salesforce if salesforce.synced_at or connections.is_connected("salesforce") else None


@app.get("/runs")
def show_run(run_id: str, dag_id: str = "") -> HTMLResponse:
    """Return the data that an Airflow run processed, for the tab on the run's page."""
    with audit.database().connect() as db:
        record = read_run(db, run_id, find_vendor_name(dag_id))
    counts = [(name, title) for name, title in COUNTS.items() if any(row[name] is not None for row in record.tables)]
    return show_page("run.html", title="Data of this run", run_id=run_id, record=record, counts=counts)


@app.get("/lists/{name}")
def show_list(
    name: str, request: Request, user: GetUserDep, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0
) -> Response:
    """Return one page of a list; the other query parameters select rows by the list's filters."""
    listing = _find_list(name)
    if listing.is_personal:
        raise HTTPException(403, "This list shows clients", headers=HEADERS)
    return _show_list(listing, request, user, offset)


@app.get("/clients/{name}", dependencies=[Depends(require_reviewer)])
def show_personal_list(
    name: str, request: Request, user: GetUserDep, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0
) -> Response:
    """Return one page of a list that shows clients."""
    return _show_list(_find_list(name), request, user, offset)


def _show_list(listing: Listing, request: Request, user: Any, offset: int) -> Response:
    selected = {name: request.query_params.get(name, "") for name in listing.filters}
    if request.query_params.get("format") == "csv":
        return _send_file(listing, selected, user, offset)
    with audit.database().connect() as db:
        found = read_list(db, listing, selected, offset, ROWS)
    _record_opened(listing, selected, user, len(found.rows))
    here, group = next((name, listings) for name, listings in GROUPS.items() if listing in listings)
    return show_page(
        listing.template, here, "../", title=listing.title, group=group, listing=listing, page=found, selected=selected, offset=offset,
        step=ROWS, most=MOST_ROWS, most_choices=MOST_CHOICES, query=urlencode({name: value for name, value in selected.items() if value}),
    )  # fmt: skip


def _send_file(listing: Listing, selected: dict[str, str], user: Any, offset: int) -> StreamingResponse:
    """Return all matching rows as CSV. The audit entry is written before the first row is sent."""
    with audit.database().connect() as db:
        rows = max(count_rows(db, listing, selected) - offset, 0)
    _record_opened(listing, selected, user, rows)

    def write() -> Iterator[str]:
        with audit.database().connect() as db:
            batches = stream_rows(db, listing, selected, offset)
            yield from stream_csv(batches, [column.name for column in listing.columns])

    headers = HEADERS | {"Content-Disposition": f'attachment; filename="{listing.name}.csv"'}
    return StreamingResponse(write(), media_type="text/csv", headers=headers)


def _record_opened(listing: Listing, selected: dict[str, str], user: Any, rows: int) -> None:
    if listing.is_personal:
        audit.record(user.get_name(), "operations.opened", listing.name, selected=selected, rows=rows)


def _find_list(name: str) -> Listing:
    if name not in BY_NAME:
        raise HTTPException(404, "The list was not found", headers=HEADERS)
    return BY_NAME[name]


class Operations(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "operations"
    # Airflow requires these names as class attributes.
    fastapi_apps = [{"app": app, "url_prefix": "/operations", "name": "Operations"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Operations",
            "href": "/operations/",
            "destination": "nav",
            "url_route": "operations",
            "nav_top_level": True,
        },
        {
            "name": "Data",
            "href": "/operations/runs?run_id={RUN_ID}&dag_id={DAG_ID}",
            "destination": "dag_run",
            "url_route": "data-of-run",
        },
        {
            "name": "Data quality",
            "href": "/operations/quality-of-run?run_id={RUN_ID}&dag_id={DAG_ID}",
            "destination": "dag_run",
            "url_route": "data-quality-of-run",
        },
    ]
    react_apps = [  # noqa: RUF012
        {
            "name": "Operations today",
            "bundle_url": "/operations/static/summary.js",
            "destination": "dashboard",
            "url_route": "operations-today",
        },
    ]

"""The pages that belong to a vendor: its state and history, and the backfill of its past business dates."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from include import business_dates
from include.check.report import read_newest
from include.errors import InputRejected
from include.operations.backfill import can_backfill, plan_backfill
from include.operations.ignored_fields import write_change
from include.operations.vendor_calls import read_vendor_calls
from include.operations.vendor_history import read_drift, read_vendor_history
from include.operations.vendor_status import read_vendor_status
from tributary import audit, connections
from tributary.operations.page import HEADERS, find_vendor, show_page

SESSIONS = 30
"""Number of trading days in a vendor's calendar."""

router = APIRouter(prefix="/vendors")


@router.get("/{name}")
def show_vendor(name: str) -> HTMLResponse:
    """Return the page of a vendor: its calendar, tables, schema changes and calls."""
    vendor, now = find_vendor(name), datetime.now(UTC)
    with audit.database().connect() as db:
        [status] = read_vendor_status(db, [vendor], now)
        history = read_vendor_history(db, name, business_dates.latest_closed(now), SESSIONS, now)
        calls = read_vendor_calls(db, vendor, now)
        check = next(iter(read_newest(db, name)), None)
    return show_page(
        "vendor.html", "Today", "../", title=vendor.title, now=now, status=status, history=history, vendor=vendor,
        calls=calls, is_connected=connections.is_connected(name), can_backfill=can_backfill(vendor),
        check=check,
    )  # fmt: skip


@router.get("/{name}/ignored-fields.txt")
def download_change(name: str, table: str = "", field: str = "") -> Response:
    """Return the change of the vendor's declaration that ignores one undeclared field, or all if none is selected."""
    vendor, fields = find_vendor(name), dict[str, list[str]]()
    with audit.database().connect() as db:
        for each in read_drift(db, name):
            if (table, field) in (("", ""), (each["table_name"], each["field"])):
                fields.setdefault(each["table_name"], []).append(each["field"])
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="ignored-fields-{name}.txt"'}
    return Response(write_change(vendor, fields), media_type="text/plain", headers=headers)


@router.get("/{name}/backfill")
def show_backfill(name: str, first: str = "", last: str = "") -> HTMLResponse:
    """Return the page of a backfill: the choice of days and, once they are chosen, what a run for each business date loads."""
    vendor, now = find_vendor(name), datetime.now(UTC)
    plan, problem = None, ""
    if first and last and can_backfill(vendor):
        try:
            with audit.database().connect() as db:
                plan = plan_backfill(db, vendor, first, last, now)
        except InputRejected as rejected:
            problem = str(rejected)
    return show_page(
        "backfill.html", "Today", "../../", title=f"{vendor.title}: backfill", vendor=vendor, can_backfill=can_backfill(vendor),
        first=first, last=last, latest=business_dates.latest_closed(now), plan=plan, problem=problem,
    )  # fmt: skip

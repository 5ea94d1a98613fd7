"""The pages of data quality: the matrix, one table on one day, one run. They show counts and rules, so any user may see them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BeforeValidator

from include import business_dates
from include.operations.quality import read_matrix, read_partition, read_run_checks
from include.operations.rejected_rows import REJECTED_ROWS
from include.vendors import VENDORS
from tributary import audit
from tributary.operations.page import find_vendor_name, show_page

HERE = "Data quality"
SESSIONS, SESSIONS_OF_ALL = 25, 10
"""Number of trading days in the matrix of one vendor, and of all vendors."""
TITLES = {vendor.name: vendor.title for vendor in VENDORS} | {"salesforce": "Salesforce"}
FIRST = date(2010, 3, 1)
"""The first day that a matrix may end with: the calendar of trading days begins before it."""
Day = Annotated[date | None, BeforeValidator(lambda text: text or None)]
"""A day of a form, which sends an empty field as an empty text."""

router = APIRouter()


@router.get("/quality")
def show_matrix(vendor: str = "", until: Day = None) -> HTMLResponse:
    """Return the matrix of tables and business dates, of one vendor or of all. `until` is the last business date, by default the newest."""
    latest = business_dates.latest_closed(datetime.now(UTC))
    with audit.database().connect() as db:
        last = max(FIRST, min(until or latest, latest))
        matrix = read_matrix(db, vendor, last, SESSIONS if vendor else SESSIONS_OF_ALL)
    title = f"Data quality: {TITLES.get(vendor, vendor)}" if vendor else HERE
    return show_page("quality.html", HERE, title=title, titles=TITLES, vendor=vendor, matrix=matrix, latest=latest)


@router.get("/quality/{vendor}/{table}/{day}")
def show_partition(vendor: str, table: str, day: date, pull: str = "") -> HTMLResponse:
    """Return the checks of one table on one day. `pull` is the pull whose checks to show, by default the newest full one."""
    with audit.database().connect() as db:
        quality = read_partition(db, vendor, table, day, pull)
    return show_page(
        "partition.html", HERE, "../../../", title=f"{TITLES.get(vendor, vendor)} {table}, {day}", vendor=vendor, table=table, day=day,
        quality=quality, rows=REJECTED_ROWS,
    )  # fmt: skip


@router.get("/quality-of-run")
def show_run_checks(run_id: str, dag_id: str = "") -> HTMLResponse:
    """Return the checks of one run, for the tab on the run's page."""
    with audit.database().connect() as db:
        checks = read_run_checks(db, run_id, find_vendor_name(dag_id))
    return show_page("quality_of_run.html", title="Data quality of this run", run_id=run_id, checks=checks)

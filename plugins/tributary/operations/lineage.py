"""The pages of lineage: from a balance back to the vendor's calls, and forward to Salesforce. They require the right to review identities."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BeforeValidator, StringConstraints

from include.audit.as_of import Record
from include.operations.lineage import (
    find_record,
    read_lineage,
    read_loads,
    read_loads_of_run,
    read_row,
    read_written,
    search,
)
from tributary import audit
from tributary.operations.access import refuse_foreign_page, require_reviewer
from tributary.operations.page import HEADERS, show_page
from tributary.operations.quality import Day

HERE = "Lineage"
ROWS = 50
"""Maximum number of records of a load on one page."""


def _read_moment(text: Any) -> Any:
    """Return a form's time, which is in UTC; None for an empty text. A value that is not a time is left to the validation."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return text
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=2000)]
Moment = Annotated[datetime | None, BeforeValidator(_read_moment)]
Id = Annotated[int, Query(ge=0, lt=2**63)]

router = APIRouter(prefix="/lineage", dependencies=[Depends(require_reviewer)])


@router.get("")
def show_search() -> HTMLResponse:
    """Return the page with the search."""
    return show_page("lineage_search.html", HERE, title=HERE, text="", found=None)


@router.post("", dependencies=[Depends(refuse_foreign_page)])
def show_found(text: Annotated[Text, Form()], user: GetUserDep) -> HTMLResponse:
    """Return the records that match a text. The text is in the body, because addresses are logged."""
    with audit.database().connect() as db:
        found = search(db, text)
    audit.record(user.get_name(), "operations.opened", "lineage search", rows=len(found))
    return show_page("lineage_search.html", HERE, title=HERE, text=text, found=found)


@router.get("/record")
def show_record(
    user: GetUserDep, entity: Text, vendor: Text, key: Text, on: Day = None, at: Moment = None
) -> HTMLResponse:
    """Return the lineage of a record.

    `on` is the business date of its balances, by default the newest day. `at` is the time as of which they were known, by default now.
    """
    now = datetime.now(UTC)
    about = {"at": (at or now).isoformat()} | ({"on": on.isoformat()} if on else {})
    audit.record(user.get_name(), "as_of.read", f"{entity} {vendor} {key}", **about)
    with audit.database().connect() as db:
        lineage = read_lineage(db, Record(entity, vendor, key), on, at or now)
    return show_page("lineage.html", HERE, "../", title=f"{entity} {key} of {vendor}", lineage=lineage, at=at, now=now)


@router.get("/load")
def show_load(user: GetUserDep, ledger_id: Id, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0) -> HTMLResponse:
    """Return a load, with a part of the records that it wrote."""
    with audit.database().connect() as db:
        loads = read_loads(db, [ledger_id])
        written = read_written(db, ledger_id, offset, ROWS + 1)
    if not loads:
        raise HTTPException(404, "The load was not found", headers=HEADERS)
    audit.record(user.get_name(), "operations.opened", f"load {ledger_id}", rows=len(written), offset=offset)
    title = f"Load {ledger_id}"
    return show_page("load.html", HERE, "../", title=title, load=loads[0], written=written[:ROWS], offset=offset, step=ROWS, has_more=len(written) > ROWS)  # fmt: skip


@router.get("/run")
def show_run(user: GetUserDep, run_id: Text) -> HTMLResponse:
    """Return the loads of a run, each of which leads to the records that it wrote."""
    with audit.database().connect() as db:
        loads = read_loads_of_run(db, run_id)
    audit.record(user.get_name(), "operations.opened", f"run {run_id}", rows=len(loads))
    return show_page("loads_of_run.html", HERE, "../", title="Loads of a run", run_id=run_id, loads=loads)


@router.get("/row")
def show_row(user: GetUserDep, vendor: Text, table: Text, day: date, key: Text) -> HTMLResponse:
    """Return the loads, records and dead letters of one row of a vendor's table."""
    with audit.database().connect() as db:
        row = read_row(db, vendor, table, day, key, datetime.now(UTC))
    audit.record(
        user.get_name(), "operations.opened", f"row {vendor} {table} {day} {key}", dead_letters=len(row.dead_letters)
    )
    return show_page(
        "row.html", HERE, "../", title=f"Row {key[:200]} of {vendor} {table}", vendor=vendor, table=table, day=day, key=key, row=row
    )  # fmt: skip


@router.get("/find")
def find(request: Request, record_id: Id | None = None, salesforce: Text | None = None) -> Response:
    """Lead from a row of a list to its lineage. The parameters are those of the column `lineage` of the list's view."""
    query: dict[str, str] = dict(request.query_params)
    if record_id is not None or salesforce is not None:
        with audit.database().connect() as db:
            record = find_record(db, record_id, salesforce)
        if record is None:
            raise HTTPException(404, "The record was not found", headers=HEADERS)
        query = {"entity": record.entity, "vendor": record.vendor, "key": record.key}
    return RedirectResponse(f"{'row' if 'table' in query else 'record'}?{urlencode(query)}", 303, HEADERS)

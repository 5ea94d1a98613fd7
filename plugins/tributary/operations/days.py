"""The page of a vendor's business date: its reconciliation, and the decisions of operators about it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from include.errors import InputRejected
from include.operations.day import decide_day, read_day
from tributary import audit
from tributary.operations.access import can_start_runs, refuse_foreign_page, require_reviewer
from tributary.operations.page import HEADERS, find_vendor, show_page

ROWS = 50
"""Maximum number of breaks on one page."""

router = APIRouter(prefix="/clients", dependencies=[Depends(require_reviewer)])


class Decision(BaseModel):
    """An operator's decision about a day; `seen` is the fingerprint of the day that the page showed."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["signed off", "accepted"]
    vendor: str
    business_date: date
    note: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$", max_length=500)]
    seen: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]*$", max_length=32)]


@router.get("/day")
def show_day(
    user: GetUserDep, vendor: str, business_date: date, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0
) -> HTMLResponse:
    """Return the page of a day: its checks, its breaks with their explanations, and the decisions about it."""
    declared = find_vendor(vendor)
    with audit.database().connect() as db:
        day = read_day(db, vendor, business_date, offset, ROWS)
    subject = f"day {vendor} {business_date}"
    audit.record(user.get_name(), "operations.opened", subject, breaks=[row["item"] for row in day.breaks])
    title = f"{declared.title}, {business_date}"
    return show_page("day.html", "Reconciliation", "../", title=title, day=day, offset=offset, step=ROWS)


@router.post("/day", dependencies=[Depends(refuse_foreign_page)])
def decide(decision: Decision, user: GetUserDep) -> JSONResponse:
    """Record a decision about a day. A refused decision gets 409 with the reason.

    Raises:
        HTTPException: 403, the user may not start the run that loads an accepted day. So no acceptance is recorded without its run.
    """
    chosen = decision.decision, find_vendor(decision.vendor).name, decision.business_date, decision.note, decision.seen
    if decision.decision == "accepted" and not can_start_runs(user, decision.vendor):
        raise HTTPException(403, "Accepting a day starts a run, which your role does not include", headers=HEADERS)
    try:
        decision_id = decide_day(audit.database(), user.get_name(), *chosen)
    except InputRejected as refused:
        return JSONResponse({"detail": str(refused)}, 409, HEADERS)
    return JSONResponse({"decision_id": decision_id}, headers=HEADERS)

"""The page of a group of dead letters. Its buttons start the DAG `replay_dead_letters` by Airflow's API, as the user."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse

from include.operations.dead_letter_group import GroupKey, can_replay, plan_pull, read_group
from tributary import audit
from tributary.operations.access import require_reviewer
from tributary.operations.page import find_vendor, show_page

ROWS = 50
"""Maximum number of rows on one page."""

Text = Annotated[str, Query(max_length=20_000)]

router = APIRouter(prefix="/clients", dependencies=[Depends(require_reviewer)])


@router.get("/dead-letter-group")
def show_group(
    user: GetUserDep,
    vendor: Text,
    table_name: Text,
    business_date: date,
    stage: Text,
    reasons: Text,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> HTMLResponse:
    """Return the page of a group: its rows, and the buttons to replay, pull again or discard them."""
    key = GroupKey(vendor, table_name, business_date, stage, reasons)
    declared = find_vendor(vendor)
    with audit.database().connect() as db:
        page = read_group(db, key, offset, ROWS)
    ids = [row["dead_letter_id"] for row in page.rows]
    selected = page.selection | {"reasons": reasons[:500]}
    audit.record(user.get_name(), "operations.opened", "dead-letter-group", selected=selected, dead_letters=ids)
    query = urlencode({name: value for name, value in page.selection.items() if name != "last_id"})
    return show_page(
        "dead_letter_group.html", "Dead letters", "../", title="Dead letters of one group", page=page, offset=offset,
        is_replayable=can_replay(declared, table_name), pull=plan_pull(declared, table_name, business_date), step=ROWS, query=query,
    )  # fmt: skip

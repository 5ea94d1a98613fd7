"""The start page of Salesforce: its state, the buttons that start and pause syncs, and the pages of changes."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from include.crm.sync.difference import list_pages
from include.operations.lists import GROUPS
from include.operations.salesforce_status import read_salesforce_status
from tributary import audit, connections
from tributary.operations.page import show_page

router = APIRouter()


@router.get("/salesforce")
def show_salesforce() -> HTMLResponse:
    """Return the start page of Salesforce. It links to the pages of changes, which require the right to review identities."""
    with audit.database().connect() as db:
        status = read_salesforce_status(db, datetime.now(UTC))
    return show_page(
        "salesforce.html", "Salesforce", title="Salesforce", group=GROUPS["Salesforce"], status=status,
        pause=connections.describe_crm_pause(), pages=list_pages(connections.staging()) if connections.is_connected("tributary_staging") else [],
    )  # fmt: skip

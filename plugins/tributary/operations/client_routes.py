"""Find one client by name and refresh it. The pages show clients, so they require the right to answer approval requests."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form
from fastapi.responses import HTMLResponse

from include.errors import InputRejected
from include.operations.client_search import MOST_CLIENTS, can_refresh, search_clients
from include.vendors import VENDORS
from tributary import audit
from tributary.operations.access import refuse_foreign_page, require_reviewer
from tributary.operations.page import show_page
from tributary.policy import on_demand

TITLES = {vendor.name: vendor.title for vendor in VENDORS if can_refresh(vendor)}

router = APIRouter(dependencies=[Depends(require_reviewer)])


@router.get("/find-client")
def show_search() -> HTMLResponse:
    """Return the page with an empty search."""
    return _show("")


@router.post("/find-client", dependencies=[Depends(refuse_foreign_page)])
def find_client(name: Annotated[str, Form(max_length=200)], user: GetUserDep) -> HTMLResponse:
    """Return the page with the clients that match a name. The name is in the body, because addresses are logged."""
    try:
        with audit.database().connect() as db:
            clients = search_clients(db, VENDORS, name)
    except InputRejected as rejected:
        return _show(name, problem=str(rejected))
    records = [f"{each.vendor} household {each.key}" for each in clients]
    audit.record(user.get_name(), "operations.opened", "find-client", records=records)
    return _show(name, clients=clients)


def _show(name: str, **found: object) -> HTMLResponse:
    shown = {"clients": None, "problem": ""} | found
    return show_page(
        "find_client.html", "Today", title="Refresh one client", name=name, most=MOST_CLIENTS, titles=TITLES,
        dags={vendor: on_demand(vendor) for vendor in TITLES}, **shown,
    )  # fmt: skip

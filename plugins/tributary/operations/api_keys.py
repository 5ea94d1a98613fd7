"""Create, rotate and revoke the API keys of programs. Only administrators may do it; a new key is shown once, and never stored or logged."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from include.errors import ConfigurationError
from include.gateway.api import keys
from include.gateway.api.scopes import SCOPES
from include.vendors import VENDORS
from tributary import audit
from tributary.operations.access import refuse_foreign_page, require_admin
from tributary.operations.page import HEADERS, show_page

TARGETS = [(vendor.name, [f"{vendor.name}.{table.name}" for table in vendor.requested_tables]) for vendor in VENDORS]
"""The vendors, each with its tables, to which a scope can be limited."""
MAX_OVERLAP_HOURS = 24 * 30

Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$", max_length=100)]
Days = Annotated[int, Field(ge=1, le=keys.MAX_DAYS)]

router = APIRouter(prefix="/api-keys", dependencies=[Depends(require_admin)])
posting = [Depends(refuse_foreign_page)]


class NewKey(BaseModel):
    """A key to create. `target` limits all its scopes to a vendor or a table; empty for no limit."""

    model_config = ConfigDict(extra="forbid")

    caller: Text
    scopes: list[Text] = []
    target: Text = ""
    days: Days = 90


class Rotation(BaseModel):
    """A rotation of a caller's keys: the old ones stay valid for the overlap."""

    model_config = ConfigDict(extra="forbid")

    caller: Text
    days: Days = 90
    overlap_hours: Annotated[int, Field(ge=0, le=MAX_OVERLAP_HOURS)] = 24


@router.get("/")
def show_form() -> HTMLResponse:
    """Return the form that creates a key."""
    return _show_form()


@router.post("/create", dependencies=posting)
def create(new: Annotated[NewKey, Form()], user: GetUserDep) -> HTMLResponse:
    """Create a key and show it once."""
    scopes = [f"{scope}:{new.target}" if new.target else scope for scope in new.scopes]
    try:
        key = keys.make(audit.database(), new.caller, scopes, new.days, user.get_name())
    except ConfigurationError as error:
        return _show_form(str(error))
    return _show_key(new.caller, key, f"It is valid for {new.days} days.")


@router.post("/rotate", dependencies=posting)
def rotate(rotation: Annotated[Rotation, Form()], user: GetUserDep) -> HTMLResponse:
    """Create the caller's next key with the same scopes, show it once, and let the older keys expire."""
    overlap = timedelta(hours=rotation.overlap_hours)
    try:
        key = keys.rotate(audit.database(), rotation.caller, rotation.days, overlap, user.get_name())
    except ConfigurationError as error:
        return _show_form(str(error))
    return _show_key(
        rotation.caller,
        key,
        f"It is valid for {rotation.days} days, and the caller's older keys for {rotation.overlap_hours} more hours.",
    )


@router.post("/revoke", dependencies=posting)
def revoke(key_id: Annotated[Text, Form()], user: GetUserDep) -> Response:
    """Revoke a key at once, and show the keys."""
    try:
        keys.revoke(audit.database(), key_id, user.get_name())
    except ConfigurationError as error:
        return _show_form(str(error))
    return RedirectResponse("../lists/api-keys", 303, HEADERS)


def _show_form(problem: str = "") -> HTMLResponse:
    return show_page(
        "new_api_key.html", "Events", "../", 409 if problem else 200, title="Create an API key", problem=problem, scopes=SCOPES,
        targets=TARGETS, max_days=keys.MAX_DAYS,
    )  # fmt: skip


def _show_key(caller: str, key: str, note: str) -> HTMLResponse:
    return show_page("api_key.html", "Events", "../", title="The new API key", caller=caller, key=key, note=note)

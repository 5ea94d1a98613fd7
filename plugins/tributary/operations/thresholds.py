"""The form of the business rules' thresholds: validated, previewed by the DAG `preview_thresholds`, saved with an audit entry.

The rules import Arrow, so this module imports them only when the form is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import VariableDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from include.errors import ConfigurationError, InputRejected
from tributary import audit, connections
from tributary.operations.access import refuse_foreign_page
from tributary.operations.page import HEADERS, show_page

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=5000)]

router = APIRouter(prefix="/thresholds")


class Filled(BaseModel):
    """A filled form; `seen` is the id of the newest change that the page showed."""

    model_config = ConfigDict(extra="forbid")

    values: Annotated[dict[str, bool | Text], Field(max_length=100)]
    seen: int | None = None


def can_edit(user: Any) -> bool:
    """Return whether a user may change thresholds. This requires the right to edit the Variable `tributary_rules`."""
    details = VariableDetails(key="tributary_rules")
    return bool(get_auth_manager().is_authorized_variable(method="PUT", details=details, user=user))


def require_editor(user: GetUserDep) -> None:
    """Refuse users who may not change thresholds.

    Raises:
        HTTPException: 403; the message names the missing right.
    """
    if not can_edit(user):
        raise HTTPException(403, "Thresholds are changed by users who may edit Variables", headers=HEADERS)


@router.get("")
def show_thresholds(user: GetUserDep) -> HTMLResponse:
    """Return the form with the thresholds in force, and the newest changes."""
    from include.rules.thresholds import list_thresholds, read_history

    try:
        change_id, policy = connections.read_rule_policy(audit.database())
    except ConfigurationError as error:
        return show_page(
            "error.html",
            "Findings",
            title="Thresholds",
            message=f"{error}: correct the Variable tributary_rules in Airflow, or the firm's folder",
        )
    with audit.database().connect() as db:
        history = read_history(db)
    return show_page(
        "thresholds.html", "Findings", title="Thresholds", thresholds=list_thresholds(policy), seen=change_id, history=history,
        can_edit=can_edit(user),
    )  # fmt: skip


@router.post("/check", dependencies=[Depends(refuse_foreign_page)])
def check_thresholds(filled: Filled, user: GetUserDep) -> JSONResponse:
    """Return the thresholds of a form that differ from the defaults. An invalid form gets 422; the message lists every fault."""
    from include.rules.policy import Policy
    from include.rules.thresholds import compare, read_form

    try:
        thresholds = read_form(filled.values)
        _, before = connections.read_rule_policy(audit.database())
        changes = compare(before, Policy.of(thresholds))
        _refuse_those_of_the_folder(changes)
    except ConfigurationError as error:
        return JSONResponse({"detail": str(error)}, 422, HEADERS)
    return JSONResponse({"thresholds": thresholds, "changes": changes}, headers=HEADERS)


@router.post("", dependencies=[Depends(require_editor), Depends(refuse_foreign_page)])
def save_thresholds(filled: Filled, user: GetUserDep) -> JSONResponse:
    """Put the thresholds of a form in force. An invalid form gets 422. A form gets 409 if another user has changed the thresholds since it was opened."""
    from include.rules.policy import Policy
    from include.rules.thresholds import change, compare, read_form

    try:
        thresholds = read_form(filled.values)
        _, before = connections.read_rule_policy(audit.database())
        _refuse_those_of_the_folder(compare(before, Policy.of(thresholds)))
        changes = change(audit.database(), user.get_name(), before, thresholds, filled.seen)
    except InputRejected as refused:
        return JSONResponse({"detail": str(refused)}, 409, HEADERS)
    except ConfigurationError as error:
        return JSONResponse({"detail": str(error)}, 422, HEADERS)
    return JSONResponse({"changes": changes}, headers=HEADERS)


def _refuse_those_of_the_folder(changes: Mapping[str, Any]) -> None:
    """Refuse to change a threshold that the firm's folder sets, because the change would have no effect.

    Raises:
        ConfigurationError: The message names each with its file and line.
    """
    from include.firm.folder import in_force

    places = {name: place for name, (_, place) in in_force().thresholds.items() if name in changes}
    if places:
        names = ", ".join(f"{name} ({place})" for name, place in places.items())
        raise ConfigurationError(f"The firm's folder sets these thresholds; change them there: {names}")

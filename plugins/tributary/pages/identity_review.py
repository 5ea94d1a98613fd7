"""Identity review inside Airflow: pages and a JSON API to decide about pairs of records, to separate links, and to undo decisions.

The pages contain names, addresses and birth dates of persons. They require the permission to answer approval requests of the DAG
`salesforce`, because that DAG sends the outcome to advisors. The audit trail records who was shown which records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, Form, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from include.errors import TargetUnavailable
from include.identity import decisions, page
from include.vendors import VENDORS
from tributary import audit
from tributary.same_origin import refuse_foreign_pages

DAG_ID = "salesforce"
TITLES = {vendor.name: vendor.title for vendor in VENDORS}

# The pages contain text from vendors and users: no script may run in them, and their forms post to this server only.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would not send the origin of our own forms
    "Cache-Control": "private, no-store",
}

Id = Annotated[int, Field(gt=-(2**63), lt=2**63)]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$", max_length=decisions.REASON_LENGTH)
]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, lt=2**31)]


class Decision(BaseModel):
    """A user's decision about a pair of records.

    Attributes:
        entity: Kind of the two records.
        left: Id of one record.
        right: Id of the other record.
        is_same: Whether both describe the same person or account.
        reason: The user's reason.
        seen: Id of the newest decision about the pair that the page showed; None if it showed none.
    """

    model_config = ConfigDict(extra="forbid")

    entity: Literal["person", "account"]
    left: Id
    right: Id
    is_same: bool
    reason: Annotated[Text, StringConstraints(min_length=1)]
    seen: Id | None = None


class FormDecision(Decision):
    """A decision from a page; `place` is the page to show afterwards, empty for the queue."""

    place: Literal["", "links"] = ""


class Search(BaseModel):
    """A search for links by a part of the name of a person, household or account; an empty name finds all."""

    model_config = ConfigDict(extra="forbid")

    name: Text = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, lt=2**31)] = 0


refuse_foreign_page = refuse_foreign_pages(HEADERS)

# Airflow mounts plugin apps without authentication.
app = FastAPI(
    title="Identity review",
    dependencies=[Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, DAG_ID))],
    openapi_url=None,
)


@app.exception_handler(TargetUnavailable)
def respond_unavailable(request: Request, error: TargetUnavailable) -> JSONResponse:
    """Return 503 while the database is unavailable."""
    return JSONResponse({"detail": str(error)}, 503, HEADERS)


@app.get("/")
def show_queue(user: GetUserDep, offset: Offset = 0, recorded: Offset = 0) -> HTMLResponse:
    """Return the page of pairs that wait for a decision; `recorded` is the id of a decision to confirm to the user (0 for none)."""
    return _queue(user, offset, _confirm(recorded))


@app.get("/links")
def show_links(user: GetUserDep, offset: Offset = 0, recorded: Offset = 0) -> HTMLResponse:
    """Return the page of links; `recorded` is the id of a decision to confirm to the user (0 for none)."""
    return _links(user, "", offset, _confirm(recorded))


@app.post("/links", dependencies=[Depends(refuse_foreign_page)])
def search_links(search: Annotated[Search, Form()], user: GetUserDep) -> HTMLResponse:
    """Return the page of the links of a name. The name is in the body, because addresses are logged."""
    return _links(user, search.name, search.offset, "")


@app.get("/decisions")
def show_decisions(user: GetUserDep, undone: Offset = 0) -> HTMLResponse:
    """Return the page of decisions; `undone` is the id of an undone decision to confirm to the user (0 for none)."""
    return _decisions(user, f"Decision {undone} was undone." if undone else "")


@app.post("/decide", dependencies=[Depends(refuse_foreign_page)])
def decide_on_page(decision: Annotated[FormDecision, Form()], user: GetUserDep) -> Response:
    """Record a decision and show the page again. A rejected decision gets 409 and the page with the reason."""
    try:
        recorded = _decide(decision, user)
    except decisions.DecisionRefused as refused:
        shown = _links(user, "", 0, str(refused)) if decision.place else _queue(user, 0, str(refused))
        shown.status_code = 409
        return shown
    return RedirectResponse(f"{decision.place or './'}?recorded={recorded.decision_id}", 303, HEADERS)


@app.post("/undo", dependencies=[Depends(refuse_foreign_page)])
def undo_on_page(decision_id: Annotated[Id, Form()], user: GetUserDep) -> Response:
    """Undo a decision that no run has used yet, and show the decisions. A refused undo gets 409 and the page with the reason."""
    try:
        decisions.undo(audit.database(), decision_id, user.get_name())
    except decisions.DecisionRefused as refused:
        shown = _decisions(user, str(refused))
        shown.status_code = 409
        return shown
    return RedirectResponse(f"decisions?undone={decision_id}", 303, HEADERS)


@app.get("/api/queue")
def read_queue(user: GetUserDep, limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Return the pairs that wait for a decision, the most probable first, and their total number."""
    with audit.database().connect() as db:
        total, pairs = decisions.list_open(db, limit, offset)
    _record(user, "queue", pairs)
    return _respond({"total": total, "pairs": pairs})


@app.post("/api/links", dependencies=[Depends(refuse_foreign_page)])
def read_links(search: Search, user: GetUserDep) -> JSONResponse:
    """Return the links, optionally only those of a name, the least certain first, and their total number."""
    with audit.database().connect() as db:
        total, pairs = decisions.list_links(db, search.name, search.limit, search.offset)
    _record(user, "links", pairs)
    return _respond({"total": total, "pairs": pairs})


@app.get("/api/decisions")
def read_decisions(user: GetUserDep, limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Return the decisions, the newest first."""
    with audit.database().connect() as db:
        shown = decisions.list_decisions(db, limit, offset)
    _record(user, "decisions", shown)
    return _respond({"decisions": shown})


@app.post("/api/decisions/{decision_id}/undo", dependencies=[Depends(refuse_foreign_page)])
def undo_by_call(decision_id: Id, user: GetUserDep) -> JSONResponse:
    """Undo a decision that no run has used yet, and return the decision that undoes it. A refused undo gets 409 with the reason."""
    try:
        return _respond(decisions.undo(audit.database(), decision_id, user.get_name()))
    except decisions.DecisionRefused as refused:
        return _respond({"detail": str(refused), "known": refused.known}, 409)


@app.post("/api/decisions", dependencies=[Depends(refuse_foreign_page)])
def decide_by_call(decision: Decision, user: GetUserDep) -> JSONResponse:
    """Record a decision and return it. A rejected decision gets 409 with the reason and the conflicting decision."""
    try:
        return _respond(_decide(decision, user))
    except decisions.DecisionRefused as refused:
        return _respond({"detail": str(refused), "known": refused.known}, 409)


def _decide(decision: Decision, user: Any) -> decisions.Decision:
    pair = decision.entity, decision.left, decision.right
    return decisions.decide(audit.database(), *pair, decision.is_same, decision.reason, user.get_name(), decision.seen)


def _record(user: Any, page: str, pairs: Iterable[decisions.Pair | decisions.Decision | decisions.Decided]) -> None:
    """Record in the audit trail whose data a user is about to see."""
    audit.record(user.get_name(), "identity.opened", page, records=decisions.list_records(pairs))


def _queue(user: Any, offset: int, message: str) -> HTMLResponse:
    with audit.database().connect() as db:
        total, pairs = decisions.list_open(db, offset=offset)
    _record(user, "queue", pairs)
    return HTMLResponse(page.render_queue(pairs, total, offset, TITLES, message), headers=HEADERS)


def _links(user: Any, name: str, offset: int, message: str) -> HTMLResponse:
    with audit.database().connect() as db:
        total, pairs = decisions.list_links(db, name, offset=offset)
    _record(user, "links", pairs)
    return HTMLResponse(page.render_links(pairs, total, offset, TITLES, name, message), headers=HEADERS)


def _decisions(user: Any, message: str) -> HTMLResponse:
    with audit.database().connect() as db:
        decided = decisions.list_decided(db, 200)
    _record(user, "decisions", decided)
    return HTMLResponse(page.render_decisions(decided, TITLES, message), headers=HEADERS)


def _confirm(decision_id: int) -> str:
    return (
        f"Recorded as decision {decision_id}. The next run applies it; until then, you can undo it on the page Decisions."
        if decision_id
        else ""
    )


def _respond(content: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(jsonable_encoder(content), status, HEADERS)


class IdentityReview(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "identity_review"
    # Airflow requires these names as class attributes.
    fastapi_apps = [{"app": app, "url_prefix": "/identity-review", "name": "Identity review"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Identity review",
            "href": "/identity-review/",
            "destination": "nav",
            "category": "browse",
            "url_route": "who-is-who",
        },
    ]

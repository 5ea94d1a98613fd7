"""The JSON API of the identity review: decide about pairs of records, separate links, and undo decisions.

The responses contain names, addresses and birth dates of persons. They require the permission to answer approval requests of the DAG
`salesforce`, because that DAG sends the outcome to advisors. The audit trail records who was shown which records. The pages are part of
*Operations*: see `tributary.operations.who_is_who`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from include.errors import ConfigurationError, TargetUnavailable, TributaryError
from include.identity import decisions
from include.identity import pairs as reading
from tributary import audit
from tributary.connections import describe_missing
from tributary.operations.access import refuse_foreign_page, require_reviewer
from tributary.operations.page import HEADERS

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

    entity: Literal["person", "legal_entity", "account"]
    left: Id
    right: Id
    is_same: bool
    reason: Annotated[Text, StringConstraints(min_length=1)]
    seen: Id | None = None


class Search(BaseModel):
    """A search for links by a part of the name of a person, household or account; an empty name finds all."""

    model_config = ConfigDict(extra="forbid")

    name: Text = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, lt=2**31)] = 0


# Airflow mounts plugin apps without authentication.
app = FastAPI(
    title="Identity review",
    dependencies=[Depends(require_reviewer)],
    openapi_url=None,
)


@app.exception_handler(TargetUnavailable)
@app.exception_handler(ConfigurationError)
def respond_unavailable(request: Request, error: TributaryError) -> JSONResponse:
    """Return 503 while the database is unavailable, not migrated yet, or its connection is invalid."""
    return JSONResponse({"detail": str(error)}, 503, HEADERS)


@app.exception_handler(AirflowNotFoundException)
def explain_missing(request: Request, error: AirflowNotFoundException) -> JSONResponse:
    """Return 503 while the database's connection is missing, with what to do."""
    return JSONResponse({"detail": describe_missing(error)}, 503, HEADERS)


@app.get("/api/queue")
def read_queue(user: GetUserDep, limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Return the pairs that wait for a decision, the most probable first, and their total number."""
    with audit.database().connect() as db:
        total, pairs = reading.list_open(db, limit, offset)
    _record(user, "queue", pairs)
    return _respond({"total": total, "pairs": pairs})


@app.post("/api/links", dependencies=[Depends(refuse_foreign_page)])
def read_links(search: Search, user: GetUserDep) -> JSONResponse:
    """Return the links, optionally only those of a name, the least certain first, and their total number."""
    with audit.database().connect() as db:
        total, pairs = reading.list_links(db, search.name, search.limit, search.offset)
    _record(user, "links", pairs)
    return _respond({"total": total, "pairs": pairs})


@app.get("/api/decisions")
def read_decisions(user: GetUserDep, limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Return the decisions, the newest first."""
    with audit.database().connect() as db:
        shown = reading.list_decisions(db, limit, offset)
    _record(user, "decisions", shown)
    return _respond({"decisions": shown})


@app.post("/api/decisions/{decision_id}/undo", dependencies=[Depends(refuse_foreign_page)])
def undo_by_call(decision_id: Id, user: GetUserDep) -> JSONResponse:
    """Undo a decision, and return the decision that undoes it. A refused undo gets 409 with the reason."""
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


def _decide(decision: Decision, user: Any) -> reading.Decision:
    pair = decision.entity, decision.left, decision.right
    return decisions.decide(audit.database(), *pair, decision.is_same, decision.reason, user.get_name(), decision.seen)


def _record(user: Any, page: str, pairs: Iterable[reading.Pair | reading.Decision | reading.Decided]) -> None:
    """Record in the audit trail whose data a user is about to see."""
    audit.record(user.get_name(), "identity.opened", page, records=reading.list_records(pairs))


def _respond(content: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(jsonable_encoder(content), status, HEADERS)


class IdentityReview(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "identity_review"
    # Airflow requires this name as a class attribute.
    fastapi_apps = [{"app": app, "url_prefix": "/identity-review", "name": "Identity review"}]  # noqa: RUF012

"""Who is who, inside Airflow: pairs that wait for a person, links that may be taken apart, and the same as a JSON API.

Whoever may answer the questions of the DAG `salesforce`, which shows the outcome to advisors, sees these pages and decides
here: the pages hold people's names, addresses and birth dates.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, Form, HTTPException, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from include.errors import TargetUnavailable
from include.identity import decisions, page
from include.vendors import VENDORS

if TYPE_CHECKING:
    from sqlalchemy import Engine

DAG_ID = "salesforce"
TITLES = {vendor.name: vendor.title for vendor in VENDORS}

# What vendors and people wrote stands in the pages: nothing in them may run, and their forms lead nowhere else.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none, a browser would not say that a form is of our own page
    "Cache-Control": "private, no-store",
}

Id = Annotated[int, Field(gt=-(2**63), lt=2**63)]
Words = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$", max_length=decisions.REASON_LENGTH)
]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, lt=2**31)]


class Word(BaseModel):
    """What a person says of a pair; `seen` is the id of the newest decision that was shown with it."""

    model_config = ConfigDict(extra="forbid")

    entity: Literal["person", "account"]
    left: Id
    right: Id
    is_same: bool
    reason: Annotated[Words, StringConstraints(min_length=1)]
    seen: Id | None = None


class WordOfForm(Word):
    """The same from a page, which is shown again."""

    place: Literal["", "links"] = ""


def refuse_foreign_page(request: Request) -> None:
    """Browsers send the log-in's cookie with whatever any page posts; a token is sent on purpose.

    Raises:
        HTTPException: 403, where the call is not of this server's own page.
    """
    headers = request.headers
    if headers.get("authorization", "").lower().startswith("bearer "):
        return
    own = urlsplit(headers.get("origin", "")).netloc
    is_own = headers.get("sec-fetch-site", "same-origin") == "same-origin" and own and own == headers.get("host")
    if not is_own:
        raise HTTPException(403, "Only this server's own pages, or a call with a token, may decide", headers=HEADERS)


# Airflow asks for no log-in in front of a plugin's pages by itself.
app = FastAPI(
    title="Who is who",
    dependencies=[Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, DAG_ID))],
    openapi_url=None,
)


@app.exception_handler(TargetUnavailable)
def tell_unavailable(request: Request, error: TargetUnavailable) -> JSONResponse:
    """The database is away: another try may help."""
    return JSONResponse({"detail": str(error)}, 503, HEADERS)


@cache
def _database() -> Engine:
    from tributary import connections

    return connections.database()


@app.get("/")
def show_queue(offset: Offset = 0, kept: Offset = 0) -> HTMLResponse:
    """Returns the page of pairs that wait."""
    return _queue(offset, _told(kept))


@app.get("/links")
def show_links(name: Words = "", offset: Offset = 0, kept: Offset = 0) -> HTMLResponse:
    """Returns the page of links."""
    return _links(name, offset, _told(kept))


@app.get("/decisions")
def show_decisions(undone: Offset = 0) -> HTMLResponse:
    """Returns the page of what was decided."""
    return _decisions(f"Decision {undone} is taken back." if undone else "")


@app.post("/decide", dependencies=[Depends(refuse_foreign_page)])
def decide_on_page(word: Annotated[WordOfForm, Form()], user: GetUserDep) -> Response:
    """Keeps a word and shows the page again; 409 with the reason where it could not be kept."""
    try:
        kept = _decide(word, user)
    except decisions.DecisionRefused as refused:
        shown = _links("", 0, str(refused)) if word.place else _queue(0, str(refused))
        shown.status_code = 409
        return shown
    return RedirectResponse(f"{word.place or './'}?kept={kept.decision_id}", 303, HEADERS)


@app.post("/undo", dependencies=[Depends(refuse_foreign_page)])
def undo_on_page(decision_id: Annotated[Id, Form()], user: GetUserDep) -> Response:
    """Takes back a decision that no run has used and shows the decisions; 409 with the reason where that is too late."""
    try:
        decisions.undo(_database(), decision_id, user.get_name())
    except decisions.DecisionRefused as refused:
        shown = _decisions(str(refused))
        shown.status_code = 409
        return shown
    return RedirectResponse(f"decisions?undone={decision_id}", 303, HEADERS)


@app.get("/api/queue")
def read_queue(limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Returns the pairs that wait, the likeliest first."""
    with _database().connect() as db:
        total, pairs = decisions.list_open(db, limit, offset)
    return _answer({"total": total, "pairs": pairs})


@app.get("/api/links")
def read_links(name: Words = "", limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Returns the links, the least sure first."""
    with _database().connect() as db:
        total, pairs = decisions.list_links(db, name, limit, offset)
    return _answer({"total": total, "pairs": pairs})


@app.get("/api/decisions")
def read_decisions(limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
    """Returns what was decided, the newest first."""
    with _database().connect() as db:
        return _answer({"decisions": decisions.list_decisions(db, limit, offset)})


@app.post("/api/decisions/{decision_id}/undo", dependencies=[Depends(refuse_foreign_page)])
def undo_by_call(decision_id: Id, user: GetUserDep) -> JSONResponse:
    """Takes back a decision that no run has used, and returns the one that says so; 409 with the reason otherwise."""
    try:
        return _answer(decisions.undo(_database(), decision_id, user.get_name()))
    except decisions.DecisionRefused as refused:
        return _answer({"detail": str(refused), "known": refused.known}, 409)


@app.post("/api/decisions", dependencies=[Depends(refuse_foreign_page)])
def decide_by_call(word: Word, user: GetUserDep) -> JSONResponse:
    """Keeps a word and returns it; 409 with the reason, and the word that stands in its way, where it could not be kept."""
    try:
        return _answer(_decide(word, user))
    except decisions.DecisionRefused as refused:
        return _answer({"detail": str(refused), "known": refused.known}, 409)


def _decide(word: Word, user: Any) -> decisions.Decision:
    said = (word.entity, word.left, word.right, word.is_same, word.reason, user.get_name(), word.seen)
    return decisions.decide(_database(), *said)


def _queue(offset: int, told: str) -> HTMLResponse:
    with _database().connect() as db:
        total, pairs = decisions.list_open(db, offset=offset)
    return HTMLResponse(page.render_queue(pairs, total, offset, TITLES, told), headers=HEADERS)


def _links(name: str, offset: int, told: str) -> HTMLResponse:
    with _database().connect() as db:
        total, pairs = decisions.list_links(db, name, offset=offset)
    return HTMLResponse(page.render_links(pairs, total, offset, TITLES, name, told), headers=HEADERS)


def _decisions(told: str) -> HTMLResponse:
    with _database().connect() as db:
        shown = page.render_decisions(decisions.list_decided(db, 200), TITLES, told)
    return HTMLResponse(shown, headers=HEADERS)


def _told(kept: int) -> str:
    return (
        f"Kept as decision {kept}. It counts from the next run on; until then, Decisions has a button to undo it."
        if kept
        else ""
    )


def _answer(content: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(jsonable_encoder(content), status, HEADERS)


class IdentityReview(AirflowPlugin):
    """Makes Airflow load all this."""

    name = "identity_review"
    # Airflow takes plain class attributes.
    fastapi_apps = [{"app": app, "url_prefix": "/identity-review", "name": "Who is who"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Who is who",
            "href": "/identity-review/",
            "destination": "nav",
            "category": "browse",
            "url_route": "who-is-who",
        },
    ]

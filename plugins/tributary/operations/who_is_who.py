"""The pages *Who is who*: decide about doubtful pairs of records, separate links, and undo decisions.

The pages contain names, addresses and birth dates of persons, so the audit trail records who was shown which records. A name that a user
searches for is in the body of a request, because addresses are logged.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import sqlalchemy as sa
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from include.identity import decisions, pairs
from include.identity.comparison import compare
from include.identity.preview import preview
from include.vendors import VENDORS
from tributary import audit, connections
from tributary.operations.access import refuse_foreign_page, require_reviewer
from tributary.operations.page import HEADERS, show_page

TITLES = {vendor.name: vendor.title for vendor in VENDORS}
REASONS = (
    "Compared the facts shown",
    "Asked the advisor",
    "Asked the client",
    "Looked it up at the vendors",
    "Relatives or namesakes",
    "Saw a document",
)
"""Reasons that a user can choose, by the keys 1, 2, ..."""
LINKS, DECISIONS = 50, 200
"""Maximum numbers of links and of decisions on one page."""

Id = Annotated[int, Field(gt=-(2**63), lt=2**63)]
Offset = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$", max_length=decisions.REASON_LENGTH)
]

router = APIRouter(prefix="/who-is-who", dependencies=[Depends(require_reviewer)])


class Place(BaseModel):
    """A position in the queue: the filters, and the number of pairs before the one that is shown.

    `recorded` is the user's last decision, which the button Undo undoes (0 for none), and `recorded_at` the position of its pair.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Text = ""
    vendor: Text = ""
    other: Text = ""
    band: Text = ""
    household: Id = 0
    at: Offset = 0
    recorded: Offset = 0
    recorded_at: Offset = 0

    def move(self, **changes: int) -> dict[str, Any]:
        """Return the fields of another position, without those that are empty. A template uses them in forms and links."""
        return {name: value for name, value in (self.model_dump() | changes).items() if value}


class Search(Place):
    """A position in the part of the queue that a search by name found."""

    name: Text = ""

    def place(self) -> Search:
        """Return the position of a form, without the form's other fields."""
        return Search(**{name: getattr(self, name) for name in Search.model_fields})


class DecisionForm(Search):
    """A decision from a page. `reason` is free text; without it, the chosen standard reason is recorded. `page` is where the form is."""

    entity: Literal["person", "legal_entity", "account"]
    left: Id
    right: Id
    is_same: bool
    standard: Text = ""
    reason: Text = ""
    seen: Id | None = None
    page: Literal["queue", "pair"] = "queue"

    @model_validator(mode="after")
    def _require_reason(self) -> DecisionForm:
        if not (self.reason or self.standard):
            raise ValueError("A decision needs a reason")
        return self


class UndoForm(Search):
    """The undo of a decision."""

    decision_id: Id
    page: Literal["queue", "decisions"] = "decisions"


class LinkSearch(BaseModel):
    """A search for links by a part of the name of a person, household or account; an empty name finds all."""

    model_config = ConfigDict(extra="forbid")

    name: Text = ""
    offset: Offset = 0


@router.get("/")
def show_queue(user: GetUserDep, place: Annotated[Place, Query()]) -> HTMLResponse:
    """Return the page of one pair that waits for a decision."""
    return _show_queue(user, Search(**place.model_dump()))


@router.post("/", dependencies=[Depends(refuse_foreign_page)])
def search_queue(search: Annotated[Search, Form()], user: GetUserDep) -> HTMLResponse:
    """Return the page of one pair of those that a search by name found."""
    return _show_queue(user, search)


@router.get("/pair")
def show_pair(
    user: GetUserDep,
    entity: Literal["person", "legal_entity", "account", "household"],
    left: Annotated[Id, Query()],
    right: Annotated[Id, Query()],
) -> HTMLResponse:
    """Return the page of any pair: a link, or one that was decided."""
    return _show_pair(user, entity, left, right)


@router.get("/links")
def show_links(user: GetUserDep, offset: Annotated[Offset, Query()] = 0) -> HTMLResponse:
    """Return the page of links, the least certain first."""
    return _show_links(user, LinkSearch(offset=offset))


@router.post("/links", dependencies=[Depends(refuse_foreign_page)])
def search_links(search: Annotated[LinkSearch, Form()], user: GetUserDep) -> HTMLResponse:
    """Return the page of the links of a name."""
    return _show_links(user, search)


@router.get("/decisions")
def show_decisions(
    user: GetUserDep, recorded: Annotated[Offset, Query()] = 0, undone: Annotated[Offset, Query()] = 0
) -> HTMLResponse:
    """Return the page of decisions; `recorded` or `undone` is the id of a decision to confirm to the user (0 for none)."""
    return _show_decisions(user, f"Decision {undone} was undone." if undone else _confirm(recorded))


@router.post("/decide", dependencies=[Depends(refuse_foreign_page)])
def decide(form: Annotated[DecisionForm, Form()], user: GetUserDep) -> Response:
    """Record a decision and show the next pair at the same position. A refused decision gets 409 and its page with the reason."""
    pair, reason = (form.entity, form.left, form.right), form.reason or form.standard
    try:
        recorded = decisions.decide(audit.database(), *pair, form.is_same, reason, user.get_name(), form.seen)
    except decisions.DecisionRefused as refused:
        if form.page == "pair":
            return _show_pair(user, *pair, message=str(refused), status=409)
        return _show_queue(user, form.place(), str(refused), 409)
    if form.page == "pair":
        return _redirect("decisions", {"recorded": recorded.decision_id})
    return _go(user, form.place().move(recorded=recorded.decision_id, recorded_at=form.at))


@router.post("/undo", dependencies=[Depends(refuse_foreign_page)])
def undo(form: Annotated[UndoForm, Form()], user: GetUserDep) -> Response:
    """Undo a decision, and show its pair at its position again, or the decisions. A refused undo gets 409 and the page with the reason."""
    place = form.place()
    try:
        decisions.undo(audit.database(), form.decision_id, user.get_name())
    except decisions.DecisionRefused as refused:
        if form.page == "queue":
            return _show_queue(user, place, str(refused), 409)
        return _show_decisions(user, str(refused), 409)
    if form.page == "queue":
        return _go(user, place.move(at=form.recorded_at, recorded=0, recorded_at=0))
    return _redirect("decisions", {"undone": form.decision_id})


def _go(user: Any, fields: dict[str, Any]) -> Response:
    """Show another position of the queue: by a redirect, unless its address would contain a name."""
    return _show_queue(user, Search(**fields)) if fields.get("name") else _redirect("./", fields)


def _redirect(path: str, fields: dict[str, Any]) -> Response:
    return RedirectResponse(f"{path}?{urlencode(fields)}", 303, HEADERS)


def _show_queue(user: Any, place: Search, message: str = "", status: int = 200) -> HTMLResponse:
    selection = pairs.Selection(place.kind, place.vendor, place.other, place.band, place.household, place.name)
    with audit.database().connect() as db:
        total, found = pairs.list_open(db, 1, place.at, selection)
        if not found and place.at:  # behind the last pair
            total, _ = pairs.list_open(db, 1, 0, selection)
            place = place.model_copy(update={"at": max(total - 1, 0)})
            total, found = pairs.list_open(db, 1, place.at, selection)
        shown = _describe(db, found[0]) if found else {}
        choices = {"kind": pairs.read_kinds(db), "vendor": TITLES, "band": pairs.BANDS}
    _record(user, "queue", found)
    return show_page(
        "who_is_who.html", "Who is who", "../", status, title="Who is who", page="queue", place=place, total=total, choices=choices,
        message=message or _confirm(place.recorded), **_add_defaults(shown),
    )  # fmt: skip


def _show_pair(user: Any, entity: str, left: int, right: int, message: str = "", status: int = 200) -> HTMLResponse:
    with audit.database().connect() as db:
        shown = _describe(db, pairs.read_pair(db, entity, left, right))
    _record(user, "pair", [shown["pair"]])
    return show_page(
        "who_is_who.html", "Who is who", "../", status, title="Who is who: a pair", page="pair", place=Search(), total=1, choices={},
        message=message, **_add_defaults(shown),
    )  # fmt: skip


def _describe(db: sa.Connection, pair: pairs.Pair) -> dict[str, Any]:
    """Return the page's data of a pair. A pair of households can't be decided, so it has no preview."""
    is_decidable = pair.entity != "household"
    effects = None
    if is_decidable:
        on, policy = datetime.now(UTC).date(), connections.identity_policy()
        effects = preview(db, pair.entity, pair.left.id, pair.right.id, on, policy)
    return {"pair": pair, "facts": compare(pair), "households": pairs.read_households(db, pair), "effects": effects}


def _confirm(decision_id: int) -> str:
    """Return the message that confirms a decision to the user; empty for 0."""
    return f"Recorded as decision {decision_id}. The next run applies it." if decision_id else ""


def _add_defaults(shown: dict[str, Any]) -> dict[str, Any]:
    return {"pair": None, "titles": TITLES, "reasons": REASONS, "reason_length": decisions.REASON_LENGTH} | shown


def _show_links(user: Any, search: LinkSearch) -> HTMLResponse:
    with audit.database().connect() as db:
        total, found = pairs.list_links(db, search.name, LINKS, search.offset)
    _record(user, "links", found)
    return show_page(
        "links.html", "Who is who", "../", title="Who is who: links", page="links", links=found, total=total, search=search, step=LINKS,
        message="", titles=TITLES,
    )  # fmt: skip


def _show_decisions(user: Any, message: str, status: int = 200) -> HTMLResponse:
    with audit.database().connect() as db:
        decided, lessons = pairs.list_decided(db, DECISIONS), decisions.list_lessons(db)
    _record(user, "decisions", decided)
    return show_page(
        "decisions.html", "Who is who", "../", status, title="Who is who: decisions", page="decisions", decided=decided, message=message,
        lessons=lessons, titles=TITLES,
    )  # fmt: skip


def _record(user: Any, page: str, shown: Iterable[pairs.Pair | pairs.Decided]) -> None:
    """Record in the audit trail whose data a user is about to see."""
    audit.record(user.get_name(), "identity.opened", page, records=pairs.list_records(shown))

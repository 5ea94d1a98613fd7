"""The life cycle of an agreement in Adobe Acrobat Sign: which participant must act next, and the effects of every action.

Documented: the statuses, the roles, the names of the events, and that documents are processed after creation.

Our choices:

- Participant sets of the same order act in parallel.
- A rejection or a cancellation ends the agreement for all participants.
- The event `CREATED` is dated one second before `createdDate`, as in the vendor's sample.
- Only the event name of a restart is known. Here, a restart requests action from the participants who have not acted yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sandbox.adobe_sign.ids import write_id

Row = dict[str, Any]


class Role(NamedTuple):
    """The vendor's terms for one role.

    Attributes:
        awaited: Status of the agreement while it waits for the role.
        done: Status of the agreement after the role has acted.
        waiting: Status of the participant set while it must act.
        action: Action type of the event.
    """

    awaited: str
    done: str
    waiting: str
    action: str


ROLES = {
    "SIGNER": Role("OUT_FOR_SIGNATURE", "SIGNED", "WAITING_FOR_MY_SIGNATURE", "ESIGNED"),
    "APPROVER": Role("OUT_FOR_APPROVAL", "APPROVED", "WAITING_FOR_MY_APPROVAL", "APPROVED"),
    "ACCEPTOR": Role("OUT_FOR_ACCEPTANCE", "ACCEPTED", "WAITING_FOR_MY_ACCEPTANCE", "ACCEPTED"),
    "CERTIFIED_RECIPIENT": Role("OUT_FOR_DELIVERY", "DELIVERED", "WAITING_FOR_MY_ACKNOWLEDGEMENT", "ACKNOWLEDGED"),
    "FORM_FILLER": Role("OUT_FOR_FORM_FILLING", "FORM_FILLED", "WAITING_FOR_MY_FORM_FILLING", "FORM_FILLED"),
}
STATES = {"IN_PROCESS": "", "DRAFT": "DRAFT", "AUTHORING": "AUTHORING", "ARCHIVED": "ARCHIVED"}
"""Status of a new agreement by the state in which it is created. For IN_PROCESS, the status depends on the roles."""

UNPROCESSED = "DOCUMENTS_NOT_YET_PROCESSED"
_UNSENT = ("DRAFT", "AUTHORING")
_ENDED = ("CANCELLED", "ABORTED")


@dataclass(slots=True)
class Participant:
    """One participant set, with its one member.

    Attributes:
        set_id: Id of the set.
        id: Id of the member.
        order: Position in the signing order, from 1. Sets of the same order act in parallel.
        status: NOT_YET_VISIBLE, WAITING, COMPLETED, CANCELLED or EXPIRED.
    """

    set_id: str
    id: str
    email: str
    name: str
    role: str
    order: int
    status: str = "NOT_YET_VISIBLE"

    @property
    def set_status(self) -> str:
        """Return the status of the set in the vendor's terms, which for WAITING depend on the role."""
        return ROLES[self.role].waiting if self.status == "WAITING" else self.status


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an agreement.

    Attributes:
        kind: Name of the event in webhooks, without `AGREEMENT_`.
        acting: Email of the person who acted.
        participant: Email of the participant whom the event concerns.
        role: Role of that participant.
    """

    kind: str
    at: datetime
    acting: str
    participant: str
    role: str
    comment: str | None = None


@dataclass(slots=True)
class Agreement:
    """One agreement in its current state, with its events. `ready_at` is when its documents are processed."""

    id: str
    name: str
    sender: str
    created_at: datetime
    ready_at: datetime
    status: str
    participants: list[Participant]
    ccs: list[str]
    documents: list[Row]
    external_id: str | None = None
    message: str | None = None
    expires_at: datetime | None = None
    is_hidden: bool = False
    events: list[Event] = field(default_factory=list)

    @property
    def changed_at(self) -> datetime:
        """Return the time of the last event, or of the creation if there is no event."""
        return self.events[-1].at if self.events else self.created_at

    def has_party(self, email: str) -> bool:
        """Return whether the email address is that of the sender, a participant, or a recipient of a copy."""
        return email == self.sender or email in self.ccs or any(each.email == email for each in self.participants)

    def find_status(self, now: datetime) -> str:
        """Return the current status, or UNPROCESSED if the documents are not yet processed at `now`."""
        return self.status if now >= self.ready_at else UNPROCESSED

    def open(self, at: datetime, state: str) -> None:
        """Record the creation of the agreement in one of STATES; in process, request the first participants' action."""
        self._record("CREATED", at, self.sender, self.sender, "SENDER")
        if state == "IN_PROCESS":
            self._request_next(self.ready_at)
        else:
            self.status = STATES[state]

    def move(self, kind: str, values: Mapping[str, Any], at: datetime) -> None:
        """Apply one action; see `Account.edit` for the kinds.

        Raises:
            KeyError, ValueError: the action is unknown or not allowed now; nothing is changed.
        """
        moves = {
            "view": self._view,
            "sign": self._sign,
            "reject": self._reject,
            "cancel": self._cancel,
            "expire": self._expire,
            "restart": self._restart,
            "modify": self._modify,
            "issue": self._issue,
        }
        if kind not in moves:
            raise ValueError(f"unknown edit {kind!r}")
        if at < self.ready_at:
            raise ValueError(f"the documents of {self.id} are not yet processed")
        moves[kind](values, at)

    def _view(self, values: Mapping[str, Any], at: datetime) -> None:
        participant = self._find_waiting(values)
        self._record("EMAIL_VIEWED", at, participant.email, participant.email, participant.role)

    def _sign(self, values: Mapping[str, Any], at: datetime) -> None:
        participant = self._find_waiting(values)
        participant.status = "COMPLETED"
        self._record("ACTION_COMPLETED", at, participant.email, participant.email, participant.role)
        if all(each.status == "COMPLETED" for each in self.participants):
            self.status = self._find_done()
            self._record("WORKFLOW_COMPLETED", at, participant.email, participant.email, participant.role)
        elif not any(each.status == "WAITING" for each in self.participants):
            self._request_next(at)
        else:
            self._follow()

    def _reject(self, values: Mapping[str, Any], at: datetime) -> None:
        participant, status = self._find_waiting(values), _read_end(values)
        self._end("CANCELLED", status)
        self._record("REJECTED", at, participant.email, participant.email, participant.role, values.get("comment"))

    def _cancel(self, values: Mapping[str, Any], at: datetime) -> None:
        status = _read_end(values)
        self._require_open(*_UNSENT)
        self._end("CANCELLED", status)
        self._record("RECALLED", at, self.sender, self.sender, "SENDER", values.get("comment"))

    def _expire(self, values: Mapping[str, Any], at: datetime) -> None:
        self._require_open()
        participant = next(each for each in self.participants if each.status == "WAITING")
        self._end("EXPIRED", "EXPIRED")
        self._record("EXPIRED", at, participant.email, participant.email, participant.role)

    def _restart(self, values: Mapping[str, Any], at: datetime) -> None:
        if self.status != "EXPIRED":
            raise ValueError(f"{self.id} is {self.status}; only an expired agreement can be restarted")
        expires = values.get("expires_at")
        self.expires_at = datetime.fromisoformat(expires) if expires else None
        for each in self.participants:
            each.status = "NOT_YET_VISIBLE" if each.status == "EXPIRED" else each.status
        self._record("RESTARTED", at, self.sender, self.sender, "SENDER")
        self._request_next(at)

    def _modify(self, values: Mapping[str, Any], at: datetime) -> None:
        self._require_open(*_UNSENT)
        if not {"name", "message"} & values.keys():
            raise ValueError("modify needs a name or a message")
        self.name, self.message = values.get("name", self.name), values.get("message", self.message)
        self._record("MODIFIED", at, self.sender, self.sender, "SENDER")

    def _issue(self, values: Mapping[str, Any], at: datetime) -> None:
        if self.status not in _UNSENT:
            raise ValueError(f"{self.id} is already sent")
        self._request_next(at)

    def _request_next(self, at: datetime) -> None:
        """Request action from the participants of the lowest order whose turn has not come yet."""
        order = min(each.order for each in self.participants if each.status == "NOT_YET_VISIBLE")
        participants = [each for each in self.participants if each.order == order and each.status == "NOT_YET_VISIBLE"]
        for participant in participants:
            participant.status = "WAITING"
        self._follow()
        for participant in participants:
            self._record("ACTION_REQUESTED", at, self.sender, participant.email, participant.role)

    def _follow(self) -> None:
        """Set the agreement's status from the role of the first pending participant."""
        self.status = ROLES[next(each.role for each in self.participants if each.status == "WAITING")].awaited

    def _find_done(self) -> str:
        """Return the status of a completed agreement: signed if any role is a signer, or else the last role's status."""
        roles = [each.role for each in self.participants]
        return ROLES["SIGNER" if "SIGNER" in roles else roles[-1]].done

    def _find_waiting(self, values: Mapping[str, Any]) -> Participant:
        """Return the pending participant with the email in `values`; if `values` has no email, return the first pending participant.

        Raises:
            ValueError: There is no such participant.
        """
        email = values.get("participant")
        for each in self.participants:
            if each.status == "WAITING" and email in (None, each.email):
                return each
        raise ValueError(f"{self.id} awaits no action by {email or 'any participant'}")

    def _require_open(self, *also_allowed: str) -> None:
        if self.status not in also_allowed and not any(each.status == "WAITING" for each in self.participants):
            raise ValueError(f"{self.id} is {self.status}")

    def _end(self, each_status: str, status: str) -> None:
        self.status = status
        for each in self.participants:
            each.status = each.status if each.status == "COMPLETED" else each_status

    def _record(
        self, kind: str, at: datetime, acting: str, participant: str, role: str, comment: str | None = None
    ) -> None:
        self.events.append(Event(kind, at, acting, participant, role, comment))


def create_agreement(id_: str, values: Mapping[str, Any], at: datetime) -> Agreement:
    """Create an agreement, with its first events.

    Args:
        id_: Id of the agreement.
        values: The values of a `send`, as `Account.edit` stores them. Required are `name`, `sender`, `participants` (a list of
            `{"email", "name", "role", "order"}`) and `documents` (a list of `{"name", "numPages"}`). Optional are `ccs`,
            `external_id`, `message`, `expires_at`, `state` (one of STATES) and `processing_seconds` (0).
        at: When the agreement was sent.

    Raises:
        KeyError, ValueError: a value is missing or invalid.
    """
    expires, state = values.get("expires_at"), values.get("state", "IN_PROCESS")
    if state not in STATES or not values["participants"]:
        raise ValueError(f"an agreement needs participants and one of the states {', '.join(STATES)}")
    agreement = Agreement(
        id=id_,
        name=values["name"],
        sender=values["sender"],
        created_at=at + timedelta(seconds=1),
        ready_at=at + timedelta(seconds=float(values.get("processing_seconds", 0))),
        status=UNPROCESSED,
        participants=[_create_participant(id_, n, each) for n, each in enumerate(values["participants"], 1)],
        ccs=list(values.get("ccs", ())),
        documents=[_create_document(id_, n, each) for n, each in enumerate(values["documents"], 1)],
        external_id=values.get("external_id"),
        message=values.get("message"),
        expires_at=datetime.fromisoformat(expires) if expires else None,
    )
    agreement.open(at, state)
    return agreement


def _create_participant(agreement: str, number: int, values: Mapping[str, Any]) -> Participant:
    role = values.get("role", "SIGNER")
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}")
    name = values.get("name", "")
    set_id, id_ = write_id(agreement, "set", number), write_id(agreement, "participant", number)
    return Participant(set_id, id_, values["email"], name, role, int(values.get("order", number)))


def _create_document(agreement: str, number: int, values: Mapping[str, Any]) -> Row:
    id_ = write_id(agreement, "document", number)
    document = {"label": f"{number}", "numPages": 1, "mimeType": "application/pdf"} | dict(values)
    return {"id": id_, **document}


def _read_end(values: Mapping[str, Any]) -> str:
    status = str(values.get("status", "CANCELLED"))
    if status not in _ENDED:
        raise ValueError(f"status must be one of {', '.join(_ENDED)}")
    return status

"""The life cycle of an envelope. Each action changes the given envelope in place, and returns the events that it causes.

An action raises `Impossible` if the current status does not allow it, and KeyError if the recipient is unknown.

Documented:

- The statuses, and the timestamp that each status sets.
- Recipients are grouped by type, and act in routing order.
- The last signer's event comes before the envelope's event.

Our choices:

- An envelope is "delivered" when all current recipients have opened it. It does not return to "sent" for later recipients.
- A carbon copy is complete as soon as it is sent.
- Signing implies opening.
- A correction or a reminder changes only `lastModifiedDateTime`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sandbox.docusign.stamps import write_stamp

Envelope = dict[str, Any]
Event = tuple[str, str | None]
"""Name of the event, and the `recipientId` of the recipient (None for an event of the envelope)."""

SIGNING = ("signers", "inPersonSigners", "witnesses", "notaries", "seals")
ACTING = (*SIGNING, "agents", "editors", "intermediaries", "certifiedDeliveries")
KINDS = (*ACTING, "carbonCopies")
"""The names of the arrays into which recipients are grouped."""
OPEN, ENDED = ("sent", "delivered"), ("completed", "declined", "voided")
_EXPIRES = timedelta(days=120)


class Impossible(ValueError):
    """Raised if the status of the envelope or of the recipient does not allow the action."""


def list_recipients(envelope: Envelope) -> Iterator[tuple[str, Envelope]]:
    """Yield the name of the array and the recipient, for every recipient."""
    for kind in KINDS:
        for recipient in envelope["recipients"].get(kind) or ():
            yield kind, recipient


def launch(envelope: Envelope, at: datetime) -> list[Event]:
    """Send a draft to its first recipients."""
    _require(envelope, "created")
    _touch(envelope, at, "sent")
    envelope["initialSentDateTime"] = envelope["sentDateTime"]
    envelope["expireDateTime"] = write_stamp(at + _EXPIRES)
    return [("envelope-sent", None), *_route(envelope, at)]


def deliver(envelope: Envelope, recipient_id: str, at: datetime) -> list[Event]:
    """Open the envelope as a recipient. A certified delivery is then complete."""
    _require(envelope, *OPEN)
    kind, recipient = _find(envelope, recipient_id, "sent")
    recipient |= {"status": "delivered", "deliveredDateTime": write_stamp(at)}
    _touch(envelope, at)
    events: list[Event] = [("recipient-delivered", recipient_id)]
    current = [each for _, each in list_recipients(envelope) if each["routingOrder"] == recipient["routingOrder"]]
    if envelope["status"] == "sent" and all(each["status"] in ("delivered", "completed") for each in current):
        _touch(envelope, at, "delivered")
        events.append(("envelope-delivered", None))
    if kind == "certifiedDeliveries":
        recipient["status"] = "completed"
        return [*events, ("recipient-completed", recipient_id), *_route(envelope, at)]
    return events


def sign(envelope: Envelope, recipient_id: str, at: datetime) -> list[Event]:
    """Sign as a recipient. The envelope is complete when no recipient is left."""
    _require(envelope, *OPEN)
    kind, recipient = _find(envelope, recipient_id, *OPEN)
    events = deliver(envelope, recipient_id, at) if recipient["status"] == "sent" else []
    if kind not in SIGNING:
        raise Impossible(f"recipient {recipient_id} is not a signer")
    recipient |= {"status": "completed", "signedDateTime": write_stamp(at)}
    _touch(envelope, at)
    return [*events, ("recipient-completed", recipient_id), *_route(envelope, at)]


def decline(envelope: Envelope, recipient_id: str, reason: str, at: datetime) -> list[Event]:
    """Decline to sign as a recipient. This ends the envelope."""
    _require(envelope, *OPEN)
    _, recipient = _find(envelope, recipient_id, *OPEN)
    recipient |= {"status": "declined", "declinedDateTime": write_stamp(at), "declinedReason": reason}
    _touch(envelope, at, "declined")
    return [("recipient-declined", recipient_id), ("envelope-declined", None)]


def void(envelope: Envelope, reason: str, at: datetime) -> list[Event]:
    """Void the envelope as its sender. This ends the envelope."""
    _require(envelope, *OPEN)
    _touch(envelope, at, "voided")
    envelope["voidedReason"] = reason
    return [("envelope-voided", None)]


def correct(envelope: Envelope, recipient_id: str, changed: Mapping[str, str], at: datetime) -> list[Event]:
    """Change fields of a recipient, as the sender. The recipient must not have acted yet."""
    _require(envelope, *OPEN)
    _find(envelope, recipient_id, "created", *OPEN)[1].update(changed)
    _touch(envelope, at)
    return [("envelope-corrected", None)]


def resend(envelope: Envelope, at: datetime) -> list[Event]:
    """Send the envelope again to all current recipients, as a reminder."""
    _require(envelope, *OPEN)
    _touch(envelope, at)
    waiting = [each["recipientId"] for _, each in list_recipients(envelope) if each["status"] in OPEN]
    return [("envelope-resent", None), *(("recipient-resent", recipient_id) for recipient_id in waiting)]


def _route(envelope: Envelope, at: datetime) -> list[Event]:
    """Send the envelope to the next recipients in routing order. Complete the envelope if no recipient is left."""
    events: list[Event] = []
    while True:
        waiting = [pair for pair in list_recipients(envelope) if pair[1]["status"] not in ("completed", "declined")]
        if not waiting:
            _touch(envelope, at, "completed")
            return [*events, ("envelope-completed", None)]
        order = min(int(recipient["routingOrder"]) for _, recipient in waiting)
        envelope["recipients"]["currentRoutingOrder"] = str(order)
        current = [pair for pair in waiting if int(pair[1]["routingOrder"]) == order]
        for kind, recipient in current:
            events += _send(kind, recipient, at)
        if any(recipient["status"] != "completed" for _, recipient in current):
            return events


def _send(kind: str, recipient: Envelope, at: datetime) -> list[Event]:
    if recipient["status"] != "created":
        return []
    is_copy, id_ = kind == "carbonCopies", recipient["recipientId"]
    recipient |= {"status": "completed" if is_copy else "sent", "sentDateTime": write_stamp(at)}
    return [("recipient-sent", id_), *([("recipient-completed", id_)] if is_copy else [])]


def _touch(envelope: Envelope, at: datetime, status: str | None = None) -> None:
    stamp = write_stamp(at)
    envelope["lastModifiedDateTime"] = stamp
    if status:
        envelope |= {"status": status, "statusChangedDateTime": stamp, f"{status}DateTime": stamp}


def _require(envelope: Envelope, *statuses: str) -> None:
    if envelope["status"] not in statuses:
        raise Impossible(f"envelope {envelope['envelopeId']} is {envelope['status']}")


def _find(envelope: Envelope, recipient_id: str, *statuses: str) -> tuple[str, Envelope]:
    for kind, recipient in list_recipients(envelope):
        if recipient["recipientId"] == recipient_id:
            if recipient["status"] not in statuses:
                raise Impossible(f"recipient {recipient_id} is {recipient['status']}")
            return kind, recipient
    raise KeyError(recipient_id)

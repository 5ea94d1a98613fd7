"""A firm's account at DocuSign: its envelopes and templates, and the actions of people.

At the first use, the firm's envelopes are generated as of that moment, and the moment is stored. Every envelope that changes later
is stored completely. So a restart continues with the same account.
"""

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from sandbox.docusign import life
from sandbox.docusign.connect import Sender
from sandbox.docusign.draw import draw_envelopes, draw_templates
from sandbox.docusign.life import ACTING, OPEN, Envelope, Event, list_recipients
from sandbox.docusign.limits import refuse
from sandbox.docusign.rows import (
    ACCOUNT_ID,
    TEMPLATES,
    USER_EMAIL,
    USER_ID,
    USER_NAME,
    Person,
    list_signers,
    name_representative,
    write_envelope,
    write_guid,
)
from sandbox.docusign.store import Store
from sandbox.firm.edits import Edit
from sandbox.firm.records import Files, Table
from sandbox.firm.world import World
from sandbox.server.clock import Clock
from sandbox.server.rows import dump

_TABLES = {"envelopes": Table("envelopeId", "envelopeId"), "templates": Table("templateId", "templateId")}
_SENDER = {"userName": USER_NAME, "userId": USER_ID, "accountId": ACCOUNT_ID, "email": USER_EMAIL}
_CORRECTABLE = ("name", "email", "routingOrder", "note")


class Office:
    """The account. Several threads may call its methods.

    Args:
        world: The firm.
        clock: The sandbox's time.
        pace: Divisor of the waits between Connect's retries: at 24, a day becomes an hour of the sandbox's clock.
        data: Folder of your own data, served instead of the synthetic firm: `envelopes.jsonl` and `templates.jsonl`, one DocuSign
            object per line. An envelope has all its parts.

    Raises:
        ValueError: a line of `data` cannot be read.
    """

    def __init__(self, world: World, clock: Clock, pace: float = 1.0, data: Path | None = None) -> None:
        self.world, self.clock = world, clock
        self.store = Store(world.path.parent)
        self.sender = Sender(self.store, clock, pace)
        self._files = {name: list(_read(data, name)) for name in _TABLES} if data else None
        self._envelopes: dict[str, Envelope] | None = None
        self._lock = threading.RLock()

    def list_envelopes(self) -> list[Envelope]:
        """Return all envelopes with all their parts. Callers must not modify them."""
        return list(self._open().values())

    def list_templates(self) -> list[Envelope]:
        """Return all templates of the account."""
        if self._files:
            return self._files["templates"]
        return draw_templates(self.world.firm.seed, self._find_start())

    def find_envelope(self, envelope_id: str) -> Envelope:
        """Return the envelope with this id, with all its parts. Callers must not modify it.

        Raises:
            Refused: 404, if there is no such envelope.
        """
        envelope = self._open().get(envelope_id.lower())
        if envelope is None:
            message = "The envelope specified either does not exist or you have no rights to it."
            raise refuse(404, "ENVELOPE_DOES_NOT_EXIST", message)
        return envelope

    def _open(self) -> dict[str, Envelope]:
        with self._lock:
            if self._envelopes is None:
                envelopes = self._files["envelopes"] if self._files else self._draw(self._find_start())
                changed = [orjson.loads(row["body"]) for row in self.store.read("select body from envelope")]
                self._envelopes = {envelope["envelopeId"]: envelope for envelope in [*envelopes, *changed]}
            return self._envelopes

    def _find_start(self) -> datetime:
        with self.store.write():
            start = self.store.find("lived_until", None)
            if start is None:
                start = self.clock.now().isoformat()
                self.store.set("lived_until", start)
        return datetime.fromisoformat(start)

    def _draw(self, until: datetime) -> Iterator[Envelope]:
        book, seed = self.world.open_book(), self.world.firm.seed
        representatives = {representative.id: representative for representative in book.representatives}
        for household in book.households:
            yield from draw_envelopes(seed, household, representatives[household.representative_id], until)

    def edit(self, kind: str, values: Mapping[str, Any]) -> Edit:
        """Apply and store an action of a person at DocuSign, or a setting of the account. Queue Connect's messages.

        Args:
            kind: The kind of edit. All kinds about an existing envelope need `envelope_id`.

                - `send`: a new envelope for `household` (its id) or `signers` ([{name, email}]), with a `template` (its name;
                  by default the first). With `draft`, it is created but not sent. With `envelope_id`, a draft is sent.
                - `deliver`, `sign`, `decline` (reason): an action of `recipient`, by default the current one.
                - `void`: reason.
                - `correct`: set (new values of name, email, routingOrder or note), and recipient, by default the current one.
                - `resend`: no values.
                - `connect_keys`: keys.
                - `disturb`: copies of each message, shuffle (number of messages to reorder), lost (share that is never
                  sent), seed.
                - `retries`: seconds (list of waits), ack_seconds.
                - `consent`: is_given.

            values: The values of the kind.

        Returns:
            `envelopeId` and `status` of the envelope, or the stored settings.

        Raises:
            KeyError, ValueError: the kind is unknown, a value is missing, or the action is not allowed now.
        """
        if kind in ("connect_keys", "disturb", "retries", "consent"):
            return self._set(kind, values)
        if kind == "send" and "envelope_id" not in values:
            return self._send(values)
        changes = {"send": life.launch, "resend": life.resend}
        with self._lock:
            envelope, at = orjson.loads(orjson.dumps(self._open()[values["envelope_id"]])), self.clock.now()
            if kind in changes:
                events = changes[kind](envelope, at)
            elif kind == "void":
                events = life.void(envelope, values["reason"], at)
            else:
                events = _act(kind, envelope, values, at)
            return self._save(envelope, events)

    def _send(self, values: Mapping[str, Any]) -> Edit:
        templates = {template.name: template for template in TEMPLATES}
        template = templates[values.get("template", TEMPLATES[0].name)]
        household, representative = None, None
        if "household" in values:
            book = self.world.open_book()
            family = book.find_household(int(values["household"]))
            people, household = list_signers(family), f"orion:{family.id}"
            representative = next(
                name_representative(each) for each in book.representatives if each.id == family.representative_id
            )
        else:
            people = [(signer["name"], signer["email"]) for signer in values["signers"]]
        if not people:
            raise ValueError("an envelope needs a signer")
        return self._create(template.name, people, household, representative, bool(values.get("draft")))

    def _create(
        self, template: str, people: list[Person], household: str | None, sender: Person | None, is_draft: bool
    ) -> Edit:
        form = next(each for each in TEMPLATES if each.name == template)
        with self._lock, self.store.write():
            number, at = self.store.find("sent", 0) + 1, self.clock.now()
            self.store.set("sent", number)
            id_ = write_guid(self.world.firm.seed, "sent", number)
            envelope = write_envelope(id_, form, people, household, sender, at)
            events: list[Event] = [("envelope-created", None)]
            return self._save(envelope, events if is_draft else events + life.launch(envelope, at))

    def _save(self, envelope: Envelope, events: list[Event]) -> Edit:
        id_ = envelope["envelopeId"]
        envelopes = self._open()
        with self.store.write() as connection:
            body = orjson.dumps(envelope).decode()
            connection.execute("insert or replace into envelope values (?, ?)", (id_, body))
            self.sender.publish(envelope, events)
        envelopes[id_] = envelope
        return {"envelopeId": id_, "status": envelope["status"]}

    def _set(self, kind: str, values: Mapping[str, Any]) -> Edit:
        if kind == "consent":
            self.store.set(kind, bool(values["is_given"]))
            return dict(values)
        if kind == "connect_keys":
            self.store.set(kind, [str(key) for key in values["keys"]])
            return dict(values)
        settings = {name: orjson.loads(dump(value)) for name, value in values.items()}
        self.store.set(kind, settings)
        return dict(settings)


def _act(kind: str, envelope: Envelope, values: Mapping[str, Any], at: datetime) -> list[Event]:
    recipient_id = str(values["recipient"]) if "recipient" in values else _find_next(envelope)
    if kind == "correct":
        changed = {name: str(value) for name, value in values["set"].items() if name in _CORRECTABLE}
        return life.correct(envelope, recipient_id, changed, at)
    if kind == "decline":
        return life.decline(envelope, recipient_id, values["reason"], at)
    if kind in ("deliver", "sign"):
        return (life.deliver if kind == "deliver" else life.sign)(envelope, recipient_id, at)
    raise ValueError(f"unknown edit {kind!r}")


def _find_next(envelope: Envelope) -> str:
    for kind, recipient in list_recipients(envelope):
        if kind in ACTING and recipient["status"] in OPEN:
            return str(recipient["recipientId"])
    raise ValueError("the envelope has no current recipient")


def _read(folder: Path, name: str) -> Iterator[Envelope]:
    files = Files(folder, {name: _TABLES[name]})
    for key in files.keys:
        for line in files.read_rows(name, key):
            row = orjson.loads(dump(line))
            if name == "envelopes":
                uri = f"/envelopes/{key}"
                row = {"envelopeUri": uri, "emailSubject": "", "recipients": {}, "envelopeDocuments": []} | row
                row = {"customFields": {}, "sender": _SENDER} | row
            yield row
